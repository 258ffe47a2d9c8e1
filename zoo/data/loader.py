"""The batches of a training run on their device; images stay uint8 until they are there.

Either this process or worker processes read the views from the source, and a batch is copied while the one before is in
use; or the whole split lies on the device and a batch is an indexing there: the host sends only plans, many steps at a
time. The batches are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.plan import BatchPlan, LoadedBatch, Share, TrainingPlan, assemble, to_device
from zoo.data.source import SceneSource, bytes_per_scene
from zoo.data.worker_batches import Workers, number_of_workers, worker_batches
from zoo.episode import SceneBatch
from zoo.errors import ConfigError
from zoo.nn.noise import scene_keys
from zoo.provenance import usable_cores

RESIDENT_SHARE: Final = 0.25  # of the free memory, the most that scenes may take under residence "auto"
STEPS_PER_BLOCK: Final = 64  # whose plans go to the device together

Residence = Literal["auto", "device", "disk"]
Item = TypeVar("Item")
Started = TypeVar("Started")
Finished = TypeVar("Finished")


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


class TrainingLoader:
    """The batches of a training run, from any step on."""

    def __init__(
        self,
        source: SceneSource,
        *,
        plan: TrainingPlan,
        device: torch.device | str,
        share: Share | None = None,
        workers: Workers = "auto",
        residence: Residence = "auto",
    ) -> None:
        """Raises ConfigError if the batch cannot be divided equally, or ``workers`` is negative.

        Args:
            source: of the scenes.
            plan: of the run.
            device: of the batches.
            share: the part of every batch that this process takes; None takes all of it.
            workers: processes that read scenes, 0 for this one; see :func:`zoo.data.worker_batches.number_of_workers`.
            residence: ``device`` keeps all scenes on the device, ``disk`` none, and ``auto`` all of them on a GPU if they
                take at most a quarter of its free memory.
        """
        share = share or Share()
        if plan.recipe.batch_size % (share.world_size * share.accumulation):
            raise ConfigError(
                f"training.batch_size: found {plan.recipe.batch_size}, expected a multiple of {share.world_size} process(es) "
                f"times {share.accumulation} accumulated pass(es)"
            )
        self.source = source
        self.plan = plan
        self.device = torch.device(device)
        self.share = share
        self.resident = residence == "device" or (residence == "auto" and fits_on(self.device, source))
        self.workers = number_of_workers(
            workers,
            device=self.device,
            resident=self.resident,
            cores=usable_cores(),
            # Launchers set the number of processes of the run on this machine.
            local_processes=int(os.environ.get("LOCAL_WORLD_SIZE", share.world_size)),
        )
        self._scenes: ResidentScenes | None = None

    def pieces(self, *, start: int, stop: int) -> Iterator[LoadedBatch]:
        """Yields the pieces of steps ``start`` to ``stop`` (not included), ``accumulation`` of them per step."""
        if self.resident:
            if self._scenes is None:
                self._scenes = read_all(self.source, device=self.device)
            sampler = ResidentSampler(self.source, self._scenes, plan=self.plan, share=self.share)
            return sampler.pieces(start=start, stop=stop)
        if not self.workers:
            return on_device(self._read(start, stop), device=self.device, borrowed=False)
        coming = worker_batches(
            self.source, plan=self.plan, share=self.share, workers=self.workers, start=start, stop=stop
        )
        return on_device(coming, device=self.device, borrowed=True)

    def _read(self, start: int, stop: int) -> Iterator[LoadedBatch]:
        for step in range(start, stop):
            whole = self.plan(step)
            for piece in range(self.share.accumulation):
                part = self.share.part(whole, piece)
                yield LoadedBatch(assemble(self.source, part, seed=self.plan.seed, step=step), part.num_context)


def one_ahead(
    items: Iterable[Item], *, start: Callable[[Item], Started], finish: Callable[[Started], Finished]
) -> Iterator[Finished]:
    """Finishes items in order, each when the next has been started; an exception is raised after the items before it.

    ``start`` does not wait, ``finish`` may.
    """
    started: list[Started] = []
    failure: Exception | None = None
    try:
        for item in items:
            started.append(start(item))
            if len(started) > 1:
                yield finish(started.pop(0))
    except Exception as error:  # raised below, after the items before it
        failure = error
    for last in started:
        yield finish(last)
    if failure is not None:
        raise failure


class SideStream:
    """Copies batches to a GPU in a stream of its own; the host never waits for the GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def start(self, loaded: LoadedBatch) -> tuple[LoadedBatch, torch.cuda.Event]:
        """Begins to copy. The batch may be overwritten at once: its pinned copy stays until the GPU has it."""
        pinned = loaded.batch.apply(lambda field: field.pin_memory())
        with torch.cuda.stream(self._stream):
            batch = to_device(pinned, self._device)
            copied = self._stream.record_event()
        return LoadedBatch(batch, loaded.num_context), copied

    def finish(self, under_way: tuple[LoadedBatch, torch.cuda.Event]) -> LoadedBatch:
        """Makes the computing stream wait for the copy, and keeps its memory until that stream has used it."""
        loaded, copied = under_way
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(copied)
        for field in (*loaded.batch[:4], *loaded.batch.extras.values()):
            field.record_stream(computing)
        return loaded


def on_device(batches: Iterable[LoadedBatch], *, device: torch.device, borrowed: bool) -> Iterator[LoadedBatch]:
    """Yields batches of the CPU on their device; for a GPU the next one is copied meanwhile.

    ``borrowed`` says that a batch is overwritten when the next is asked for.
    """
    if device.type == "cuda":
        side = SideStream(device)
        return one_ahead(batches, start=side.start, finish=side.finish)
    if device.type == "cpu":
        return (loaded._replace(batch=loaded.batch.apply(torch.clone)) if borrowed else loaded for loaded in batches)
    return (loaded._replace(batch=loaded.batch.apply(lambda field: field.to(device))) for loaded in batches)
