"""Feeds a device: images stay uint8 until they are there.

Either worker processes (or none) gather the wanted views from the source and the batch travels while the one before is in
use, or, when the whole split fits beside the model, the images lie on the device and a batch is an indexing there.
Which of these it is changes nothing in the batches.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

import torch

from zoo.data.batches import LoadedBatch, assemble, to_device
from zoo.data.device_cache import ResidentSampler, ResidentScenes, fits_on, read_all
from zoo.data.plan import Share, TrainingPlan
from zoo.data.prefetch import on_device
from zoo.data.source import SceneSource
from zoo.data.worker_batches import Workers, number_of_workers, worker_batches
from zoo.errors import ConfigError
from zoo.provenance import usable_cores

__all__ = [
    "LoadedBatch",
    "Residence",
    "ResidentScenes",
    "Share",
    "TrainingLoader",
    "Workers",
    "assemble",
    "fits_on",
    "read_all",
    "to_device",
]

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
        """Raises ConfigError if the batch cannot be shared out equally, or ``workers`` is negative.

        Args:
            source: of the scenes.
            plan: of the run.
            device: where batches are wanted.
            share: what of every batch this process takes; None takes all of it.
            workers: a number of processes, or ``auto``; see :func:`zoo.data.worker_batches.number_of_workers`.
            residence: ``device`` keeps all scenes on the device, ``disk`` none, and ``auto`` all of them on a GPU of
                whose free memory they take a quarter at most.
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
            # Launchers tell how many processes of the run share this machine.
            local_processes=int(os.environ.get("LOCAL_WORLD_SIZE", share.world_size)),
        )
        self._scenes: ResidentScenes | None = None

    def pieces(self, *, start: int, stop: int) -> Iterator[LoadedBatch]:
        """Yields the pieces of steps ``start`` to ``stop`` (not included), ``accumulation`` of them a step."""
        if self.resident:
            return self._sampler().pieces(start=start, stop=stop)
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

    def _sampler(self) -> ResidentSampler:
        if self._scenes is None:
            self._scenes = read_all(self.source, device=self.device)
        return ResidentSampler(self.source, self._scenes, plan=self.plan, share=self.share)
