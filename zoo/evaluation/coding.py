"""Which sigma a model should have for its predictions to be a short code of 8-bit pictures."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from zoo.contract import Likelihood
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import Knobs
from zoo.evaluation.nelbo import evaluation_batches
from zoo.model import SceneModel, encoding_once

# Of half a step of an 8-bit picture, below which nothing is gained, to far beyond the range of pictures.
SMALLEST, LARGEST = 0.5 / 255.0, 2.0
_TOLERANCE = 1e-4  # of the logarithm of sigma; the length is flat there, to a billionth of a bit
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def codes_pictures(model: SceneModel) -> bool:
    """Tells whether a model predicts pictures under a likelihood that gives 8-bit values a probability."""
    return model.task.target_kind == "images" and model.likelihood.has_mass


@torch.no_grad()
def knobs_for_code(
    model: SceneModel,
    calibration: SceneSource,
    plan: EvaluationPlan,
    *,
    knobs: Knobs,
    batch_size: int,
    device: torch.device | str,
) -> Knobs:
    """Returns the knobs with the sigma at which the pictures of the posterior have the largest likelihood as 8-bit values.

    One number for the whole model, fitted on scenes on which nothing is reported. (The root of the mean squared error is
    the same for a Gaussian density, see Rybkin et al. 2021, section 3; here the mass in the bins of the values counts.)
    Knobs of a likelihood without a sigma come back as they are.

    Args:
        model: the model, not wrapped; it is put into evaluation mode and back.
        calibration: the scenes to fit on.
        plan: their episodes.
        knobs: those of evaluation.
        batch_size: scenes at once.
        device: where the model is.
    """
    if not model.likelihood.uses_sigma:
        return knobs
    was_training = model.training
    model.eval()
    predictions: list[Tensor] = []
    targets: list[Tensor] = []
    try:
        for _, batch, num_context in evaluation_batches(
            calibration, plan, scenes=np.arange(plan.num_scenes), batch_size=batch_size, device=device
        ):
            episode = model.episode(batch, num_context=num_context)
            encode = encoding_once(model.encoder, episode)
            predictions.append(model.score_and_reconstruct(episode, knobs, encode=encode)[1].float().cpu())
            targets.append(episode.target.cpu())
    finally:
        model.train(was_training)
    on_host = Knobs(*(field.cpu() for field in knobs))
    sigma = best_sigma(model.likelihood, torch.cat(predictions), torch.cat(targets), knobs=on_host)
    return knobs._replace(sigma=torch.full_like(knobs.sigma, sigma))


def best_sigma(likelihood: Likelihood, prediction: Tensor, target: Tensor, *, knobs: Knobs) -> float:
    """Returns the sigma at which predictions [n, Q, C', H, W] give 8-bit targets [n, Q, C, H, W] the largest probability.

    Found by golden section over its logarithm: there is one maximum.
    """

    def length(logarithm: float) -> float:
        tried = knobs._replace(sigma=torch.tensor(math.exp(logarithm), dtype=torch.float64))
        return -float(likelihood.log_mass(prediction, target, tried).double().mean())

    low, high = math.log(SMALLEST), math.log(LARGEST)
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    lengths = [length(place) for place in inner]
    while high - low > _TOLERANCE:
        if lengths[0] < lengths[1]:
            high, inner, lengths = inner[1], [0.0, inner[0]], [0.0, lengths[0]]
            inner[0] = high - _GOLDEN * (high - low)
            lengths[0] = length(inner[0])
        else:
            low, inner, lengths = inner[0], [inner[1], 0.0], [lengths[1], 0.0]
            inner[1] = low + _GOLDEN * (high - low)
            lengths[1] = length(inner[1])
    return math.exp(0.5 * (low + high))
