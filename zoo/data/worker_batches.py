"""Batches that worker processes read ahead of the training process, in memory that the processes share.

Sent one by one, every tensor of a batch would need a shared file, its descriptor sent through a socket and fresh pages;
that takes longer than reading the images. So workers write batches into slots of one shared buffer.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.batches import LoadedBatch, assemble
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.plan import Share, TrainingPlan
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch
from zoo.errors import ConfigError, ZooError

Workers = int | Literal["auto"]
ITEMS_AHEAD: Final = 3  # of every worker; all of them wait in shared memory, which may be scarce
VIEWS_PER_MESSAGE: Final = 256  # small batches come several at a time: a message costs as much as reading some 50 views
MOST_BY_DEFAULT: Final = 4  # they decode some 25 000 images of 64 x 64 per second together; raw ones need one process
ALIGNMENT: Final = 64  # bytes; a line of the cache


class _Field(NamedTuple):
    dtype: torch.dtype
    shape: tuple[int, ...]  # of one view or of one scene
    per_view: bool


class SlotLayout:
    """Layout of a batch in a slot: the index of the batch, then field after field.

    Attributes:
        num_bytes: of a slot.
    """

    def __init__(self, source: SceneSource, *, num_scenes: int, max_views: int) -> None:
        """Lays out batches of ``num_scenes`` scenes of the source with at most ``max_views`` views."""
        size = source.image_size
        self._num_scenes = num_scenes
        self._extras = tuple(source.extras)
        self._fields = {
            "scene": _Field(torch.int64, (), per_view=False),
            "key": _Field(torch.int64, (), per_view=False),
            "cameras": _Field(torch.float32, (CAMERA_WIDTH,), per_view=True),
            "frames": _Field(torch.uint8, (size, size, 3), per_view=True),
            **{
                f"extras.{name}": _Field(getattr(torch, extra.dtype), extra.shape, extra.per_view)
                for name, extra in source.extras.items()
            },
        }
        self.num_bytes = ALIGNMENT + sum(self._room(field, max_views) for field in self._fields.values())

    def _room(self, field: _Field, num_views: int) -> int:
        count = self._num_scenes * (num_views if field.per_view else 1) * math.prod(field.shape)
        return -(-count * field.dtype.itemsize // ALIGNMENT) * ALIGNMENT

    def index(self, slot: Tensor) -> Tensor:
        """Returns a view [1] int64 of the index of the batch in a slot."""
        return slot[:8].view(torch.int64)

    def batch(self, slot: Tensor, *, num_views: int) -> SceneBatch:
        """Returns views of a batch in a slot [num_bytes] uint8, to write into or to read from."""
        offset = ALIGNMENT
        places: dict[str, Tensor] = {}
        for name, field in self._fields.items():
            shape = (self._num_scenes, *((num_views,) if field.per_view else ()), *field.shape)
            num_bytes = math.prod(shape) * field.dtype.itemsize
            places[name] = slot[offset : offset + num_bytes].view(field.dtype).view(shape)
            offset += self._room(field, num_views)
        extras = {name: places.pop(f"extras.{name}") for name in self._extras}
        return SceneBatch(**places, extras=extras)

    def write(self, slot: Tensor, batch: SceneBatch, *, index: int) -> None:
        """Copies a batch and its index into a slot."""
        target = self.batch(slot, num_views=batch.cameras.shape[1])
        for place, field in zip(target[:4], batch[:4], strict=True):
            place.copy_(field)
        for name, field in batch.extras.items():
            target.extras[name].copy_(field)
        self.index(slot).fill_(index)


class _Message(NamedTuple):
    """A worker's report on the pieces that it wrote into a slot, in order."""

    slot: int
    sizes: list[tuple[int, int]]  # views per scene, and how many of them are context
    failure: ZooError | None  # in place of the piece after them


class _Pieces(Dataset[_Message]):
    """Item i is the pieces from i on, counted from step 0, as many as fit into a message; they are written into a slot.

    A user's error comes as part of the item: raised in a worker, it would be wrapped in a traceback.
    """

    def __init__(
        self,
        source: SceneSource,
        *,
        plan: TrainingPlan,
        share: Share,
        layout: SlotLayout,
        slots: Tensor,
        pieces: range,
    ) -> None:
        self.source, self.plan, self.share = source, plan, share
        self.layout, self.slots, self.pieces = layout, slots, pieces

    def __getitem__(self, first: int) -> _Message:
        number = (first - self.pieces.start) // self.pieces.step % len(self.slots)
        sizes: list[tuple[int, int]] = []
        for index, slot in zip(range(first, self.pieces.stop), self.slots[number], strict=False):
            step, piece = divmod(index, self.share.accumulation)
            part = self.share.part(self.plan(step), piece)
            try:
                batch = assemble(self.source, part, seed=self.plan.seed, step=step)
            except ZooError as error:
                return _Message(number, sizes, error)
            self.layout.write(slot, batch, index=index)
            sizes.append((part.views.shape[1], part.num_context))
        return _Message(number, sizes, None)


def _unchanged(item: Any) -> Any:
    return item


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
    max_views = plan.recipe.contexts.maximum + plan.recipe.targets
    layout = SlotLayout(source, num_scenes=num_scenes, max_views=max_views)
    together = max(1, VIEWS_PER_MESSAGE // (num_scenes * max_views))
    # The next item is given to a worker when one arrives: then that one is in use, and all others are under way.
    slots = torch.empty(workers * ITEMS_AHEAD + 1, together, layout.num_bytes, dtype=torch.uint8).share_memory_()
    pieces = range(start * share.accumulation, stop * share.accumulation, together)
    loader: DataLoader[_Message] = DataLoader(
        _Pieces(source, plan=plan, share=share, layout=layout, slots=slots, pieces=pieces),
        batch_size=None,
        sampler=pieces,
        num_workers=workers,
        collate_fn=_unchanged,
        # Forked workers may inherit locks that torch's threads held.
        multiprocessing_context="spawn",
        prefetch_factor=ITEMS_AHEAD,
        worker_init_fn=_ignore_interrupts,
    )
    for first, item in zip(pieces, loader, strict=True):
        for offset, (num_views, num_context) in enumerate(item.sizes):
            slot = slots[item.slot, offset]
            yield LoadedBatch(layout.batch(slot, num_views=num_views), num_context)
            assert int(layout.index(slot)) == first + offset, "a batch was overwritten while it was in use"
        if item.failure is not None:
            raise item.failure


def number_of_workers(
    wanted: Workers, *, device: torch.device, resident: bool, cores: int, local_processes: int = 1
) -> int:
    """Returns how many processes read scenes for each process of the run.

    ``auto`` is none where scenes are resident on the device and none for a CPU, whose cores the model keeps busy for far
    longer than reading takes; for a GPU one on every core that is left, at most four.

    Raises:
        ConfigError: if the number is negative.
    """
    if wanted == "auto":
        if resident or device.type == "cpu":
            return 0
        return max(0, min(cores // local_processes - 1, MOST_BY_DEFAULT))
    if wanted < 0:
        raise ConfigError(f"workers: found {wanted}, expected 0 or more")
    return wanted
