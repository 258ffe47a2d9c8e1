"""Resampling an image to the square field of view of :mod:`zoo.data.camera`, without roll.

Both cameras share their centre and their optical axis, so the mapping between their images, a homography, is affine and
exact whatever the scene. A new pixel is the mean over its area, sampled at most one source pixel apart with linear
interpolation; this is the filter of the ray-caster of the built-in scenes.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zoo.data.camera import IMAGE_HALF_WIDTH, image_plane
from zoo.data.captures.capture import Intrinsics

Fill = Literal["edge", "white", "black"]

_TOLERANCE = 1e-3  # source pixels by which rounded cameras may look past the edge
_MOST_SAMPLES_PER_SIDE = 16  # of a new pixel; larger images are first reduced by a whole factor
_SAMPLES_PER_BAND = 1 << 20


def covers(intrinsics: Intrinsics, *, roll: float) -> bool:
    """Whether an image that is rolled by so many radians shows the whole square field of view."""
    corners = torch.tensor([-IMAGE_HALF_WIDTH, IMAGE_HALF_WIDTH], dtype=torch.float64)
    column, row = _place(corners[None, :], corners[:, None], intrinsics=intrinsics, roll=roll)
    return all(
        place.min().item() >= -_TOLERANCE and place.max().item() <= size + _TOLERANCE
        for place, size in ((column, intrinsics.width), (row, intrinsics.height))
    )


def reproject(
    image: Image.Image, *, intrinsics: Intrinsics, roll: float, image_size: int, fill: Fill = "edge"
) -> np.ndarray:
    """Returns the view of the camera without roll, [image_size, image_size, 3] uint8.

    Args:
        image: RGB.
        intrinsics: of ``image``.
        roll: of its camera, radians; see :class:`zoo.data.camera.CameraAngles`.
        image_size: height and width of the result, pixels.
        fill: what is seen beyond the image: its nearest pixel, white or black.
    """
    density = (
        2.0 * IMAGE_HALF_WIDTH * max(intrinsics.focal_x, intrinsics.focal_y) / image_size
    )  # source pixels per new one
    factor = max(1, math.floor(density / _MOST_SAMPLES_PER_SIDE * 2.0))
    source = np.asarray(image.reduce(factor) if factor > 1 else image)
    pixels = torch.from_numpy(source.copy()).permute(2, 0, 1)[None].float()
    samples = max(2, math.ceil(density / factor))
    offsets = image_plane(image_size * samples)
    rows_per_band = max(1, _SAMPLES_PER_BAND // (image_size * samples**2))
    bands = []
    for first in range(0, image_size, rows_per_band):
        heights = -offsets[first * samples : (first + rows_per_band) * samples]
        column, row = _place(offsets[None, :], heights[:, None], intrinsics=intrinsics, roll=roll)
        values = _sample(pixels, column / factor, row / factor)
        if fill != "edge":
            outside = (column < 0) | (column > intrinsics.width) | (row < 0) | (row > intrinsics.height)
            values = values.masked_fill(outside, 255.0 if fill == "white" else 0.0)
        bands.append(values.view(3, -1, samples, image_size, samples).mean((2, 4)))
    return (torch.cat(bands, dim=1) + 0.5).clamp_max(255.0).to(torch.uint8).permute(1, 2, 0).numpy()


def _place(right: Tensor, up: Tensor, *, intrinsics: Intrinsics, roll: float) -> tuple[Tensor, Tensor]:
    """Returns column and row, in pixels of the source, of offsets on the image plane at distance 1 without roll."""
    cosine, sine = math.cos(roll), math.sin(roll)
    column = intrinsics.centre_x + intrinsics.focal_x * (right * cosine + up * sine)
    row = intrinsics.centre_y - intrinsics.focal_y * (up * cosine - right * sine)
    return column, row


def _sample(pixels: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Interpolates ``pixels`` [1, 3, H, W] linearly at columns and rows [h, w], [3, h, w]; beyond it, the nearest pixel."""
    height, width = pixels.shape[2:]
    grid = torch.stack([2.0 * column / width - 1.0, 2.0 * row / height - 1.0], dim=-1)[None].float()
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
