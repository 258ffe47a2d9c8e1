"""Rays through the pixels of square images: offsets on the image plane, chunks of cameras, means over samples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.camera import IMAGE_HALF_WIDTH, camera_axes, image_plane

# Small enough that a chunk stays near a core's cache. Results do not depend on it.
RAYS_PER_CHUNK: Mapping[str, int] = {"cpu": 1 << 15, "cuda": 1 << 21}


class RayGrid(NamedTuple):
    """The R = (H s)^2 rays of a camera, s^2 samples per pixel, ordered [s, s, H, W]: means over samples add whole images."""

    right: Tensor  # [R], offset on the image plane at distance 1
    up: Tensor  # [R]
    sample_angle: float  # radians between neighbouring rays in the middle of the image
    image_size: int
    samples_per_side: int

    def sum_samples(self, values: Tensor) -> Tensor:
        """Sums [..., R] over the samples of every pixel, in a fixed order, [..., H, W]."""
        samples = values.view(*values.shape[:-1], self.samples_per_side**2, self.image_size, self.image_size)
        return functools.reduce(torch.add, samples.unbind(-3))


def ray_grid(image_size: int, *, device: torch.device, samples_per_side: int = 2) -> RayGrid:
    """Returns the rays of a camera with the zoo's field of view."""
    side = image_size * samples_per_side
    offsets = image_plane(side).view(image_size, samples_per_side).T
    shape = (samples_per_side, samples_per_side, image_size, image_size)
    right = offsets[None, :, None, :].expand(shape).flatten().float().to(device)
    up = -offsets[:, None, :, None].expand(shape).flatten().float().to(device)
    return RayGrid(right, up, 2.0 * IMAGE_HALF_WIDTH / side, image_size, samples_per_side)


def exact_axes(cameras: Tensor, *, device: torch.device) -> Tensor:
    """Returns forward, right and up of cameras [B, V, 5], [axis, component, B, V] float32.

    Computed on the host, in double precision and one scene at a time: sines may differ in the last bit between devices
    and between vectorised loops of different lengths.
    """
    exact = [torch.stack(camera_axes(scene)) for scene in cameras.detach().double().cpu()]
    return torch.stack(exact).permute(1, 3, 0, 2).float().to(device)


def render_chunks(
    cast: Callable[[slice, Tensor], Iterable[Tensor]], *, num_scenes: int, num_views: int, grid: RayGrid
) -> Tensor:
    """Renders V cameras of each of B scenes, some cameras at a time, [B, V, H, W, 3] uint8.

    ``cast`` takes the range of C cameras among all B * V and their scenes [C, 1] int32; it returns red, green and blue
    of their rays, [C, R] each, 0 to 255.
    """
    device = grid.right.device
    owner = torch.arange(num_scenes, dtype=torch.int32, device=device).repeat_interleave(num_views)[:, None]
    frames = torch.empty(len(owner), grid.image_size, grid.image_size, 3, dtype=torch.uint8, device=device)
    share = 1.0 / grid.samples_per_side**2
    step = max(1, RAYS_PER_CHUNK.get(device.type, RAYS_PER_CHUNK["cpu"]) // len(grid.right))
    for first in range(0, len(owner), step):
        part = slice(first, first + step)
        for channel, values in enumerate(cast(part, owner[part])):
            frames[part, ..., channel] = (grid.sum_samples(values) * share + 0.5).clamp_max(255.0).to(torch.uint8)
    return frames.view(num_scenes, num_views, *frames.shape[1:])
