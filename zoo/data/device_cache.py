"""Whole splits on a device: a batch is an indexing there; the host sends only plans, many steps at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.batches import LoadedBatch, host_keys
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.plan import BatchPlan, Share, TrainingPlan
from zoo.data.source import SceneSource, bytes_per_scene
from zoo.episode import SceneBatch

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
    resident = ResidentScenes(
        frames=torch.empty(*shape, size, size, 3, dtype=torch.uint8, device=device),
        cameras=torch.empty(*shape, CAMERA_WIDTH, dtype=torch.float32, device=device),
        extras={
            name: torch.empty(
                *(shape if extra.per_view else shape[:1]),
                *extra.shape,
                dtype=getattr(torch, extra.dtype),
                device=device,
            )
            for name, extra in source.extras.items()
        },
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


class _Table(NamedTuple):
    """A field with one row per view or per scene, so that a batch chooses rows by one operation."""

    rows: Tensor  # [rows, numbers in a row]
    shape: tuple[int, ...]  # of a row

    @classmethod
    def of(cls, field: Tensor, *, lead: int) -> _Table:
        """Makes a table of a field whose first ``lead`` axes count rows."""
        shape = tuple(field.shape[lead:])
        return cls(field.reshape(math.prod(field.shape[:lead]), math.prod(shape)), shape)

    def choose(self, rows: Tensor, *, lead: tuple[int, ...]) -> Tensor:
        return self.rows.index_select(0, rows).view(*lead, *self.shape)


class ResidentSampler:
    """Draws the batches of a plan from scenes that lie on a device.

    The host does not wait for the device: plans and keys of many steps are computed on the host and sent together from
    pinned memory, and a batch is one indexing per field.
    """

    def __init__(self, source: SceneSource, scenes: ResidentScenes, *, plan: TrainingPlan, share: Share) -> None:
        self._plan, self._share = plan, share
        self._device = scenes.frames.device
        self._num_views = source.num_views
        self._frames, self._cameras = _Table.of(scenes.frames, lead=2), _Table.of(scenes.cameras, lead=2)
        self._per_view = {name: extra.per_view for name, extra in source.extras.items()}
        self._extras = {
            name: _Table.of(field, lead=2 if self._per_view[name] else 1) for name, field in scenes.extras.items()
        }

    def pieces(self, *, start: int, stop: int) -> Iterator[LoadedBatch]:
        """Yields the pieces of steps ``start`` to ``stop`` (not included)."""
        for first in range(start, stop, STEPS_PER_BLOCK):
            yield from self._block(range(first, min(first + STEPS_PER_BLOCK, stop)))

    def _block(self, steps: range) -> Iterator[LoadedBatch]:
        parts = [
            self._share.part(whole, piece)
            for whole in map(self._plan, steps)
            for piece in range(self._share.accumulation)
        ]
        steps_of_parts = np.repeat(np.array(steps), self._share.accumulation)
        places = np.stack([part.places for part in parts])
        scenes = self._send(np.stack([part.scenes for part in parts]))
        keys = self._send(host_keys(seed=self._plan.seed, steps=steps_of_parts[:, None], places=places))
        rows = self._send(
            np.concatenate([(part.scenes[:, None] * self._num_views + part.views).ravel() for part in parts])
        )
        offset = 0
        for part, scene, key in zip(parts, scenes.unbind(), keys.unbind(), strict=True):
            chosen = rows[offset : offset + part.views.size]
            offset += part.views.size
            yield LoadedBatch(self._batch(part, scene=scene, key=key, rows=chosen), part.num_context)

    def _send(self, numbers: np.ndarray) -> Tensor:
        on_host = torch.from_numpy(numbers)
        if self._device.type == "cuda":
            on_host = on_host.pin_memory()
        return on_host.to(self._device, non_blocking=True)

    def _batch(self, part: BatchPlan, *, scene: Tensor, key: Tensor, rows: Tensor) -> SceneBatch:
        views, scenes = part.views.shape, part.scenes.shape
        extras = {
            name: table.choose(rows, lead=views) if self._per_view[name] else table.choose(scene, lead=scenes)
            for name, table in self._extras.items()
        }
        return SceneBatch(
            frames=self._frames.choose(rows, lead=views),
            cameras=self._cameras.choose(rows, lead=views),
            scene=scene,
            key=key,
            extras=extras,
        )
