"""A capture: images of one place with calibrated pinhole cameras, whatever format it was read from.

Cameras are held with the axes of OpenGL: the columns of a rotation are the directions right, up and backward of the
image in world coordinates. Pixel coordinates are continuous as in :mod:`zoo.data.camera`: the image covers 0 to its width
and 0 to its height, column 0 is the left and row 0 the top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.images import photograph_size
from zoo.data.source import Split
from zoo.errors import DataError

CaptureFormat = Literal["nerfstudio", "NeRF-synthetic", "COLMAP text", "COLMAP binary"]
UpAxis = Literal["x", "y", "z", "-x", "-y", "-z", "auto"]

ROTATION_TOLERANCE = 1e-3  # by which the product of a rotation with its transpose may differ from the identity


class FieldOfView(NamedTuple):
    """Angles that an image spans, degrees."""

    width: float
    height: float

    def __str__(self) -> str:
        return f"{self.width:.1f} x {self.height:.1f}"


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """A pinhole camera without distortion; everything in pixels."""

    width: int
    height: int
    focal_x: float
    focal_y: float
    centre_x: float  # where the optical axis meets the image
    centre_y: float

    @property
    def field_of_view(self) -> FieldOfView:
        """The angles that the whole image spans."""
        return FieldOfView(
            _span(self.centre_x, size=self.width, focal=self.focal_x),
            _span(self.centre_y, size=self.height, focal=self.focal_y),
        )


def _span(centre: float, *, size: int, focal: float) -> float:
    return math.degrees(math.atan(centre / focal) + math.atan((size - centre) / focal))


@dataclass(frozen=True, kw_only=True)
class PosedImage:
    """An image file and its camera."""

    path: Path
    intrinsics: Intrinsics
    rotation: np.ndarray  # [3, 3] float64: columns right, up and backward in the world
    position: np.ndarray  # [3] float64, world units
    split: Split | None = None  # to which its file assigns it


@dataclass(frozen=True, kw_only=True)
class Capture:
    """The images of one folder, in file order."""

    folder: Path
    format: CaptureFormat
    files: tuple[str, ...]  # that hold the cameras, relative to the folder
    up: UpAxis  # the axis of the world that points up by the convention of the format
    images: tuple[PosedImage, ...]


def check_rotation(matrix: np.ndarray, *, origin: str) -> np.ndarray:
    """Returns the rotation nearest to ``matrix`` [3, 3].

    Raises:
        DataError: naming ``origin``, if it is not a rotation within ``ROTATION_TOLERANCE``.
    """
    error = np.abs(matrix @ matrix.T - np.eye(3)).max()
    if not error < ROTATION_TOLERANCE or np.linalg.det(matrix) < 0.0:
        raise DataError(
            f"{origin}: its rotation differs from an orthonormal right-handed one by {error:.2g}, expected at most "
            f"{ROTATION_TOLERANCE:g}"
        )
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def check_image_size(path: Path, *, origin: str, expected: tuple[int, int] | None) -> tuple[int, int]:
    """Returns width and height of an image file, pixels.

    Raises:
        DataError: if the file is missing or unreadable, or if it has not the size that ``origin`` states.
    """
    size = photograph_size(path)
    if expected not in (None, size):
        raise DataError(
            f"{path}: the image is {size[0]} x {size[1]} pixels, but {origin} states {expected[0]} x {expected[1]}"
        )
    return size
