"""Test-set bounds: every scene of a split once, at fixed sigma and beta 1, one number a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from zoo.data.loader import assemble, to_device
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch, ScheduleValues
from zoo.evaluation.bounds import ELBO_ALONE, Bounds, importance_weighted, score_episode
from zoo.model.scene_model import SceneModel, cached_encoder

Progress = Callable[[int, int], None]
NOISE_SEED = 0x5EED  # evaluation draws the same noise for a scene, whatever the batch size and the number of processes


class SceneBatches(NamedTuple):
    """One batch of an evaluation."""

    scenes: np.ndarray  # [B]
    batch: SceneBatch
    num_context: int


def evaluation_batches(
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    scenes: np.ndarray,
    batch_size: int,
    device: torch.device | str,
    shift: int = 0,
) -> Iterator[SceneBatches]:
    """Yields the episodes of ``scenes`` in order.

    Args:
        source: where the images are.
        plan: which views are context and targets.
        scenes: [n] int64, which scenes.
        batch_size: scenes at once; the last batch may be shorter.
        device: where the batches go.
        shift: 0 gives every scene its own context; k gives it the context views of the scene k places further on.
    """
    for start in range(0, len(scenes), batch_size):
        chosen = scenes[start : start + batch_size]
        part = plan(chosen)
        num_context = part.num_context
        if shift:
            neighbours = plan((chosen + shift) % plan.num_scenes)
            context, targets = neighbours.views[:, :num_context], part.views[:, num_context:]
            other = assemble(source, neighbours._replace(views=context), seed=NOISE_SEED, step=0)
            own = assemble(source, part._replace(views=targets), seed=NOISE_SEED, step=0)
            batch = own._replace(
                frames=torch.cat([other.frames, own.frames], dim=1),
                cameras=torch.cat([other.cameras, own.cameras], dim=1),
                extras={
                    name: torch.cat([other.extras[name], own.extras[name]], dim=1)
                    if extra.per_view
                    else own.extras[name]
                    for name, extra in source.extras.items()
                },
            )
        else:
            batch = assemble(source, part, seed=NOISE_SEED, step=0)
        yield SceneBatches(scenes=chosen, batch=to_device(batch, device), num_context=num_context)


@torch.no_grad()
def score_scenes(
    model: SceneModel,
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    schedule: ScheduleValues,
    batch_size: int,
    device: torch.device | str,
    bounds: Bounds = ELBO_ALONE,
    shift: int = 0,
    accelerator: Accelerator | None = None,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Scores every scene of the plan once.

    Args:
        model: the model, not wrapped; it is put into evaluation mode and back.
        source: the scenes.
        plan: their views.
        schedule: those of evaluation (``zoo.config.schedules.evaluation_schedule_values``).
        batch_size: scenes at once; changes the memory needed, not the numbers.
        device: where the model is.
        bounds: what is scored beside the ELBO.
        shift: gives every scene the context of another one, see ``evaluation_batches``.
        accelerator: shares the scenes out among its processes and gathers the numbers.
        progress: is told how many scenes of how many are done.

    Returns:
        Arrays [num_scenes] float64 in the order of the scenes: ``scene``, and what
        :func:`zoo.evaluation.bounds.score_episode` names.
    """
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    mine = np.arange(plan.num_scenes)[rank::world]
    was_training = model.training
    model.eval()
    names = ["scene", *bounds.names(num_targets=plan.num_targets)]
    rows: list[Tensor] = []
    try:
        for scenes, batch, num_context in evaluation_batches(
            source, plan, scenes=mine, batch_size=batch_size, device=device, shift=shift
        ):
            columns = score_episode(model, model.episode(batch, num_context=num_context), schedule, bounds=bounds)
            columns["scene"] = torch.from_numpy(scenes).to(device)
            rows.append(torch.stack([columns[name].double() for name in names], dim=1))
            if progress:
                progress(min(len(rows) * batch_size * world, plan.num_scenes), plan.num_scenes)
    finally:
        model.train(was_training)
    local = torch.cat(rows) if rows else torch.zeros(0, len(names), dtype=torch.float64, device=device)
    table = _gathered(local, accelerator).cpu().numpy()
    table = table[np.argsort(table[:, 0], kind="stable")]
    # A scene counted twice or not at all would bias every mean without a trace.
    assert np.array_equal(table[:, 0], np.arange(plan.num_scenes)), "every scene must be scored exactly once"
    return {name: table[:, index] for index, name in enumerate(names)}


def importance_weighted_nelbo(
    model: SceneModel, batch: SceneBatch, schedule: ScheduleValues, num_context: int, *, samples: int
) -> Tensor:
    """Returns -log (1/K sum_k p(x, z_k) / q(z_k)) with z_k from the posterior, [B], nats for all targets of a scene.

    The bound of Burda et al. 2016 (equation 8) on the joint log-likelihood of a scene's targets. K = 1 is one sample of
    the ELBO; the weights use the sampled log-ratio, not the analytic KL. The context is encoded once, and samples are
    drawn one after the other: the memory needed does not grow with K.
    """
    episode = model.episode(batch, num_context=num_context)
    encode = cached_encoder(model.encoder, episode)
    return importance_weighted(model, episode, schedule, numbers=(samples,), encode=encode)[samples]


def _gathered(local: Tensor, accelerator: Accelerator | None) -> Tensor:
    """Gathers rows of unequal number from all processes: padded, then the padding is dropped by its mark."""
    if accelerator is None or accelerator.num_processes == 1:
        return local
    count = torch.tensor([len(local)], device=local.device)
    longest = int(accelerator.gather(count).max())
    padded = local.new_full((longest, local.shape[1]), -1.0)
    padded[: len(local)] = local
    everything = accelerator.gather(padded)
    return everything[everything[:, 0] >= 0]
