"""Data sets of points (an input and a value): no images, cameras of zeros, two extras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch

from zoo.data.built_in import DrawnScene, Rendering, stack_extras
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import ExtraShape

INPUTS, VALUES, KERNEL = "inputs", "values", "kernel"


def point_shapes(*, input_width: int, value_width: int) -> Mapping[str, ExtraShape]:
    """Returns the types and shapes of the points of a function; every point is a view."""
    return MappingProxyType(
        {
            INPUTS: ExtraShape("float32", (input_width,), per_view=True),
            VALUES: ExtraShape("float32", (value_width,), per_view=True),
        }
    )


def rendering_of_points(drawn: Sequence[DrawnScene]) -> Rendering:
    """Returns functions as scenes with images of no pixels."""
    cameras = torch.zeros(len(drawn), len(drawn[0].cameras), CAMERA_WIDTH)
    frames = torch.zeros(*cameras.shape[:2], 0, 0, 3, dtype=torch.uint8)
    return Rendering(frames, cameras, tuple(item.scene for item in drawn), stack_extras(drawn))
