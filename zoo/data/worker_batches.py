"""Batches that worker processes read ahead of the training process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.batches import LoadedBatch, assemble
from zoo.data.plan import Share, TrainingPlan
from zoo.data.shared_buffers import SlotLayout
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch
from zoo.errors import ConfigError, ZooError

Workers = int | Literal["auto"]
ITEMS_AHEAD: Final = 3  # of every worker; all of them wait in memory that processes share, which may be scarce
VIEWS_PER_MESSAGE: Final = 256  # small batches come several at a time: a message costs as much as reading some 50 views
MOST_BY_DEFAULT: Final = 4  # they decode some 25 000 images of 64 x 64 a second together; raw ones need one process


class _Filled(NamedTuple):
    """What a worker says of the pieces that it wrote into a slot, in their order."""

    slot: int
    sizes: list[tuple[int, int]]  # views of a scene, and how many of them are context
    failure: ZooError | None  # in the place of the piece after them


class _Pieces(Dataset[_Filled]):
    """Item i is the pieces from i on, counted from step 0, as many as a message is about; they are written into a slot.

    A mistake that the user can mend comes as part of the item: raised in a worker, its sentence would drown in a traceback.
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

    def __getitem__(self, first: int) -> _Filled:
        number = (first - self.pieces.start) // self.pieces.step % len(self.slots)
        sizes: list[tuple[int, int]] = []
        for index, room in zip(range(first, self.pieces.stop), self.slots[number], strict=False):
            step, piece = divmod(index, self.share.accumulation)
            part = self.share.part(self.plan(step), piece)
            try:
                batch = assemble(self.source, part, seed=self.plan.seed, step=step)
            except ZooError as error:
                return _Filled(number, sizes, error)
            num_views = part.views.shape[1]
            _write(batch, self.layout.batch(room, num_views=num_views))
            self.layout.number(room).fill_(index)
            sizes.append((num_views, part.num_context))
        return _Filled(number, sizes, None)


def _write(batch: SceneBatch, place: SceneBatch) -> None:
    for there, field in zip(place[:4], batch[:4], strict=True):
        there.copy_(field)
    for name, field in batch.extras.items():
        place.extras[name].copy_(field)


def _as_it_is(item: Any) -> Any:
    return item


def _leave_interrupts_to_the_parent(worker: int) -> None:
    # Ctrl-C reaches every process of the terminal; the run that ends after the step at hand still needs its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def worker_batches(
    source: SceneSource, *, plan: TrainingPlan, share: Share, workers: int, start: int, stop: int
) -> Iterator[LoadedBatch]:
    """Yields the pieces of steps ``start`` to ``stop`` (not included), read by ``workers`` processes.

    A batch lies in shared memory and is overwritten after the next one has been asked for: copy it before.

    Raises:
        ZooError: what a worker met.
    """
    num_scenes = plan.recipe.batch_size // (share.world_size * share.accumulation)
    max_views = plan.recipe.contexts.maximum + plan.recipe.targets
    layout = SlotLayout(source, num_scenes=num_scenes, max_views=max_views)
    together = max(1, VIEWS_PER_MESSAGE // (num_scenes * max_views))
    # The next item is handed to a worker when one arrives: then that one is in use, and all others are under way.
    slots = torch.empty(workers * ITEMS_AHEAD + 1, together, layout.num_bytes, dtype=torch.uint8).share_memory_()
    pieces = range(start * share.accumulation, stop * share.accumulation, together)
    loader: DataLoader[_Filled] = DataLoader(
        _Pieces(source, plan=plan, share=share, layout=layout, slots=slots, pieces=pieces),
        batch_size=None,
        sampler=pieces,
        num_workers=workers,
        collate_fn=_as_it_is,
        # Forked workers may inherit locks that torch's threads held.
        multiprocessing_context="spawn",
        prefetch_factor=ITEMS_AHEAD,
        worker_init_fn=_leave_interrupts_to_the_parent,
    )
    for first, item in zip(pieces, loader, strict=True):
        for offset, (num_views, num_context) in enumerate(item.sizes):
            room = slots[item.slot, offset]
            yield LoadedBatch(layout.batch(room, num_views=num_views), num_context)
            assert int(layout.number(room)) == first + offset, "a batch was overwritten while it was in use"
        if item.failure is not None:
            raise item.failure


def number_of_workers(
    wanted: Workers, *, device: torch.device, resident: bool, cores: int, local_processes: int = 1
) -> int:
    """Returns how many processes read scenes.

    Args:
        wanted: a number, or ``auto``: none where scenes lie on the device and none for a CPU, whose cores the model
            itself keeps busy for far longer than reading takes; for a GPU one on every core that is left, up to four.
        device: where the model trains.
        resident: whether the scenes lie there.
        cores: of this machine that the run may use.
        local_processes: processes of the run on this machine, each of which has workers of its own.

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
