"""Predictive mean and standard deviation of functions at any inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from zoo.episode import SceneBatch, ScheduleValues
from zoo.likelihoods.learned_gaussian import LearnedGaussian
from zoo.model.scene_model import SceneModel


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
    """Predicts from the prior at queries that need not be in a data set.

    Args:
        model: of values of one number, with a learned Gaussian likelihood.
        inputs: of the context, [n, N, P] for n functions.
        values: of the context, [n, N, 1].
        queries: [n, Q, P].
        schedule: the values of evaluation.
        num_samples: S.
    """
    count, number = inputs.shape[:2]
    points = torch.from_numpy(np.concatenate([inputs, queries], axis=1).astype(np.float32))
    known = torch.zeros(count, points.shape[1], 1)
    known[:, :number] = torch.from_numpy(values.astype(np.float32))
    batch = SceneBatch(
        frames=torch.zeros(count, points.shape[1], 0, 0, 3, dtype=torch.uint8),
        cameras=torch.zeros(count, points.shape[1], 5),
        scene=torch.arange(count),
        key=torch.arange(count),
        extras={"inputs": points, "values": known},
    )
    assert isinstance(model.likelihood, LearnedGaussian)
    parameters = model.predict(batch, schedule, number, num_samples=num_samples).parameters
    mean, scale = (part[..., 0, 0, 0].double() for part in torch.broadcast_tensors(*model.likelihood.scale(parameters)))
    variance = scale.square().mean(0) + mean.var(0, correction=0)
    return Predicted(mean=mean.mean(0).numpy(), scale=variance.sqrt().numpy(), samples=mean.numpy())
