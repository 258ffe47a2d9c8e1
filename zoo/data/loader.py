"""The batches of a training run on their device; images stay uint8 until they are there.

Either this process or worker processes read the views from the source, and a batch is copied while the one before is in
use; or the whole split lies on the device and a batch is an indexing there. The batches are the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

import torch

from zoo.data.batches import LoadedBatch, assemble
from zoo.data.device_cache import ResidentSampler, ResidentScenes, fits_on, read_all
from zoo.data.plan import Share, TrainingPlan
from zoo.data.prefetch import on_device
from zoo.data.source import SceneSource
from zoo.data.worker_batches import Workers, number_of_workers, worker_batches
from zoo.errors import ConfigError
from zoo.provenance import usable_cores

Residence = Literal["auto", "device", "disk"]


class TrainingLoader:
    """The batches of a training run, from any step on.

    Attributes:
        workers: processes that read scenes; 0 reads in this one.
        resident: whether the whole split is kept on the device.
    """

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
            device: where batches are wanted.
            share: the part of every batch that this process takes; None takes all of it.
            workers: a number of processes, or ``auto``; see :func:`zoo.data.worker_batches.number_of_workers`.
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
