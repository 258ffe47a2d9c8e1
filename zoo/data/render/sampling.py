"""Rays through the pixels of square images: offsets on the image plane, chunks of cameras, means over samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.camera import FIELD_OF_VIEW_DEGREES, camera_axes, image_plane


class RayGrid(NamedTuple):
    """The R = (H s)^2 rays of a camera, s^2 samples per pixel, ordered [s, s, H, W]: means over samples add whole images."""

    right: Tensor  # [R], offset on the image plane at distance 1
    up: Tensor  # [R]
    sample_angle: float  # radians between neighbouring rays in the middle of the image
    half_width: float  # of the image plane at distance 1
    image_size: int
    samples_per_side: int

    @property
    def rays_per_side(self) -> int:
        """The number of samples in a row of the image."""
        return self.image_size * self.samples_per_side

    def sum_samples(self, values: Tensor) -> Tensor:
        """Sums [..., R] over the samples of every pixel, in a fixed order, [..., H, W]."""
        samples = values.view(*values.shape[:-1], self.samples_per_side**2, self.image_size, self.image_size).unbind(-3)
        total = samples[0]
        for sample in samples[1:]:
            total = total + sample
        return total


def ray_grid(image_size: int, *, samples_per_side: int, device: torch.device) -> RayGrid:
    """Returns the rays of a camera with the zoo's field of view."""
    side = image_size * samples_per_side
    half_width = math.tan(math.radians(FIELD_OF_VIEW_DEGREES) / 2.0)
    offsets = image_plane(side).view(image_size, samples_per_side).T
    shape = (samples_per_side, samples_per_side, image_size, image_size)
    right = offsets[None, :, None, :].expand(shape).flatten().float().to(device)
    up = -offsets[:, None, :, None].expand(shape).flatten().float().to(device)
    return RayGrid(right, up, 2.0 * half_width / side, half_width, image_size, samples_per_side)


def exact_axes(cameras: Tensor, *, device: torch.device) -> Tensor:
    """Returns forward, right and up of cameras [B, V, 5], [axis, component, B, V] float32.

    Computed on the host, in double precision and one scene at a time: sines may differ in the last bit between devices
    and between vectorised loops of different lengths.
    """
    exact = [torch.stack(camera_axes(scene)) for scene in cameras.detach().double().cpu()]
    return torch.stack(exact).permute(1, 3, 0, 2).float().to(device)


def camera_chunks(num_cameras: int, grid: RayGrid, *, rays_per_chunk: int) -> Iterator[slice]:
    """Yields ranges of cameras that together have about ``rays_per_chunk`` rays; results do not depend on the cut."""
    step = max(1, rays_per_chunk // grid.rays_per_side**2)
    for first in range(0, num_cameras, step):
        yield slice(first, first + step)
