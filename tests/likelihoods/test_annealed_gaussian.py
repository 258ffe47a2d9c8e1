"""The Gaussian likelihood against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.config.schedules import schedule_values
from zoo.likelihoods.annealed_gaussian import AnnealedGaussian

SIGMAS = [0.01, 0.7, 1.0, 2.0]


def likelihood():
    return AnnealedGaussian(AnnealedGaussian.Config())


def exact_knobs(sigma):
    return schedule_values(sigma=sigma)._replace(sigma=torch.tensor(sigma, dtype=torch.float64))


def images(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_log_density_equals_that_of_scipy(sigma):
    prediction, target = images(2, 3, 3, 4, 4, seed=1) * 2 - 0.5, images(2, 3, 3, 4, 4)
    found = likelihood().log_prob(prediction, target, exact_knobs(sigma))
    expected = stats.norm.logpdf(target.numpy(), prediction.numpy(), sigma).reshape(2, 3, -1).sum(-1)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_the_floor_of_the_paper_is_6909_nats():
    floor = likelihood().floor(3 * 64 * 64, schedule_values(sigma=0.7))
    assert floor.item() == pytest.approx(6909.1, abs=0.05)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_a_perfect_prediction_attains_the_floor_and_no_other_does(sigma):
    target = images(2, 1, 3, 8, 8)
    floor = likelihood().floor(192, exact_knobs(sigma)).item()
    assert floor == pytest.approx(192 * (0.5 * math.log(2 * math.pi) + math.log(sigma)), rel=1e-12, abs=1e-12)
    perfect = -likelihood().log_prob(target, target, exact_knobs(sigma))
    np.testing.assert_allclose(perfect.numpy(), floor, rtol=1e-12)
    wrong = target.clone()
    wrong[..., 0, 0] += 0.1
    excess = -likelihood().log_prob(wrong, target, exact_knobs(sigma)) - floor
    np.testing.assert_allclose(excess.numpy(), 3 * 0.5 * (0.1 / sigma) ** 2, rtol=1e-8)


def test_sums_are_float32_under_autocast():
    target = images(1, 1, 3, 64, 64).float()
    prediction = (target + 0.1).bfloat16()
    exact = likelihood().log_prob(prediction.double(), target.double(), exact_knobs(0.7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = likelihood().log_prob(prediction, target, schedule_values(sigma=0.7))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), exact.numpy(), rtol=1e-6)


def test_samples_have_mean_and_sigma():
    prediction = images(1, 1, 3, 4, 4)
    noise = torch.randn(20_000, 1, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    drawn = likelihood().sample(prediction, noise, exact_knobs(0.3))
    error = (drawn.mean(0) - prediction).abs().max().item()
    assert error < 5 * 0.3 / 20_000**0.5
    assert drawn.std(0).mean().item() == pytest.approx(0.3, rel=5e-3)
    assert torch.equal(likelihood().mean(prediction), prediction)


def test_gradient_equals_finite_differences():
    prediction = images(1, 2, 3, 2, 2, seed=3).requires_grad_()
    target = images(1, 2, 3, 2, 2)
    assert torch.autograd.gradcheck(lambda given: likelihood().log_prob(given, target, exact_knobs(0.7)), (prediction,))


def test_what_it_declares():
    assert likelihood().prediction_channels(3) == 3
    assert AnnealedGaussian.uses_sigma
    assert not AnnealedGaussian.discrete
