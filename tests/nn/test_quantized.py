"""Masses of 8-bit values sum to 1 and are integrals of the density."""

import math

import pytest
import torch

from zoo.nn.quantized import gaussian_log_mass, laplace_log_mass

VALUES = torch.arange(256) / 255.0
SCALES = [1e-3, 0.004, 0.05, 0.7, 30.0]
LOCATIONS = [-3.0, -0.1, 0.0, 0.25, 0.5 + 1e-3, 1.0, 1.7]


def of_gaussian(location, scale):
    return gaussian_log_mass(VALUES, mean=torch.tensor(location), scale=torch.tensor(scale))


def of_laplace(location, scale):
    return laplace_log_mass(VALUES, location=torch.tensor(location), scale=torch.tensor(scale))


@pytest.mark.parametrize("log_mass", [of_gaussian, of_laplace])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("location", LOCATIONS)
def test_the_256_probabilities_sum_to_one(log_mass, location, scale):
    found = log_mass(location, scale)
    assert found.dtype == torch.float64 and torch.isfinite(found).all() and (found <= 1e-12).all()
    assert torch.logsumexp(found, 0).item() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("log_mass", "cdf"),
    [
        (of_gaussian, lambda x, scale: 0.5 * math.erfc(-x / scale / math.sqrt(2.0))),
        (of_laplace, lambda x, b: 0.5 * math.exp(x / b) if x < 0 else 1.0 - 0.5 * math.exp(-x / b)),
    ],
)
@pytest.mark.parametrize("scale", [0.05, 0.7])
def test_a_mass_is_the_difference_of_the_distribution_function(log_mass, cdf, scale):
    location = 0.3
    masses = log_mass(location, scale).exp()
    for value in (1, 60, 76, 77, 100, 254):
        low, high = (value - 0.5) / 255.0 - location, (value + 0.5) / 255.0 - location
        assert masses[value].item() == pytest.approx(cdf(high, scale) - cdf(low, scale), rel=1e-6)
    assert masses[0].item() == pytest.approx(cdf(0.5 / 255.0 - location, scale), rel=1e-6)
    assert masses[255].item() == pytest.approx(1.0 - cdf(254.5 / 255.0 - location, scale), rel=1e-6)


def test_far_from_the_mean_a_logarithm_is_left():
    """The mass itself is 0 even in float64."""
    found = of_gaussian(0.0, 0.01)[200]
    x = (200 - 0.5) / 255.0 / 0.01
    assert found.item() == pytest.approx(-0.5 * x * x - math.log(x * math.sqrt(2.0 * math.pi)), rel=1e-3)
    assert of_laplace(0.0, 1e-3)[200].item() == pytest.approx(
        -(199.5 / 255.0) / 1e-3 - math.log(2.0) + math.log1p(-math.exp(-1e3 / 255.0)), rel=1e-6
    )
