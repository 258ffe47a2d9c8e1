"""Monte Carlo log-likelihoods and error of predicted function values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import ScheduleValues
from zoo.evaluation.loop import EvaluationBatch, Progress, evaluation_mode, score_batches
from zoo.model.scene_model import SceneModel

NAMES = ("predictive_log_likelihood", "marginal_log_likelihood", "rmse")


def score_values(
    model: SceneModel,
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    schedule: ScheduleValues,
    batch_size: int,
    num_samples: int,
    device: torch.device | str,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Scores ``num_samples`` predictions from the prior.

    Both log-likelihoods are those of a mixture with one component per sample of the latents. They are lower bounds in
    expectation, the looser for the joint one, the more targets there are; without latents S does not matter.

    Returns:
        Arrays [num_scenes] float64: ``predictive_log_likelihood``, log (1/S sum_s prod_q p(y^q | z_s)) / Q, joint over a
        scene's targets, nats per target; ``marginal_log_likelihood``, the mean over targets of
        log (1/S sum_s p(y^q | z_s)), nats per target; ``rmse``, the root of the mean squared error of the mean over
        samples, in units of the values.
    """

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        prediction = model.predict(part.batch, schedule, part.num_context, num_samples=num_samples)
        each = torch.stack(
            [model.likelihood.log_prob(sample, prediction.target, schedule) for sample in prediction.parameters]
        ).double()
        joint = (torch.logsumexp(each.sum(-1), dim=0) - math.log(num_samples)) / each.shape[-1]
        marginal = (torch.logsumexp(each, dim=0) - math.log(num_samples)).mean(-1)
        error = (prediction.expected.mean(0) - prediction.target).double().square().flatten(1).mean(1).sqrt()
        return dict(zip(NAMES, (joint, marginal, error), strict=True))

    with evaluation_mode(model):
        return score_batches(score, source, plan, batch_size=batch_size, device=device, progress=progress)
