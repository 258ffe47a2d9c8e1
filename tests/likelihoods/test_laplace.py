"""The Laplace likelihood against scipy and against its own optimum."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.config.schedules import schedule_values
from zoo.likelihoods.laplace import Laplace

KINDS = ["sigma", "global", "per_element"]


def likelihood(scale, *, rho=0.0, **settings):
    found = Laplace(Laplace.Config(scale=scale, **settings)).double()
    for parameter in found.parameters():
        torch.nn.init.constant_(parameter, rho)
    return found


def exact_knobs(sigma):
    return schedule_values(sigma=sigma)._replace(sigma=torch.tensor(sigma, dtype=torch.float64))


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def deviations(found, prediction, channels, sigma):
    """Standard deviations that the settings ask for, in numpy."""
    if found.config.scale == "sigma":
        return np.asarray(sigma)
    rho = prediction[:, :, channels:].numpy() if found.config.scale == "per_element" else found.scale.rho.item()
    low, start = found.config.minimum_scale, found.config.initial_scale
    return low + (start - low) * np.logaddexp(0.0, rho) / math.log(2.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 3, 3, 4, 4), (2, 5, 2, 1, 1)], ids=["images", "values"])
@pytest.mark.parametrize("sigma", [0.02, 0.7, 2.0])
def test_log_density_equals_that_of_scipy_at_that_standard_deviation(kind, shape, sigma):
    found = likelihood(kind, rho=-0.8)
    channels = found.prediction_channels(shape[2])
    prediction = random(*shape[:2], channels, *shape[3:], seed=1)
    target = random(*shape)
    laplace = stats.laplace(
        prediction[:, :, : shape[2]].numpy(), deviations(found, prediction, shape[2], sigma) / 2**0.5
    )
    with torch.no_grad():
        value = found.log_prob(prediction, target, exact_knobs(sigma))
    np.testing.assert_allclose(
        value.numpy(), laplace.logpdf(target.numpy()).reshape(*shape[:2], -1).sum(-1), rtol=1e-12
    )
    assert np.broadcast_to(laplace.std(), shape) == pytest.approx(
        np.broadcast_to(deviations(found, prediction, shape[2], sigma), shape)
    )


@pytest.mark.parametrize("sigma", [0.01, 0.7, 2.0])
def test_a_perfect_prediction_attains_the_floor_and_no_other_does(sigma):
    target, found = random(2, 1, 3, 8, 8), likelihood("sigma")
    floor = found.floor(192, exact_knobs(sigma)).item()
    assert floor == pytest.approx(192 * math.log(math.sqrt(2.0) * sigma), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(-found.log_prob(target, target, exact_knobs(sigma)).numpy(), floor, rtol=1e-12)
    wrong = target.clone()
    wrong[..., 0, 0] += 0.1
    excess = -found.log_prob(wrong, target, exact_knobs(sigma)) - floor
    np.testing.assert_allclose(excess.numpy(), 3 * 0.1 * math.sqrt(2.0) / sigma, rtol=1e-8)


def test_the_best_location_is_the_median_and_the_best_scale_the_mean_distance():
    target = torch.tensor([0.1, 0.2, 0.25, 0.9, 1.0], dtype=torch.float64).view(1, 5, 1, 1, 1)

    def cost(location, deviation):
        prediction = torch.full((1, 5, 1, 1, 1), location, dtype=torch.float64)
        return -likelihood("sigma").log_prob(prediction, target, exact_knobs(deviation)).sum().item()

    distance = (target - 0.25).abs().mean().item()
    best = cost(0.25, math.sqrt(2.0) * distance)
    for location, factor in ((0.24, 1.0), (0.26, 1.0), (0.49, 1.0), (0.25, 0.97), (0.25, 1.03)):
        assert cost(location, factor * math.sqrt(2.0) * distance) > best


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_finite_differences(kind):
    found = likelihood(kind, rho=-0.7)
    target = random(1, 2, 3, 2, 2)
    prediction = random(1, 2, found.prediction_channels(3), 2, 2, seed=3)
    assert (prediction[:, :, :3] - target).abs().min() > 1e-4  # the corner of |x| has no derivative
    inputs = (prediction.requires_grad_(), *found.parameters())
    assert torch.autograd.gradcheck(lambda given, *_: found.log_prob(given, target, exact_knobs(0.7)), inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_laplace_distributed(kind):
    found = likelihood(kind, rho=0.4, minimum_scale=0.1, initial_scale=0.3)
    prediction = random(1, 1, found.prediction_channels(1), 2, 2)
    noise = random(20_000, 1, 1, 2, 2, seed=1)
    with torch.no_grad():
        drawn = found.sample(prediction.expand(20_000, -1, -1, 2, 2), noise, exact_knobs(0.3)).numpy()
        location = found.mean(prediction).numpy()
    assert location.shape == (1, 1, 1, 2, 2)
    scales = np.broadcast_to(deviations(found, prediction, 1, 0.3), location.shape) / 2**0.5
    for place in np.ndindex(2, 2):
        expected = stats.laplace(location[(0, 0, 0, *place)], scales[(0, 0, 0, *place)])
        assert stats.kstest(drawn[(slice(None), 0, 0, *place)], expected.cdf).pvalue > 1e-3


def test_samples_far_out_are_finite():
    noise = torch.tensor([-6.8, -1e-30, 0.0, 6.8]).view(4, 1, 1, 1)
    drawn = Laplace(Laplace.Config()).sample(torch.zeros(4, 1, 1, 1), noise, schedule_values(sigma=1.0)).flatten()
    expected = stats.laplace(0, 0.5**0.5).ppf(stats.norm.cdf(noise.flatten().double().numpy()))
    np.testing.assert_allclose(drawn.numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rho", [-1e4, -30.0, 0.0, 30.0, 1e4])
@pytest.mark.parametrize("location", [-1e4, 0.5, 1e4])
def test_value_and_gradient_are_finite_wherever_a_network_may_stray(location, rho, dtype):
    prediction = torch.tensor([location, rho], dtype=dtype).view(1, 1, 2, 1, 1).requires_grad_()
    found = likelihood("per_element").to(dtype)
    value = found.log_prob(prediction, torch.full((1, 1, 1, 1, 1), 0.5, dtype=dtype), schedule_values(sigma=0.7))
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_float32_under_autocast(kind):
    found = likelihood(kind).float()
    target = random(1, 1, 3, 64, 64, seed=5).float()
    prediction = random(1, 1, found.prediction_channels(3), 64, 64).bfloat16()
    with torch.no_grad():
        exact = found.double().log_prob(prediction.double(), target.double(), exact_knobs(0.7))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = found.float().log_prob(prediction, target, schedule_values(sigma=0.7))
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.numpy(), exact.numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_declares_depends_on_the_scale(kind):
    found = likelihood(kind)
    assert found.uses_sigma == found.bounded == (kind == "sigma")
    assert not found.discrete
    assert found.prediction_channels(3) == (6 if kind == "per_element" else 3)
    assert len(list(found.parameters())) == (1 if kind == "global" else 0)
    if kind != "sigma":
        assert found.floor(192, schedule_values(sigma=0.7)).item() == 0.0


def test_an_initial_scale_below_the_least_is_refused():
    with pytest.raises(ValueError, match=r"initial_scale 0.1: must be above minimum_scale 0.2"):
        likelihood("global", minimum_scale=0.2, initial_scale=0.1)
