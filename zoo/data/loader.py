"""The batches of a training run on their device; images stay uint8 until they are there.

Either this process or worker processes read the views from the source, and a batch is copied while the one before is in
use; or the whole split lies on the device and a batch is an indexing there. The batches are the same.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

import torch

from zoo.data.device_cache import ResidentSampler, ResidentScenes, fits_on, read_all
from zoo.data.plan import LoadedBatch, Share, TrainingPlan, assemble, to_device
from zoo.data.source import SceneSource
from zoo.data.worker_batches import Workers, number_of_workers, worker_batches
from zoo.errors import ConfigError
from zoo.provenance import usable_cores

Residence = Literal["auto", "device", "disk"]
Item = TypeVar("Item")
Started = TypeVar("Started")
Finished = TypeVar("Finished")


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
