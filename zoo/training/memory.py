"""Estimates of the memory that a run needs at least, before anything is allocated."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from zoo.data.source import SceneSource
from zoo.errors import OutOfMemoryError
from zoo.registry.variant import Variant, build

BYTES = 4  # of a float32
COPIES = 4  # of every weight: itself, its gradient and the two moments of Adam
IMAGE_BYTES = 5  # of a channel of a pixel: uint8 as read, float32 as used


def check_model_memory(variant: Variant, *, device: torch.device) -> None:
    """Raises OutOfMemoryError if the weights, gradients and moments of a model exceed the memory of its device.

    The model is made on the meta device, without memory; one that cannot be made there is not checked.
    """
    try:
        # torch warns of every tensor of a file that is not copied there.
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            model = build(variant)
    except Exception:  # of settings, which building on the device reports, or of a component that meta does not support
        return
    weights = sum(parameter.numel() for parameter in model.parameters())
    needed = weights * BYTES * (COPIES + (variant.training.ema_decay > 0))
    available = memory_of(device)
    if needed > available:
        raise OutOfMemoryError(
            f"{variant.name}: {weights:,} weights with gradients and moments need at least {_gigabytes(needed)}, but "
            f"{device.type} has {_gigabytes(available)}; choose smaller settings of encoder and core"
        )


def check_batch_memory(variant: Variant, source: SceneSource, *, num_processes: int) -> None:
    """Raises OutOfMemoryError if the images and arrays of a batch alone exceed the memory of this machine."""
    recipe = variant.training
    views = recipe.contexts.maximum + recipe.most_targets
    extras = sum(
        int(np.prod(extra.shape, dtype=object)) * (views if extra.per_view else 1) for extra in source.extras.values()
    )
    # Every process plans the whole batch (8 bytes per view of a scene) and reads its own share of it.
    share = (views * 3 * source.image_size**2 * IMAGE_BYTES + extras) / (num_processes * recipe.gradient_accumulation)
    needed = int(recipe.batch_size * (8 * source.num_views + share))
    available = memory_of(torch.device("cpu"))
    if needed > available:
        raise OutOfMemoryError(
            f"{variant.name}: a batch of {recipe.batch_size:,} scenes needs at least {_gigabytes(needed)}, but this machine "
            f"has {_gigabytes(available)}; use a smaller -b or a larger --set training.gradient_accumulation"
        )


def memory_of(device: torch.device) -> int:
    """Returns the memory of a GPU, or of this machine, bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextmanager
def memory_errors(variant: Variant) -> Iterator[None]:
    """Turns an allocation that fails in the block into an OutOfMemoryError that names what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU torch raises a plain RuntimeError.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OutOfMemoryError(
            f"{variant.name}: a batch of {variant.training.batch_size} scenes does not fit into memory: use a smaller "
            "-b, a larger --set training.gradient_accumulation, --recompute, or --mixed-precision bf16 "
            f"({reason})"
        ) from None


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB"
