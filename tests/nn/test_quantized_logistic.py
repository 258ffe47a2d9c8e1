"""The quantised logistic distribution against numpy and scipy; the likelihoods' tests cover the masses."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from zoo.nn.quantized import clamped_logistic_mean, logistic_log_mass, logistic_quantile

LOCATIONS = [-1e4, -3.0, -0.1, 0.0, 0.3, 0.5, 0.999, 1.0, 4.0, 1e4]
LOG_SCALES = [-7.0, -5.0, -3.0, -2.31, -2.3, -1.0, 0.0, 2.0, 6.0, 20.0]


def numbers(*values, dtype=torch.float64):
    return [torch.tensor(value, dtype=dtype) for value in values]


@pytest.mark.parametrize("log_scale", LOG_SCALES)
@pytest.mark.parametrize("location", LOCATIONS)
def test_the_clamped_mean_is_the_integral_of_what_lies_above(location, log_scale):
    at, width = numbers(location, log_scale)
    breaks = [location] if 0 < location < 1 else None
    expected, _ = integrate.quad(
        lambda t: special.expit((location - t) / math.exp(log_scale)), 0.0, 1.0, points=breaks, epsabs=1e-12
    )
    assert clamped_logistic_mean(location=at, log_scale=width).item() == pytest.approx(expected, abs=1e-9)
    single = clamped_logistic_mean(location=at.float(), log_scale=width.float())
    assert single.item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("location", [-0.2, 0.01, 0.37, 0.5, 0.98, 1.3])
@pytest.mark.parametrize("log_scale", [-4.5, -3.0, -1.0])
def test_the_clamped_mean_is_the_mean_of_the_256_values(location, log_scale):
    values = torch.arange(256, dtype=torch.float64) / 255.0
    at, width = numbers(location, log_scale)
    mass = logistic_log_mass(values, location=at, log_scale=width).exp()
    assert clamped_logistic_mean(location=at, log_scale=width).item() == pytest.approx(
        (mass * values).sum().item(), abs=2e-5
    )


@pytest.mark.parametrize("log_scale", [-1e4, 59.0, 61.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 128 / 255, 1.0])
def test_any_scale_gives_a_finite_mass_and_gradient(target, log_scale):
    value, at, width = numbers(target, 0.4, max(log_scale, -7.0), dtype=torch.float32)
    inputs = at.requires_grad_(), width.requires_grad_()
    mass = logistic_log_mass(value, location=inputs[0], log_scale=inputs[1])
    assert torch.isfinite(torch.stack([mass, *torch.autograd.grad(mass, inputs)])).all()


def test_quantiles_are_those_of_scipy_rounded_to_eight_bits():
    uniform = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    at, width = numbers(0.4, -2.0)
    expected = np.round(np.clip(stats.logistic(0.4, math.exp(-2.0)).ppf(uniform.numpy()), 0, 1) * 255) / 255
    np.testing.assert_allclose(logistic_quantile(uniform, location=at, log_scale=width).numpy(), expected, atol=1e-12)
    ends = logistic_quantile(torch.tensor([0.0, 1.0]), location=at.float(), log_scale=width.float())
    assert ends.tolist() == [0.0, 1.0]
