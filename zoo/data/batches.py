"""Batches on the CPU: the images of a plan, read from a source."""

from __future__ import annotations

from typing import NamedTuple

import torch

from zoo.data.keys import host_keys
from zoo.data.plan import BatchPlan
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch


class LoadedBatch(NamedTuple):
    """A batch and the number of its context views."""

    batch: SceneBatch
    num_context: int


def assemble(source: SceneSource, plan: BatchPlan, *, seed: int, step: int) -> SceneBatch:
    """Reads the images of a plan into a batch on the CPU; the noise keys follow from seed, step and place."""
    frames, cameras = source.read(plan.scenes, plan.views)
    return SceneBatch(
        frames=torch.from_numpy(frames),
        cameras=torch.from_numpy(cameras),
        scene=torch.from_numpy(plan.scenes),
        key=torch.from_numpy(host_keys(seed=seed, steps=step, places=plan.places)),
        extras={name: torch.from_numpy(array) for name, array in source.read_extras(plan.scenes, plan.views).items()},
    )


def to_device(batch: SceneBatch, device: torch.device | str) -> SceneBatch:
    """Moves a batch, without waiting when its memory is pinned."""
    return batch.apply(lambda field: field.to(device, non_blocking=True))
