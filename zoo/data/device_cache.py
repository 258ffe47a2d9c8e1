"""Whole splits on a device: a batch is an indexing there; the host sends only plans, many steps at a time."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.plan import BatchPlan, LoadedBatch, Share, TrainingPlan
from zoo.data.source import SceneSource, bytes_per_scene
from zoo.episode import SceneBatch
from zoo.nn.noise import scene_keys

RESIDENT_SHARE: Final = 0.25  # of the free memory, the most that scenes may take under residence "auto"
STEPS_PER_BLOCK: Final = 64  # whose plans go to the device together


class ResidentScenes(NamedTuple):
    """A whole split on a device, n scenes."""

    frames: Tensor  # [n, V, H, W, 3] uint8
    cameras: Tensor  # [n, V, 5]
    extras: dict[str, Tensor]  # name -> [n, V, ...] of views or [n, ...] of scenes


def read_all(source: SceneSource, *, device: torch.device | str, chunk: int = 256) -> ResidentScenes:
    """Reads a whole split onto a device, ``chunk`` scenes at a time."""
    shape, size = (source.num_scenes, source.num_views), source.image_size
    extras = {
        name: torch.empty(
            *shape[: 2 if extra.per_view else 1], *extra.shape, dtype=getattr(torch, extra.dtype), device=device
        )
        for name, extra in source.extras.items()
    }
    resident = ResidentScenes(
        frames=torch.empty(*shape, size, size, 3, dtype=torch.uint8, device=device),
        cameras=torch.empty(*shape, CAMERA_WIDTH, dtype=torch.float32, device=device),
        extras=extras,
    )
    for start in range(0, source.num_scenes, chunk):
        scenes = np.arange(start, min(start + chunk, source.num_scenes))
        views = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
        frames, cameras = source.read(scenes, views)
        place = slice(start, start + len(scenes))
        resident.frames[place] = torch.from_numpy(frames)
        resident.cameras[place] = torch.from_numpy(cameras)
        for name, array in source.read_extras(scenes, views).items():
            resident.extras[name][place] = torch.from_numpy(array)
    return resident


def fits_on(device: torch.device, source: SceneSource) -> bool:
    """Whether a split takes at most a quarter of a GPU's free memory; other devices read from disk."""
    if device.type != "cuda":
        return False
    scene = bytes_per_scene(source.extras, image_size=source.image_size, num_views=source.num_views)
    free, _ = torch.cuda.mem_get_info(device)
    return source.num_scenes * scene <= RESIDENT_SHARE * free


class ResidentSampler:
    """Draws the batches of a plan from scenes that lie on a device.

    The host does not wait for the device: plans and keys of many steps are computed on the host and sent together from
    pinned memory, and a batch is one indexing per field.
    """

    def __init__(self, source: SceneSource, scenes: ResidentScenes, *, plan: TrainingPlan, share: Share) -> None:
        self._plan, self._share = plan, share
        self._device = scenes.frames.device
        self._num_views = source.num_views
        # With one row per view or per scene.
        self._frames, self._cameras = scenes.frames.flatten(0, 1), scenes.cameras.flatten(0, 1)
        per_view = {name for name, extra in source.extras.items() if extra.per_view}
        self._of_views = {name: field.flatten(0, 1) for name, field in scenes.extras.items() if name in per_view}
        self._of_scenes = {name: field for name, field in scenes.extras.items() if name not in per_view}

    def pieces(self, *, start: int, stop: int) -> Iterator[LoadedBatch]:
        """Yields the pieces of steps ``start`` to ``stop`` (not included)."""
        for first in range(start, stop, STEPS_PER_BLOCK):
            yield from self._block(range(first, min(first + STEPS_PER_BLOCK, stop)))

    def _block(self, steps: range) -> Iterator[LoadedBatch]:
        pieces = range(self._share.accumulation)
        parts = [self._share.part(whole, piece) for whole in map(self._plan, steps) for piece in pieces]
        steps_of_parts = torch.tensor(steps).repeat_interleave(self._share.accumulation)
        places = torch.from_numpy(np.stack([part.places for part in parts]))
        keys = self._send(scene_keys(seed=self._plan.seed, step=steps_of_parts[:, None], places=places))
        scenes = self._send(torch.from_numpy(np.stack([part.scenes for part in parts])))
        row_numbers = [(part.scenes[:, None] * self._num_views + part.views).ravel() for part in parts]
        rows = self._send(torch.from_numpy(np.concatenate(row_numbers)))
        rows_of_parts = rows.split([len(numbers) for numbers in row_numbers])
        for part, scene, key, chosen in zip(parts, scenes.unbind(), keys.unbind(), rows_of_parts, strict=True):
            yield LoadedBatch(self._batch(part, scene=scene, key=key, rows=chosen), part.num_context)

    def _send(self, numbers: Tensor) -> Tensor:
        if self._device.type == "cuda":
            numbers = numbers.pin_memory()
        return numbers.to(self._device, non_blocking=True)

    def _batch(self, part: BatchPlan, *, scene: Tensor, key: Tensor, rows: Tensor) -> SceneBatch:
        def of_views(field: Tensor) -> Tensor:
            return field.index_select(0, rows).unflatten(0, part.views.shape)

        extras = {name: of_views(field) for name, field in self._of_views.items()}
        extras |= {name: field.index_select(0, scene) for name, field in self._of_scenes.items()}
        return SceneBatch(of_views(self._frames), of_views(self._cameras), scene, key, extras)
