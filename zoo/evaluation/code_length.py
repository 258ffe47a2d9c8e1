"""Fit of the sigma at which predictions give 8-bit images the shortest lossless code."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from zoo.episode import ScheduleValues
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.model.interfaces import Likelihood
from zoo.model.scene_model import SceneModel, cached_encoder

# From half a step of an 8-bit value, below which the code does not get shorter, to far beyond the range of images.
SMALLEST, LARGEST = 0.5 / 255.0, 2.0
_TOLERANCE = 1e-4  # of the logarithm of sigma; changes the length by about 1e-9 bits


def supports_bits_per_dim(model: SceneModel) -> bool:
    """Returns whether a model predicts images under a likelihood with probabilities of 8-bit values."""
    return model.task.target_kind == "images" and model.likelihood.has_mass


def code_schedule_values(model: SceneModel, evaluation: Evaluation) -> ScheduleValues:
    """Returns the schedule values with the sigma that maximises the likelihood of 8-bit images under reconstructions.

    One number for the whole model, fitted on scenes that are not reported on. (For a Gaussian density it would be the
    root of the mean squared error, Rybkin et al. 2021, section 3; here the mass in the bins of the values counts.) The
    values for a likelihood without a sigma are returned unchanged.
    """
    schedule = evaluation.schedule
    if not model.likelihood.uses_sigma:
        return schedule

    def reconstruct(part: EvaluationBatch) -> Mapping[str, Tensor]:
        episode = model.episode(part.batch, num_context=part.num_context)
        encode = cached_encoder(model.encoder, episode)
        _, prediction = model.score_and_reconstruct(episode, schedule, encode=encode)
        return {"prediction": prediction.float(), "target": episode.target}

    found = evaluation.score(reconstruct, model=model)
    images = {name: torch.from_numpy(values) for name, values in found.items()}
    on_host = ScheduleValues(*(field.cpu() for field in schedule))
    sigma = best_sigma(model.likelihood, **images, schedule=on_host)
    return schedule._replace(sigma=torch.full_like(schedule.sigma, sigma))


def best_sigma(likelihood: Likelihood, prediction: Tensor, target: Tensor, *, schedule: ScheduleValues) -> float:
    """Returns the sigma at which predictions [n, Q, C', H, W] give 8-bit targets [n, Q, C, H, W] the largest probability.

    Brent's search over its logarithm, which has one maximum.
    """

    def length(logarithm: float) -> float:
        tried = schedule._replace(sigma=torch.tensor(math.exp(logarithm), dtype=torch.float64))
        return -float(likelihood.log_mass(prediction, target, tried).double().mean())

    bounds = math.log(SMALLEST), math.log(LARGEST)
    found = minimize_scalar(length, bounds=bounds, method="bounded", options={"xatol": _TOLERANCE})
    return math.exp(found.x)
