"""The evaluation loop: the scenes of a plan once, in order, in evaluation mode, one number per scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.batches import assemble, to_device
from zoo.data.plan import BatchPlan
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch

Progress = Callable[[int, int], None]  # scenes done, scenes in all
NOISE_SEED = 0x5EED  # the noise of a scene depends neither on the batch size nor on the number of processes


class EpisodePlan(Protocol):
    """The episodes of ``num_scenes`` scenes; ``zoo.data.plan.EvaluationPlan`` is one."""

    @property
    def num_scenes(self) -> int:
        """Returns how many scenes there are."""

    def __call__(self, scenes: np.ndarray) -> BatchPlan:
        """Returns the episodes of some scenes, [B] int64 below ``num_scenes``."""


class EvaluationBatch(NamedTuple):
    """One batch of an evaluation."""

    scenes: np.ndarray  # [B] int64
    batch: SceneBatch
    num_context: int


Score = Callable[[EvaluationBatch], Mapping[str, Tensor]]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode without gradients, and restores its mode at the end of the block."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def evaluation_batches(
    source: SceneSource,
    plan: EpisodePlan,
    *,
    batch_size: int,
    device: torch.device | str,
    scenes: np.ndarray | None = None,
    shift: int = 0,
) -> Iterator[EvaluationBatch]:
    """Yields the episodes of scenes in order.

    Args:
        source: where the images are.
        plan: which views are context and targets.
        batch_size: scenes at once; the last batch may be shorter.
        device: where the batches go.
        scenes: [n] int64, which scenes; None: all of the plan.
        shift: 0 gives every scene its own context; k gives it the context views of the scene k places later.
    """
    scenes = np.arange(plan.num_scenes) if scenes is None else scenes
    for start in range(0, len(scenes), batch_size):
        chosen = scenes[start : start + batch_size]
        own = plan(chosen)
        batch = (
            _with_shifted_context(source, own, plan((chosen + shift) % plan.num_scenes))
            if shift
            else assemble(source, own, seed=NOISE_SEED, step=0)
        )
        yield EvaluationBatch(scenes=chosen, batch=to_device(batch, device), num_context=own.num_context)


def _with_shifted_context(source: SceneSource, own: BatchPlan, other: BatchPlan) -> SceneBatch:
    """Returns the targets of ``own`` after the context views of ``other``."""
    number = own.num_context
    context = assemble(source, other._replace(views=other.views[:, :number]), seed=NOISE_SEED, step=0)
    targets = assemble(source, own._replace(views=own.views[:, number:]), seed=NOISE_SEED, step=0)
    return targets._replace(
        frames=torch.cat([context.frames, targets.frames], dim=1),
        cameras=torch.cat([context.cameras, targets.cameras], dim=1),
        extras={
            name: torch.cat([context.extras[name], targets.extras[name]], dim=1)
            if extra.per_view
            else targets.extras[name]
            for name, extra in source.extras.items()
        },
    )


def score_batches(
    score: Score,
    source: SceneSource,
    plan: EpisodePlan,
    *,
    batch_size: int,
    device: torch.device | str,
    scenes: np.ndarray | None = None,
    shift: int = 0,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Scores scenes batch by batch and concatenates what ``score`` returns.

    Args:
        score: maps a batch of B scenes to tensors [B, ...] by name.
        source: where the images are.
        plan: which views are context and targets.
        batch_size: scenes at once; changes the memory needed, not the numbers.
        device: where the batches go.
        scenes: [n] int64, which scenes; None: all of the plan.
        shift: see :func:`evaluation_batches`.
        progress: called with the scenes done and the scenes in all.

    Returns:
        Arrays [n, ...] in the order of the scenes; empty if there is no scene.
    """
    found: dict[str, list[np.ndarray]] = {}
    total, done = plan.num_scenes if scenes is None else len(scenes), 0
    for part in evaluation_batches(source, plan, batch_size=batch_size, device=device, scenes=scenes, shift=shift):
        for name, values in score(part).items():
            found.setdefault(name, []).append(values.cpu().numpy())
        done += len(part.scenes)
        if progress:
            progress(done, total)
    return {name: np.concatenate(parts) for name, parts in found.items()}
