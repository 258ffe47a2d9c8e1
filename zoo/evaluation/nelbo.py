"""Test-set bounds: every scene of a split once, at fixed sigma and beta 1, one number per scene."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch, ScheduleValues
from zoo.evaluation.bounds import ELBO_ALONE, Bounds, importance_weighted, score_episode
from zoo.evaluation.loop import EvaluationBatch, Progress, evaluation_mode, score_batches
from zoo.model.scene_model import SceneModel, cached_encoder


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
        model: the model, not wrapped; its mode is restored afterwards.
        source: the scenes.
        plan: their views.
        schedule: the values of evaluation (``zoo.config.schedules.evaluation_schedule_values``).
        batch_size: scenes at once; changes the memory needed, not the numbers.
        device: where the model is.
        bounds: what is scored beside the ELBO.
        shift: gives every scene the context of another one, see :func:`zoo.evaluation.loop.evaluation_batches`.
        accelerator: divides the scenes among its processes and gathers the numbers.
        progress: called with the scenes done and the scenes in all.

    Returns:
        Arrays [num_scenes] float64 in the order of the scenes: ``scene``, and the names of
        :func:`zoo.evaluation.bounds.score_episode`.
    """
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    names = ["scene", *bounds.names(num_targets=plan.num_targets)]

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        columns = score_episode(model, model.episode(part.batch, num_context=part.num_context), schedule, bounds=bounds)
        columns["scene"] = torch.from_numpy(part.scenes).to(device)
        return {"table": torch.stack([columns[name].double() for name in names], dim=1)}

    def report(done: int, _: int) -> None:
        if progress:
            progress(min(done * world, plan.num_scenes), plan.num_scenes)

    with evaluation_mode(model):
        found = score_batches(
            score,
            source,
            plan,
            batch_size=batch_size,
            device=device,
            scenes=np.arange(plan.num_scenes)[rank::world],
            shift=shift,
            progress=report,
        )
    # A process without a scene of its own gathers as many columns as the others.
    table = _gather(found.get("table", np.zeros((0, len(names)))), accelerator)
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


def _gather(rows: np.ndarray, accelerator: Accelerator | None) -> np.ndarray:
    """Gathers rows of unequal number from all processes: padded with -1, then the padding is dropped."""
    if accelerator is None or accelerator.num_processes == 1:
        return rows
    local = torch.from_numpy(rows).to(accelerator.device)
    count = torch.tensor([len(local)], device=local.device)
    padded = local.new_full((int(accelerator.gather(count).max()), local.shape[1]), -1.0)
    padded[: len(local)] = local
    everything = accelerator.gather(padded)
    return everything[everything[:, 0] >= 0].cpu().numpy()
