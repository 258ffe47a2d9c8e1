"""Predictions of function values: Monte Carlo log-likelihoods and error, and mean and deviation at any inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.plan import to_device
from zoo.episode import SceneBatch, ScheduleValues
from zoo.evaluation.bounds import importance_weighted
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.likelihoods.learned_gaussian import LearnedGaussian
from zoo.model.scene_model import SceneModel, cached_encoder

NAMES = ("joint_log_likelihood", "marginal_log_likelihood", "rmse")


def score_values(model: SceneModel, evaluation: Evaluation, *, num_samples: int) -> dict[str, np.ndarray]:
    """Scores predictions with S = ``num_samples`` samples of the latents.

    Both log-likelihoods are lower bounds in expectation; without latents they are exact and S does not matter. A sample of
    the prior seldom explains many targets together, so that the joint one has samples of the posterior, unless training
    by maximum likelihood has left the posterior untrained.

    Returns:
        Arrays [num_scenes] float64: ``joint_log_likelihood``, log (1/S sum_s p(y | z_s) p(z_s) / q(z_s)) / Q with z_s from
        q, the posterior (Burda et al. 2016), joint over a scene's targets, nats per target; ``marginal_log_likelihood``, the
        mean over targets of log (1/S sum_s p(y^q | z_s)) with z_s from the prior, nats per target; ``rmse``, the root of
        the mean squared error of the mean over those samples, in units of the values.
    """

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        schedule = evaluation.schedule
        prediction = model.predict(part.batch, schedule, part.num_context, num_samples=num_samples)
        each = torch.stack(
            [model.likelihood.log_prob(sample, prediction.target, schedule) for sample in prediction.parameters]
        ).double()
        if model.core.latents == "none":
            joint = each[0].mean(-1)
        elif model.objective.kind == "maximum_likelihood":
            together = each.sum(-1, keepdim=True) if model.core.latents == "scene" else each
            joint = (torch.logsumexp(together, dim=0) - math.log(num_samples)).sum(-1) / each.shape[-1]
        else:
            episode = model.episode(part.batch, num_context=part.num_context)
            encode = cached_encoder(model.encoder, episode)
            bounds = importance_weighted(model, episode, schedule, numbers=(num_samples,), encode=encode)
            joint = -bounds[num_samples] / each.shape[-1]
        marginal = (torch.logsumexp(each, dim=0) - math.log(num_samples)).mean(-1)
        error = (prediction.expected.mean(0) - prediction.target).double().square().flatten(1).mean(1).sqrt()
        return dict(zip(NAMES, (joint, marginal, error), strict=True))

    return evaluation.score(score, model=model)


class Predicted(NamedTuple):
    """Predicted values of n functions at Q inputs, for values of one number."""

    mean: np.ndarray  # [n, Q]
    scale: np.ndarray  # [n, Q], standard deviation over samples and noise together
    samples: np.ndarray  # [S, n, Q], means given single samples of the latents


@torch.no_grad()
def predict_at(
    model: SceneModel,
    inputs: np.ndarray,
    values: np.ndarray,
    *,
    queries: np.ndarray,
    schedule: ScheduleValues,
    num_samples: int,
) -> Predicted:
    """Predicts n functions from the prior at queries that need not be in a data set.

    The context is inputs [n, N, P] with values [n, N, 1]; the queries are [n, Q, P]. The model is one of values of one
    number, with a learned Gaussian likelihood.
    """
    count, number = inputs.shape[:2]
    points = torch.from_numpy(np.concatenate([inputs, queries], axis=1).astype(np.float32))
    known = torch.zeros(count, points.shape[1], 1)
    known[:, :number] = torch.from_numpy(values.astype(np.float32))
    functions = SceneBatch(
        frames=torch.zeros(count, points.shape[1], 0, 0, 3, dtype=torch.uint8),
        cameras=torch.zeros(count, points.shape[1], 5),
        scene=torch.arange(count),
        key=torch.arange(count),
        extras={"inputs": points, "values": known},
    )
    assert isinstance(model.likelihood, LearnedGaussian)
    batch = to_device(functions, schedule.sigma.device)
    parameters = model.predict(batch, schedule, number, num_samples=num_samples).parameters
    found = torch.broadcast_tensors(*model.likelihood.scale(parameters))
    mean, scale = (part[..., 0, 0, 0].double().cpu() for part in found)
    variance = scale.square().mean(0) + mean.var(0, correction=0)
    return Predicted(mean=mean.mean(0).numpy(), scale=variance.sqrt().numpy(), samples=mean.numpy())
