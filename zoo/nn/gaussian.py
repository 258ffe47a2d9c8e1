"""Diagonal Gaussians in closed form, in float32 or better, under autocast as well; groups of latents drawn from them.

Each group is conditioned on those before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.nn.noise import fold, standard_normal

# The distribution from which the groups are drawn, or the given groups, L times [n, ...].
LatentSource = Literal["posterior", "prior"] | Sequence[Tensor] | Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Returns the tensor in float32, or unchanged if it is float64."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


class DiagonalGaussian(NamedTuple):
    """N(mean, exp(log_scale) ** 2), every element independent. Both fields have the same shape."""

    mean: Tensor
    log_scale: Tensor

    @classmethod
    def from_parameters(cls, parameters: Tensor, *, dim: int) -> DiagonalGaussian:
        """Splits a network's output in two halves along ``dim``: mean, then logarithm of the standard deviation."""
        mean, log_scale = at_least_float32(parameters).chunk(2, dim=dim)
        return cls(mean=mean, log_scale=log_scale)

    def sample(self, noise: Tensor, *, temperature: Tensor | float = 1.0) -> Tensor:
        """Returns mean + temperature * scale * noise, for standard normal ``noise`` of the same shape."""
        return self.mean + temperature * torch.exp(self.log_scale) * noise.to(self.mean.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the log-density of each element, nats, same shape as ``mean``."""
        standardised = (value - self.mean) * torch.exp(-self.log_scale)
        return -0.5 * standardised.square() - self.log_scale - 0.5 * math.log(2.0 * math.pi)


def kl_divergence(q: DiagonalGaussian, p: DiagonalGaussian) -> Tensor:
    """Returns KL(q || p) of each element, nats: log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2."""
    log_ratio = q.log_scale - p.log_scale
    standardised = (q.mean - p.mean) * torch.exp(-p.log_scale)
    # expm1 keeps the result exact and non-negative where q and p nearly agree.
    return 0.5 * (torch.expm1(2.0 * log_ratio) + standardised.square()) - log_ratio


def standard_like(reference: DiagonalGaussian) -> DiagonalGaussian:
    """Returns N(0, 1) with the shape of ``reference``."""
    return DiagonalGaussian(mean=torch.zeros_like(reference.mean), log_scale=torch.zeros_like(reference.log_scale))


class GroupTerms(NamedTuple):
    """KL and log-ratio of groups of latents."""

    kl: Tensor  # [n, L] of L groups, [n, ...] of one: analytic KL(q_l || p_l) given the groups before, nats
    log_ratio: Tensor  # [n]: log q(z) - log p(z) at the sampled z, summed over the groups, nats


def terms_of_group(z: Tensor, *, posterior: DiagonalGaussian, prior: DiagonalGaussian) -> GroupTerms:
    """Returns the terms of a single group z [n, ...]."""
    ratios = posterior.log_prob(z) - prior.log_prob(z)
    return GroupTerms(kl=kl_divergence(posterior, prior), log_ratio=ratios.flatten(1).sum(1))


class Rollout(NamedTuple):
    """L groups of latents for n queries or scenes, from posterior or prior, and the predictions that follow."""

    prediction: Tensor  # [n, C', H, W], or [n * Q, C', H, W] for latents of scenes
    latents: Tensor  # [L, n, ...]
    priors: DiagonalGaussian  # [L, n, ...]
    posteriors: DiagonalGaussian | None  # [L, n, ...]; None without targets
    canvases: Sequence[Tensor] = ()  # of DRAW, L times [n, C', H, W]: after every step

    def terms(self) -> GroupTerms:
        """Returns KL(q || p) of every group of latents and log q(z) - log p(z) at the latents."""
        assert self.posteriors is not None, "there is no posterior without a target"
        kl = kl_divergence(self.posteriors, self.priors).flatten(2).sum(2)
        ratios = self.posteriors.log_prob(self.latents) - self.priors.log_prob(self.latents)
        return GroupTerms(kl=kl.T, log_ratio=ratios.flatten(2).sum((0, 2)))


def given_groups(
    source: LatentSource, keys: Tensor, *, groups: int, shape: tuple[int, ...]
) -> Sequence[Tensor] | Tensor:
    """Returns the latents of L groups, or their noise, [L, n, *shape], for keys [n]; see :func:`draw_group`."""
    if not isinstance(source, str):
        return source
    # Group l has the key (key, l).
    return standard_normal(fold(keys, torch.arange(groups, device=keys.device)[:, None]), shape)


def draw_group(given: Tensor, parameters: Tensor | None, *, dim: int, temperature: Tensor | float = 1.0) -> Tensor:
    """Returns one group of latents z_l, [n, ...], from a group of :func:`given_groups`.

    ``parameters`` are mean and log scale of z_l, concatenated along ``dim``; None if ``given`` is z_l. The temperature
    scales the standard deviation; it is 1 for a posterior.
    """
    if parameters is None:
        return given
    return DiagonalGaussian.from_parameters(parameters, dim=dim).sample(given, temperature=temperature)


def stacked(parameters: Sequence[Tensor], *, dim: int) -> DiagonalGaussian:
    """Stacks the parameters [n, ...] of L groups, mean and log scale along ``dim``, to one distribution [L, n, ...]."""
    return DiagonalGaussian.from_parameters(torch.stack(list(parameters)), dim=dim + 1)
