"""What data sets of points (an input, a value) have in common: no images, no cameras, two extras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from zoo.data.built_in import Rendering
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import ExtraShape

INPUTS, VALUES, KERNEL = "inputs", "values", "kernel"


def point_shapes(*, input_width: int, value_width: int) -> Mapping[str, ExtraShape]:
    """Returns the types and shapes of the points of a function: every point is a view."""
    return MappingProxyType(
        {
            INPUTS: ExtraShape("float32", (input_width,), per_view=True),
            VALUES: ExtraShape("float32", (value_width,), per_view=True),
        }
    )


def rendering_of_points(scenes: Sequence[Any], *, num_views: int, extras: Mapping[str, np.ndarray]) -> Rendering:
    """Returns B functions of V points each: images of no pixels and cameras of zeros.

    Args:
        scenes: what the functions are, B of them.
        num_views: V.
        extras: name -> [B, V, ...] of points or [B, ...] of functions.
    """
    return Rendering(
        frames=torch.zeros(len(scenes), num_views, 0, 0, 3, dtype=torch.uint8),
        cameras=torch.zeros(len(scenes), num_views, CAMERA_WIDTH),
        scenes=tuple(scenes),
        extras=extras,
    )


def pixel_positions(size: int) -> np.ndarray:
    """Returns where the pixels of a square image lie, row by row, [size * size, 2] float32.

    The first coordinate goes to the right and the second down; the middles of the outermost pixels lie at -1 and 1.
    """
    along = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    down, right = np.meshgrid(along, along, indexing="ij")
    return np.stack([right, down], axis=-1).reshape(-1, 2)
