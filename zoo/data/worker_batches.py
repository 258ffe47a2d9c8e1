"""Batches that worker processes read ahead of the training process, in memory that the processes share.

Sent one by one, every tensor of a batch would need a shared file, its descriptor sent through a socket and fresh pages;
that takes longer than reading the images. So workers write batches into tensors that are shared once.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.plan import LoadedBatch, Share, TrainingPlan, assemble
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch
from zoo.errors import ConfigError, ZooError

Workers = int | Literal["auto"]
ITEMS_AHEAD: Final = 3  # of every worker; all of them wait in shared memory, which may be scarce
VIEWS_PER_MESSAGE: Final = 256  # small batches come several at a time: a message costs as much as reading some 50 views
MOST_BY_DEFAULT: Final = 4  # they decode some 25 000 images of 64 x 64 per second together; raw ones need one process


class SharedBatches:
    """Room for batches in shared memory, one tensor per field: [slots, batches per slot, rows, ...].

    A row is a view or a scene. A batch with fewer views fills the first rows, so that it is contiguous.
    """

    def __init__(
        self, source: SceneSource, *, num_slots: int, batches_per_slot: int, num_scenes: int, max_views: int
    ) -> None:
        def room(dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.zeros(num_slots, batches_per_slot, *shape, dtype=dtype).share_memory_()

        num_views, size = num_scenes * max_views, source.image_size
        self._num_scenes = num_scenes
        self._per_view = {name for name, extra in source.extras.items() if extra.per_view}
        self._rooms = SceneBatch(
            frames=room(torch.uint8, num_views, size, size, 3),
            cameras=room(torch.float32, num_views, CAMERA_WIDTH),
            scene=room(torch.int64, num_scenes),
            key=room(torch.int64, num_scenes),
            extras={
                name: room(getattr(torch, extra.dtype), num_views if extra.per_view else num_scenes, *extra.shape)
                for name, extra in source.extras.items()
            },
        )
        self.index = room(torch.int64)  # of each batch

    def batch(self, slot: int, place: int, *, num_views: int) -> SceneBatch:
        """Returns a batch of a slot, to write into or to read from."""
        lead = (self._num_scenes, num_views)

        def of_views(room: Tensor) -> Tensor:
            return room[: math.prod(lead)].unflatten(0, lead)

        rooms = self._rooms.apply(lambda room: room[slot, place])
        extras = {name: of_views(room) if name in self._per_view else room for name, room in rooms.extras.items()}
        return rooms._replace(frames=of_views(rooms.frames), cameras=of_views(rooms.cameras), extras=extras)

    def write(self, slot: int, place: int, batch: SceneBatch, *, index: int) -> None:
        """Copies a batch and its index into a slot."""
        target = self.batch(slot, place, num_views=batch.cameras.shape[1])
        for room, field in zip(target[:4], batch[:4], strict=True):
            room.copy_(field)
        for name, field in batch.extras.items():
            target.extras[name].copy_(field)
        self.index[slot, place] = index


class _Message(NamedTuple):
    """A worker's report on the pieces that it wrote into a slot, in order."""

    slot: int
    sizes: list[tuple[int, int]]  # views per scene, and how many of them are context
    failure: ZooError | None  # in place of the piece after them


@dataclass(frozen=True)
class _Pieces(Dataset[_Message]):
    """Item i is the pieces from i on, counted from step 0, as many as fit into a message; they are written into a slot.

    A user's error comes as part of the item: raised in a worker, it would be wrapped in a traceback.
    """

    source: SceneSource
    plan: TrainingPlan
    share: Share
    shared: SharedBatches
    pieces: range

    def __getitem__(self, first: int) -> _Message:
        num_slots, batches_per_slot = self.shared.index.shape
        slot = (first - self.pieces.start) // self.pieces.step % num_slots
        sizes: list[tuple[int, int]] = []
        for place, index in enumerate(range(first, min(first + batches_per_slot, self.pieces.stop))):
            step, piece = divmod(index, self.share.accumulation)
            part = self.share.part(self.plan(step), piece)
            try:
                batch = assemble(self.source, part, seed=self.plan.seed, step=step)
            except ZooError as error:
                return _Message(slot, sizes, error)
            self.shared.write(slot, place, batch, index=index)
            sizes.append((part.views.shape[1], part.num_context))
        return _Message(slot, sizes, None)


def _ignore_interrupts(worker: int) -> None:
    # Ctrl-C reaches every process of the terminal; the run that ends after the current step still needs its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def worker_batches(
    source: SceneSource, *, plan: TrainingPlan, share: Share, workers: int, start: int, stop: int
) -> Iterator[LoadedBatch]:
    """Yields the pieces of steps ``start`` to ``stop`` (not included), read by ``workers`` processes.

    A batch lies in shared memory and is overwritten after the next one has been asked for: copy it before.

    Raises:
        ZooError: from a worker.
    """
    num_scenes = plan.recipe.batch_size // (share.world_size * share.accumulation)
    max_views = plan.recipe.contexts.maximum + plan.recipe.most_targets
    together = max(1, VIEWS_PER_MESSAGE // (num_scenes * max_views))
    # The next item is given to a worker when one arrives: then that one is in use, and all others are under way.
    shared = SharedBatches(
        source,
        num_slots=workers * ITEMS_AHEAD + 1,
        batches_per_slot=together,
        num_scenes=num_scenes,
        max_views=max_views,
    )
    pieces = range(start * share.accumulation, stop * share.accumulation, together)
    loader: DataLoader[_Message] = DataLoader(
        _Pieces(source, plan=plan, share=share, shared=shared, pieces=pieces),
        batch_size=None,
        sampler=pieces,
        num_workers=workers,
        # Forked workers may inherit locks that torch's threads held.
        multiprocessing_context="spawn",
        prefetch_factor=ITEMS_AHEAD,
        worker_init_fn=_ignore_interrupts,
    )
    for first, item in zip(pieces, loader, strict=True):
        for place, (num_views, num_context) in enumerate(item.sizes):
            yield LoadedBatch(shared.batch(item.slot, place, num_views=num_views), num_context)
            assert int(shared.index[item.slot, place]) == first + place, "a batch was overwritten while it was in use"
        if item.failure is not None:
            raise item.failure


def number_of_workers(
    wanted: Workers, *, device: torch.device, resident: bool, cores: int, local_processes: int = 1
) -> int:
    """Returns how many processes read scenes for each process of the run; raises ConfigError if it is negative.

    ``auto`` is none where scenes are resident on the device and none for a CPU, whose cores the model keeps busy for far
    longer than reading takes; for a GPU one on every core that is left, at most four.
    """
    if wanted == "auto":
        if resident or device.type == "cpu":
            return 0
        return max(0, min(cores // local_processes - 1, MOST_BY_DEFAULT))
    if wanted < 0:
        raise ConfigError(f"workers: found {wanted}, expected 0 or more")
    return wanted
