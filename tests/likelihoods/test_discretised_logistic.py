"""Probabilities of 8-bit values against numpy, and against the definition of a code."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.config.schedules import schedule_values
from zoo.likelihoods.discretised_logistic import DiscretisedLogistic, bits_per_dim

SCHEDULE = schedule_values(sigma=0.7)
VALUES = np.arange(256) / 255.0


def likelihood(**settings):
    return DiscretisedLogistic(DiscretisedLogistic.Config(**settings))


def log_probabilities(mean, log_scale, dtype=torch.float64):
    """Log-probabilities of all 256 values, for a location and the log-scale that the likelihood ends up with."""
    target = torch.tensor(VALUES, dtype=dtype).view(256, 1, 1, 1, 1)
    prediction = torch.tensor([mean, log_scale + 2.0], dtype=dtype).view(1, 1, 2, 1, 1).expand(256, 1, 2, 1, 1)
    return likelihood().log_prob(prediction, target, SCHEDULE)[:, 0]


def by_scipy(mean, log_scale):
    """Masses of the 256 bins from the distribution function or its complement, whichever does not cancel."""
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255.0, [np.inf]])
    logistic = stats.logistic(mean, math.exp(log_scale))
    below, above = np.diff(logistic.cdf(edges)), -np.diff(logistic.sf(edges))
    return np.where(mean > VALUES, below, above)


CASES = [
    (mean, log_scale)
    for mean in (-3.0, -0.1, 0.0, 0.3, 0.5, 127.5 / 255, 0.999, 1.0, 4.0)
    for log_scale in (-7.0, -5.0, -3.0, -1.0, 0.0, 2.0, 6.0, 20.0)
]


@pytest.mark.parametrize(("mean", "log_scale"), CASES)
def test_probabilities_of_all_values_sum_to_one(mean, log_scale):
    assert log_probabilities(mean, log_scale).exp().sum().item() == pytest.approx(1.0, abs=1e-9)
    assert log_probabilities(mean, log_scale, torch.float32).exp().sum().item() == pytest.approx(1.0, abs=2e-5)


@pytest.mark.parametrize(("mean", "log_scale"), [case for case in CASES if case[1] <= 6.0])
def test_probabilities_equal_those_of_scipy(mean, log_scale):
    np.testing.assert_allclose(
        log_probabilities(mean, log_scale).exp().numpy(), by_scipy(mean, log_scale), rtol=1e-9, atol=1e-15
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mean", [-1e4, -10.0, 0.5, 10.0, 1e4])
@pytest.mark.parametrize("log_scale", [-1e4, -7.0, 0.0, 30.0])
def test_value_and_gradient_are_finite_wherever_a_network_may_stray(mean, log_scale, dtype):
    prediction = torch.tensor([mean, log_scale], dtype=dtype).view(1, 1, 2, 1, 1).requires_grad_()
    for target in (0.0, 0.5, 1.0):
        value = likelihood().log_prob(prediction, torch.full((1, 1, 1, 1, 1), target, dtype=dtype), SCHEDULE)
        (gradient,) = torch.autograd.grad(value.sum(), prediction)
        assert torch.isfinite(value).all()
        assert value <= 0
        assert torch.isfinite(gradient).all()


def test_channels_are_means_then_log_scales_and_all_are_summed():
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(2, 3, 6, 4, 4, dtype=torch.float64, generator=generator) * 0.5
    numbers = torch.randint(0, 256, (2, 3, 3, 4, 4), generator=generator)
    found = likelihood().log_prob(prediction, numbers.double() / 255.0, SCHEDULE)
    expected = np.zeros((2, 3))
    for index in np.ndindex(2, 3, 3, 4, 4):
        scene, query, channel, *pixel = index
        mean, log_scale = (float(prediction[(scene, query, channel + half, *pixel)]) for half in (0, 3))
        expected[scene, query] += math.log(by_scipy(mean, log_scale - 2.0)[int(numbers[index])])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_uniform_code_costs_eight_bits():
    assert bits_per_dim(12288 * math.log(256.0), 12288) == pytest.approx(8.0, rel=1e-12)
    assert bits_per_dim(math.log(2.0), 1) == pytest.approx(1.0, rel=1e-12)


def test_no_code_beats_the_entropy_of_its_values():
    """Averaged over values drawn from the model itself, the cost is the entropy; any other model costs more."""
    mass = by_scipy(0.4, -2.5)
    entropy = -(mass * np.log(mass)).sum()
    own = -(mass * log_probabilities(0.4, -2.5).numpy()).sum()
    assert own == pytest.approx(entropy, rel=1e-9)
    for mean, log_scale in ((0.41, -2.5), (0.4, -2.4), (0.3, -1.0)):
        assert -(mass * log_probabilities(mean, log_scale).numpy()).sum() > entropy


def test_log_scale_is_bounded_below_and_shifted():
    wide = likelihood(minimum_log_scale=-1.0, initial_log_scale=0.5)
    target = torch.full((1, 1, 1, 1, 1), 0.5, dtype=torch.float64)

    def cost(log_scale):
        prediction = torch.tensor([0.5, log_scale], dtype=torch.float64).view(1, 1, 2, 1, 1)
        return wide.log_prob(prediction, target, SCHEDULE).item()

    assert cost(-1.5) == cost(-100.0)
    assert cost(-1.4) < cost(-1.5)


def test_gradient_equals_finite_differences():
    generator = torch.Generator().manual_seed(1)
    prediction = (torch.randn(1, 2, 6, 2, 2, dtype=torch.float64, generator=generator) * 0.5).requires_grad_()
    target = torch.randint(0, 256, (1, 2, 3, 2, 2), generator=generator).double() / 255.0
    target[0, 0, 0, 0, 0], target[0, 0, 1, 0, 0] = 0.0, 1.0
    assert torch.autograd.gradcheck(lambda given: likelihood().log_prob(given, target, SCHEDULE), (prediction,))


@pytest.mark.parametrize(("mean", "log_scale"), [(0.5, -4.5), (0.02, -3.5), (0.98, -3.0)])
def test_frequencies_of_samples_are_the_probabilities(mean, log_scale):
    noise = torch.randn(100_000, 1, 1, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    prediction = torch.tensor([mean, log_scale + 2.0], dtype=torch.float64).view(1, 2, 1, 1).expand(100_000, 1, 2, 1, 1)
    drawn = likelihood().sample(prediction, noise, SCHEDULE)
    numbers = (drawn * 255.0).round().long().flatten().numpy()
    np.testing.assert_allclose(numbers / 255.0, drawn.flatten().numpy(), atol=1e-7)
    observed, expected = np.bincount(numbers, minlength=256), by_scipy(mean, log_scale) * len(numbers)
    common = expected >= 5
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_sums_are_float32_under_autocast():
    generator = torch.Generator().manual_seed(3)
    prediction = torch.randn(1, 1, 6, 32, 32, generator=generator).bfloat16()
    target = torch.randint(0, 256, (1, 1, 3, 32, 32), generator=generator).float() / 255.0
    exact = likelihood().log_prob(prediction.double(), target.double(), SCHEDULE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = likelihood().log_prob(prediction, target, SCHEDULE)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), exact.numpy(), rtol=1e-5)


def test_what_it_declares():
    assert likelihood().prediction_channels(3) == 6
    assert DiscretisedLogistic.discrete
    assert not DiscretisedLogistic.uses_sigma
    assert likelihood().floor(12288, SCHEDULE).item() == 0.0
