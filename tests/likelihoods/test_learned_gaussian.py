"""The Gaussian of learned standard deviation against scipy and against its own optimum."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.config.schedules import schedule_values
from zoo.likelihoods.learned_gaussian import LearnedGaussian

SCHEDULE = schedule_values(sigma=0.7)
KINDS = ["global", "per_element"]


def likelihood(scale, **settings):
    return LearnedGaussian(LearnedGaussian.Config(scale=scale, **settings))


def predictions(scale, *shape, seed=0, spread=1.0):
    """Random parameters for targets [B, Q, C, H, W]."""
    batch, queries, channels, *size = shape
    channels = channels if scale == "global" else 2 * channels
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, queries, channels, *size, dtype=torch.float64, generator=generator) * spread


def with_rho(found, rho):
    """Moves the parameter of a global scale away from where it starts; float64."""
    found = found.double()
    if found.scale.rho is not None:
        torch.nn.init.constant_(found.scale.rho, rho)
    return found


def scales(found, prediction, shape):
    """Standard deviations by the formula of the class, in numpy."""
    rho = prediction[:, :, shape[2] :].numpy() if found.scale.rho is None else np.full(shape, found.scale.rho.item())
    low, start = found.config.minimum_scale, found.config.initial_scale
    return low + (start - low) * np.logaddexp(0.0, rho) / math.log(2.0)


@pytest.mark.parametrize("scale", KINDS)
@pytest.mark.parametrize("shape", [(2, 3, 3, 4, 4), (2, 5, 1, 1, 1)], ids=["images", "values"])
def test_log_density_equals_that_of_scipy(scale, shape):
    found = with_rho(likelihood(scale), -1.3)
    prediction = predictions(scale, *shape)
    target = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    means = prediction[:, :, : shape[2]].numpy()
    expected = stats.norm.logpdf(target.numpy(), means, scales(found, prediction, shape)).reshape(*shape[:2], -1)
    with torch.no_grad():
        value = found.log_prob(prediction, target, SCHEDULE)
    np.testing.assert_allclose(value.numpy(), expected.sum(-1), rtol=1e-12)


@pytest.mark.parametrize("scale", KINDS)
def test_the_scale_starts_at_its_initial_value_and_stays_above_the_least(scale):
    found = with_rho(likelihood(scale, minimum_scale=0.05, initial_scale=0.3), 0.0)
    zeros = predictions(scale, 1, 1, 3, 2, 2, spread=0.0)
    assert found.scale(zeros).scale.detach().numpy() == pytest.approx(0.3, rel=1e-12)
    low = with_rho(likelihood(scale, minimum_scale=0.05, initial_scale=0.3), -1e4)
    assert low.scale(zeros - 1e4).scale.detach().numpy() == pytest.approx(0.05, rel=1e-12)


def test_the_scale_of_neural_processes_is_a_setting():
    found = likelihood("per_element", minimum_scale=0.1, initial_scale=0.1 + 0.9 * math.log(2.0))
    rho = torch.linspace(-6, 6, 25, dtype=torch.float64)
    prediction = torch.stack([torch.zeros_like(rho), rho], dim=-1).view(25, 1, 2, 1, 1)
    expected = 0.1 + 0.9 * torch.nn.functional.softplus(rho)
    torch.testing.assert_close(found.scale(prediction).scale.flatten(), expected, rtol=1e-12, atol=0)


def test_an_initial_scale_below_the_least_is_refused():
    with pytest.raises(ValueError, match=r"initial_scale 0.1: must be above minimum_scale 0.2"):
        likelihood("global", minimum_scale=0.2, initial_scale=0.1)


def test_the_best_global_scale_is_the_root_of_the_mean_squared_error():
    generator = torch.Generator().manual_seed(2)
    target = torch.rand(4, 2, 3, 8, 8, generator=generator)
    prediction = target + 0.13 * torch.randn(4, 2, 3, 8, 8, generator=generator)
    found = likelihood("global")
    optimizer = torch.optim.LBFGS(found.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def cost():
        optimizer.zero_grad()
        loss = -found.log_prob(prediction, target, SCHEDULE).mean() / 192
        loss.backward()
        return loss

    optimizer.step(cost)
    best = (prediction - target).square().mean().sqrt().item()
    assert found.scale(prediction).scale.item() == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("scale", KINDS)
def test_gradient_equals_finite_differences(scale):
    found = with_rho(likelihood(scale), -0.7)
    prediction = predictions(scale, 1, 2, 3, 2, 2, seed=3).requires_grad_()
    target = torch.rand(1, 2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    inputs = (prediction, *found.parameters())
    assert torch.autograd.gradcheck(lambda given, *_: found.log_prob(given, target, SCHEDULE), inputs)


@pytest.mark.parametrize("scale", KINDS)
def test_samples_have_mean_and_scale(scale):
    found = with_rho(likelihood(scale, minimum_scale=0.1, initial_scale=0.3), 0.4)
    prediction = predictions(scale, 1, 1, 3, 4, 4)
    noise = torch.randn(20_000, 1, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        drawn = found.sample(prediction.expand(20_000, 1, -1, 4, 4), noise, SCHEDULE)
        mean, deviation = found.mean(prediction), found.scale(prediction).scale
    assert mean.shape == (1, 1, 3, 4, 4)
    assert ((drawn.mean(0) - mean).abs() / deviation).max() < 5 / 20_000**0.5
    assert (drawn.std(0) / deviation - 1).abs().max() < 5 / 40_000**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rho", [-1e4, -30.0, 0.0, 30.0, 1e4])
@pytest.mark.parametrize("mean", [-1e4, 0.5, 1e4])
def test_value_and_gradient_are_finite_wherever_a_network_may_stray(mean, rho, dtype):
    prediction = torch.tensor([mean, rho], dtype=dtype).view(1, 1, 2, 1, 1).requires_grad_()
    value = likelihood("per_element").log_prob(prediction, torch.zeros(1, 1, 1, 1, 1, dtype=dtype), SCHEDULE)
    (gradient,) = torch.autograd.grad(value.sum(), prediction)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("scale", KINDS)
def test_sums_are_float32_under_autocast(scale):
    target = torch.rand(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    prediction = predictions(scale, 1, 1, 3, 64, 64).bfloat16()
    found = likelihood(scale)
    with torch.no_grad():
        exact = found.log_prob(prediction.double(), target.double(), SCHEDULE)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = found.log_prob(prediction, target, SCHEDULE)
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.numpy(), exact.numpy(), rtol=1e-5)


def test_a_density_may_fall_below_its_floor_and_says_so():
    assert not LearnedGaussian.bounded
    found = with_rho(likelihood("global", minimum_scale=0.004, initial_scale=0.01), 0.0)
    target = torch.zeros(1, 1, 3, 4, 4, dtype=torch.float64)
    assert -found.log_prob(target, target, SCHEDULE).item() < found.floor(48, SCHEDULE).item() == 0.0


def test_what_it_declares():
    assert likelihood("global").prediction_channels(3) == 3
    assert likelihood("per_element").prediction_channels(3) == 6
    assert len(list(likelihood("global").parameters())) == 1
    assert not list(likelihood("per_element").parameters())
    assert LearnedGaussian.target_kinds == {"images", "values"}
    assert not LearnedGaussian.uses_sigma
    assert not LearnedGaussian.discrete
