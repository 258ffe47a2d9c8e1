"""Feeds a device: pictures stay uint8 until they are there.

Either worker processes (or none) gather the wanted views from the source and the batch travels, or, when the whole split
fits beside the model, the pictures lie on the device and a batch is an indexing there.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.plan import BatchPlan, TrainingPlan
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch
from zoo.errors import ConfigError, ZooError
from zoo.nn.noise import scene_keys

Residence = Literal["auto", "device", "disk"]
RESIDENT_SHARE = 0.25  # of the free memory, the most that scenes may take under residence "auto"


class LoadedBatch(NamedTuple):
    """A batch on its device and the number of its context views."""

    batch: SceneBatch
    num_context: int


class Share(NamedTuple):
    """Which part of every global batch this process takes, in how many pieces."""

    rank: int = 0
    world_size: int = 1
    accumulation: int = 1

    def part(self, plan: BatchPlan, piece: int) -> BatchPlan:
        """Returns the scenes of one piece: the batch is cut by pieces first, then by processes."""
        size = len(plan.scenes) // (self.world_size * self.accumulation)
        start = (piece * self.world_size + self.rank) * size
        chosen = slice(start, start + size)
        return plan._replace(scenes=plan.scenes[chosen], views=plan.views[chosen], places=plan.places[chosen])


def assemble(source: SceneSource, plan: BatchPlan, *, seed: int, step: int) -> SceneBatch:
    """Reads the pictures of a plan into a batch on the CPU; the noise keys follow from seed, step and place."""
    frames, cameras = source.read(plan.scenes, plan.views)
    return SceneBatch(
        frames=torch.from_numpy(frames),
        cameras=torch.from_numpy(cameras),
        scene=torch.from_numpy(plan.scenes),
        key=scene_keys(seed=seed, step=step, places=torch.from_numpy(plan.places)),
        extras={name: torch.from_numpy(array) for name, array in source.read_extras(plan.scenes, plan.views).items()},
    )


def to_device(batch: SceneBatch, device: torch.device | str) -> SceneBatch:
    """Moves a batch, without waiting when its memory is pinned."""
    return batch.apply(lambda field: field.to(device, non_blocking=True))


class _Pieces(Dataset[tuple[SceneBatch, int] | ZooError]):
    """Item i is piece i of the run, counted from step 0.

    A mistake that the user can mend comes as an item: raised in a worker, its sentence would drown in a traceback.
    """

    def __init__(self, source: SceneSource, plan: TrainingPlan, share: Share) -> None:
        self.source = source
        self.plan = plan
        self.share = share

    def __getitem__(self, index: int) -> tuple[SceneBatch, int] | ZooError:
        step, piece = divmod(index, self.share.accumulation)
        part = self.share.part(self.plan(step), piece)
        try:
            return assemble(self.source, part, seed=self.plan.seed, step=step), part.num_context
        except ZooError as error:
            return error


def _leave_interrupts_to_the_parent(worker: int) -> None:
    # Ctrl-C reaches every process of the terminal; the run that ends after the step at hand still needs its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class TrainingLoader:
    """The batches of a training run, from any step on."""

    def __init__(
        self,
        source: SceneSource,
        *,
        plan: TrainingPlan,
        device: torch.device | str,
        share: Share | None = None,
        workers: int = 0,
        residence: Residence = "auto",
    ) -> None:
        """Raises ConfigError if the batch cannot be shared out equally, or ``workers`` is negative."""
        share = share or Share()
        if plan.recipe.batch_size % (share.world_size * share.accumulation):
            raise ConfigError(
                f"training.batch_size: found {plan.recipe.batch_size}, expected a multiple of {share.world_size} process(es) "
                f"times {share.accumulation} accumulated pass(es)"
            )
        if workers < 0:
            raise ConfigError(f"workers: found {workers}, expected 0 or more")
        self.source = source
        self.plan = plan
        self.device = torch.device(device)
        self.share = share
        self.workers = workers
        self.resident = residence == "device" or (residence == "auto" and fits_on(self.device, source))
        self._scenes: ResidentScenes | None = None

    def pieces(self, *, start: int, stop: int) -> Iterator[LoadedBatch]:
        """Yields the pieces of steps ``start`` to ``stop`` (not included), ``accumulation`` of them a step."""
        if self.resident:
            return self._resident_pieces(start, stop)
        return self._loaded_pieces(start, stop)

    def _loaded_pieces(self, start: int, stop: int) -> Iterator[LoadedBatch]:
        on_gpu = self.device.type == "cuda"
        loader: DataLoader[tuple[SceneBatch, int] | ZooError] = DataLoader(
            _Pieces(self.source, self.plan, self.share),
            batch_size=None,
            sampler=range(start * self.share.accumulation, stop * self.share.accumulation),
            num_workers=self.workers,
            pin_memory=on_gpu,
            # Forked workers may inherit locks that torch's threads held.
            multiprocessing_context="spawn" if self.workers else None,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_leave_interrupts_to_the_parent,
        )
        for item in loader:
            if isinstance(item, ZooError):
                raise item
            batch, num_context = item
            yield LoadedBatch(batch=to_device(batch, self.device), num_context=num_context)

    def _resident_pieces(self, start: int, stop: int) -> Iterator[LoadedBatch]:
        resident = self._on_device()
        for step in range(start, stop):
            whole = self.plan(step)
            for piece in range(self.share.accumulation):
                part = self.share.part(whole, piece)
                scenes = torch.from_numpy(part.scenes).to(self.device, non_blocking=True)
                views = torch.from_numpy(part.views).to(self.device, non_blocking=True)
                batch = SceneBatch(
                    frames=resident.frames[scenes[:, None], views],
                    cameras=resident.cameras[scenes[:, None], views],
                    scene=scenes,
                    key=scene_keys(
                        seed=self.plan.seed, step=step, places=torch.from_numpy(part.places).to(self.device)
                    ),
                    extras={
                        name: resident.extras[name][(scenes[:, None], views) if extra.per_view else scenes]
                        for name, extra in self.source.extras.items()
                    },
                )
                yield LoadedBatch(batch=batch, num_context=part.num_context)

    def _on_device(self) -> ResidentScenes:
        if self._scenes is None:
            self._scenes = read_all(self.source, device=self.device)
        return self._scenes


class ResidentScenes(NamedTuple):
    """A whole split on a device, n scenes."""

    frames: Tensor  # [n, V, H, W, 3] uint8
    cameras: Tensor  # [n, V, 5]
    extras: dict[str, Tensor]  # name -> [n, V, ...] of views or [n, ...] of scenes


def read_all(source: SceneSource, *, device: torch.device | str, chunk: int = 256) -> ResidentScenes:
    """Reads a whole split onto a device."""
    shape = (source.num_scenes, source.num_views)
    frames = torch.empty(*shape, source.image_size, source.image_size, 3, dtype=torch.uint8, device=device)
    cameras = torch.empty(*shape, 5, dtype=torch.float32, device=device)
    extras = {
        name: torch.empty(
            *(shape if extra.per_view else shape[:1]), *extra.shape, dtype=getattr(torch, extra.dtype), device=device
        )
        for name, extra in source.extras.items()
    }
    for start in range(0, source.num_scenes, chunk):
        scenes = np.arange(start, min(start + chunk, source.num_scenes))
        views = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
        some_frames, some_cameras = source.read(scenes, views)
        frames[start : start + len(scenes)] = torch.from_numpy(some_frames)
        cameras[start : start + len(scenes)] = torch.from_numpy(some_cameras)
        for name, array in source.read_extras(scenes, views).items():
            extras[name][start : start + len(scenes)] = torch.from_numpy(array)
    return ResidentScenes(frames, cameras, extras)


def fits_on(device: torch.device, source: SceneSource) -> bool:
    """Tells whether a split takes at most a quarter of a GPU's free memory; other devices read from disk."""
    if device.type != "cuda":
        return False
    size = source.num_scenes * source.num_views * source.image_size**2 * 3
    for extra in source.extras.values():
        views = source.num_views if extra.per_view else 1
        size += source.num_scenes * views * math.prod(extra.shape) * np.dtype(extra.dtype).itemsize
    free, _ = torch.cuda.mem_get_info(device)
    return size <= RESIDENT_SHARE * free
