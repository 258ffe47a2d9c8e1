"""Checks that a likelihood is the density of its own samples and sums over pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.checks.failures import close, require
from zoo.checks.fixture import CheckContext
from zoo.nn.noise import fold, standard_normal

SAMPLES = 2000


@torch.no_grad()
def check_likelihood(fixture: CheckContext) -> None:
    """Checks samples, normalisation, the sum over pixels and the floor.

    For predictions 1 and 2, E_{x ~ p_1}[p_2(x) / p_1(x)] = 1 within five standard errors. This identity holds for
    unnormalised densities too; for densities of images and values p_2 is therefore also replaced by a Gaussian u.
    """
    likelihood, schedule = fixture.model.likelihood, fixture.schedule
    channels = fixture.model.task.target_shape[0]
    key = torch.zeros((), dtype=torch.int64)
    shape = (1, 1, likelihood.prediction_channels(channels), 1, 1)
    one = 0.3 + 0.3 * standard_normal(fold(key, 1), shape).double()
    two = one + 0.03 * standard_normal(fold(key, 2), shape).double()
    noise = standard_normal(fold(key, 3), (SAMPLES, 1, channels, 1, 1)).double()
    target = likelihood.sample(one.expand(SAMPLES, -1, -1, -1, -1), noise, schedule)
    log_prob, other = (
        likelihood.log_prob(each.expand(SAMPLES, -1, -1, -1, -1), target, schedule)[:, 0] for each in (one, two)
    )
    _require_mean_of_one(other - log_prob, "samples are not drawn from the density that log_prob returns")
    if not likelihood.discrete and fixture.model.task.target_kind != "poses":
        _require_mean_of_one(_log_known_density(target) - log_prob, "the density does not integrate to 1")
    likelihood.mean(one)  # the fixture validates the shape
    floor = likelihood.floor(channels, schedule)
    if likelihood.bounded:
        require(bool((-log_prob >= floor - 1e-9).all()), "a negative log-likelihood is below the floor")
    if fixture.model.task.target_kind == "images":
        pixels = likelihood.log_prob(one.expand(1, 1, -1, 2, 3), target[:1].expand(1, 1, -1, 2, 3), schedule)
        require(close(pixels[:, 0], 6 * log_prob[:1]), "the log-likelihood of an image is not the sum over its pixels")
        require(
            close(likelihood.floor(6 * channels, schedule), 6 * floor),
            "the floor is not proportional to the number of pixels",
        )
    if fixture.model.task.target_kind == "images" and likelihood.has_mass:
        values = (255.0 * target.clamp(0.0, 1.0)).round() / 255.0
        log_mass = likelihood.log_mass(one.expand(SAMPLES, -1, -1, -1, -1), values, schedule)
        require(bool((log_mass <= 1e-9).all()), "log_mass of 8-bit values is positive: a probability above 1")


def _log_known_density(target: Tensor) -> Tensor:
    """Returns log u(x) of [n, 1, C, 1, 1] under a Gaussian with their mean and half their standard deviations, [n]."""
    centre, scale = target.mean(0, keepdim=True), 0.5 * target.std(0, keepdim=True)
    density = -0.5 * ((target - centre) / scale).square() - torch.log(scale) - 0.5 * math.log(2.0 * math.pi)
    return density.flatten(1).sum(1)


def _require_mean_of_one(log_weights: Tensor, message: str) -> None:
    weights = torch.exp(log_weights)
    mean, error = weights.mean().item(), (weights.std() / len(weights) ** 0.5).item()
    require(
        abs(mean - 1) <= 5 * error + 1e-9,
        f"{message}: a mean of importance weights is {mean:.4g} +- {error:.2g}, expected 1",
    )
