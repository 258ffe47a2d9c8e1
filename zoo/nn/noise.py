"""Counter-based random numbers: every number is a pure function of a scene's key and of its index.

Noise is keyed by (seed, step, position of the scene in the global batch), so that results do not depend on the batch size,
the number of processes or interruptions, and no generator state has to be saved.

The bits come from the SplitMix64 finaliser (Steele et al. 2014, "Fast splittable pseudorandom number generators") applied
to a keyed counter; normal numbers from the Box-Muller transform in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

Bits = TypeVar("Bits", int, Tensor)


def _signed(value: int) -> int:
    """Returns the two's-complement int64 with the same bits as an unsigned 64-bit number."""
    return value - (1 << 64) if value >= 1 << 63 else value


GOLDEN = _signed(0x9E3779B97F4A7C15)
FIRST = _signed(0xBF58476D1CE4E5B9)
SECOND = _signed(0x94D049BB133111EB)
MASK = (1 << 64) - 1


def _shifted(bits: Bits, places: int) -> Bits:
    """Shifts right, filling with zeros."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _mixed(bits: Bits) -> Bits:
    """Returns the SplitMix64 finaliser; of a Python number, whose higher bits are not cut off, the lower 64 bits count."""
    bits = (bits ^ _shifted(bits, 30)) * FIRST
    bits = (bits ^ _shifted(bits, 27)) * SECOND
    return bits ^ _shifted(bits, 31)


def fold(key: Tensor, number: int | Tensor) -> Tensor:
    """Derives a new key from ``key`` (int64, any shape) and a number, or an int64 tensor that broadcasts against it."""
    if torch.compiler.is_compiling():
        return _opaque_fold(key, key.new_full((), number) if isinstance(number, int) else number)
    if isinstance(number, int):
        # A tensor of the number would have to be copied to the device, which blocks the host.
        return _mixed(_mixed(key + GOLDEN) ^ _signed(_mixed(number * FIRST + SECOND) & MASK))
    return _mixed(_mixed(key + GOLDEN) ^ _mixed(number * FIRST + SECOND))


def scene_keys(*, seed: int, step: int | Tensor, places: Tensor) -> Tensor:
    """Returns the keys of the scenes at ``places`` (int64 [..., B], positions in the global batch) of steps [...]."""
    return fold(fold(fold(torch.zeros_like(places), seed), step), places)


def query_keys(key: Tensor, *, num_queries: int) -> Tensor:
    """Derives a key for every query, [B, Q], from those of the scenes, [B]."""
    return fold(key[:, None], torch.arange(num_queries, device=key.device))


def scene_sample_keys(key: Tensor, *, num_samples: int) -> Tensor:
    """Derives a key for every sample, [B, S], from those of the scenes, [B]; keys [B, S] are returned unchanged."""
    return key if key.ndim > 1 else fold(key[:, None], torch.arange(num_samples, device=key.device))


def sample_keys(key: Tensor, *, num_samples: int, num_queries: int) -> Tensor:
    """Derives a key for every sample of every query, [B, S, Q], from keys [B] or [B, S]; [B, S, Q] is returned unchanged."""
    if key.ndim > 2:
        return key
    samples = scene_sample_keys(key, num_samples=num_samples)
    return fold(samples[:, :, None], torch.arange(num_queries, device=key.device))


def standard_normal(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draws independent standard normal numbers of a shape for every key [...]: [..., *shape] float32."""
    return _opaque_normal(key, list(shape)) if torch.compiler.is_compiling() else _normal(key, shape)


def _normal(key: Tensor, shape: Sequence[int]) -> Tensor:
    count = math.prod(shape)
    pairs = (count + 1) // 2
    counter = torch.arange(1, pairs + 1, dtype=torch.int64, device=key.device) * GOLDEN
    bits = _mixed(fold(key, 0).unsqueeze(-1) + counter)
    upper = _shifted(bits, 32).to(torch.float32)
    lower = (bits & 0xFFFFFFFF).to(torch.float32)
    # The half keeps the logarithm finite: the smallest argument is 2 ** -33, the largest normal number 6.8.
    radius = torch.sqrt(-2.0 * torch.log((upper + 0.5) * 2.0**-32))
    angle = lower * (2.0 * math.pi * 2.0**-32)
    normal = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1)[..., :count]
    return normal.reshape(*key.shape, *shape)


class CategoricalSample(NamedTuple):
    """A category, and a uniform number that is independent of it."""

    category: Tensor  # [...] int64
    uniform: Tensor  # [...] float64 in (0, 1)


def sample_categorical(log_weights: Tensor, uniform: Tensor) -> CategoricalSample:
    """Samples index k with probability proportional to exp(log_weights[k]).

    ``log_weights`` are [..., K] and ``uniform`` is [...] in (0, 1). Within the interval of k it is uniform as well:
    rescaled to (0, 1), it can be used once more.
    """
    weights = torch.softmax(log_weights.double(), dim=-1)
    ends = weights.cumsum(-1)
    uniform = uniform.double().unsqueeze(-1) * ends[..., -1:]
    index = torch.searchsorted(ends, uniform).clamp(max=weights.shape[-1] - 1)
    weight = weights.gather(-1, index)
    start = ends.gather(-1, index) - weight
    rest = ((uniform - start) / weight.clamp(min=torch.finfo(torch.float64).tiny)).clamp(1e-9, 1.0 - 1e-9)
    return CategoricalSample(category=index[..., 0], uniform=rest[..., 0])


# torch.compile must not translate these: inductor assumes that ``arange`` is unbounded, and C++ compilers assume that signed
# integers never overflow, which gives other noise.
@torch.library.custom_op("gqn_zoo::fold", mutates_args=())
def _opaque_fold(key: Tensor, number: Tensor) -> Tensor:
    return fold(key, number).contiguous()


@_opaque_fold.register_fake
def _(key: Tensor, number: Tensor) -> Tensor:
    return key.new_empty(torch.broadcast_shapes(key.shape, number.shape))


@torch.library.custom_op("gqn_zoo::standard_normal", mutates_args=())
def _opaque_normal(key: Tensor, shape: Sequence[int]) -> Tensor:
    return _normal(key, shape).contiguous()  # it is not if an odd number is drawn


@_opaque_normal.register_fake
def _(key: Tensor, shape: Sequence[int]) -> Tensor:
    return key.new_empty((*key.shape, *shape), dtype=torch.float32)
