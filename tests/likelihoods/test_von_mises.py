"""The von Mises distribution against scipy's, and numerically difficult cases."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.likelihoods.pose_mixture import VonMises, bounded, log_bessel, quantile

CONCENTRATIONS = [0.0, 1e-3, 0.5, 3.0, 88.0, 500.0, 2000.0]


def around(kappa, mode, dtype=torch.float64):
    return VonMises(
        cosine=torch.tensor(kappa * math.cos(mode), dtype=dtype), sine=torch.tensor(kappa * math.sin(mode), dtype=dtype)
    )


@pytest.mark.parametrize("kappa", CONCENTRATIONS)
@pytest.mark.parametrize("mode", [0.0, 2.5, -3.1])
def test_density_is_that_of_scipy(kappa, mode):
    angles = np.linspace(-math.pi, math.pi, 41)
    ours = around(kappa, mode).log_prob(torch.from_numpy(angles))
    theirs = stats.vonmises.logpdf(angles, kappa, loc=mode) if kappa else np.full(41, -math.log(2 * math.pi))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-6)
    single = around(kappa, mode, torch.float32).log_prob(torch.from_numpy(angles).float())
    np.testing.assert_allclose(single, theirs, atol=2e-3)


@pytest.mark.parametrize("kappa", CONCENTRATIONS)
def test_density_integrates_to_one_and_has_a_period_of_a_turn(kappa):
    angles = torch.linspace(-math.pi, math.pi, 20001, dtype=torch.float64)
    log_density = around(kappa, 1.0).log_prob(angles)
    assert torch.trapezoid(log_density.exp(), angles).item() == pytest.approx(1.0, abs=1e-9)
    torch.testing.assert_close(around(kappa, 1.0).log_prob(angles + 4 * math.pi), log_density, rtol=1e-9, atol=1e-9)


def test_the_mode_is_where_the_vector_points():
    angles = torch.tensor([0.3, -2.9, 3.0], dtype=torch.float64)
    found = VonMises(cosine=5.0 * angles.cos(), sine=5.0 * angles.sin())
    torch.testing.assert_close(found.mode, angles)
    torch.testing.assert_close(found.concentration, torch.full_like(angles, 5.0))
    assert (found.log_prob(angles) > found.log_prob(angles + 0.1)).all()


def test_bessel_function_does_not_overflow_where_it_does():
    kappa = torch.tensor([0.0, 89.0, 1e4])
    assert torch.isfinite(log_bessel(kappa)).all() and not torch.isfinite(torch.special.i0(kappa)).all()
    torch.testing.assert_close(log_bessel(kappa.double())[:2], torch.special.i0(kappa[:2].double()).log())


def test_bounded_parameters_keep_the_direction_and_end_at_the_bound():
    direction = torch.tensor([math.cos(2.0), math.sin(2.0)], dtype=torch.float64)
    lengths = torch.tensor([0.0, 0.1, 1.0, 5.0, 10.0, 1e3], dtype=torch.float64)
    found = bounded(*(lengths[:, None] * direction).unbind(-1), maximum=2000.0)
    expected = (lengths * (1 + lengths**2)).clamp(max=2000.0)
    torch.testing.assert_close(found.concentration, expected, rtol=1e-9, atol=2e-6)
    torch.testing.assert_close(found.mode[1:], torch.full((5,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("outputs", [(0.0, 0.0), (1e-8, 0.0), (3.0, -4.0), (1e4, 1e4)])
def test_gradients_are_finite_from_nothing_to_the_bound(outputs):
    given = torch.tensor(outputs, requires_grad=True)
    bounded(given[0], given[1], maximum=100.0).log_prob(torch.tensor(1.0)).backward()
    assert torch.isfinite(given.grad).all()


def test_the_gradient_is_right():
    given = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda pair: bounded(pair[0], pair[1], maximum=50.0).log_prob(torch.tensor([0.5, 2.0], dtype=torch.float64)),
        given,
    )


@pytest.mark.parametrize("kappa", [1e-4, 0.5, 3.0, 88.0, 2000.0])
def test_quantiles_are_those_of_scipy(kappa):
    uniform = torch.tensor([1e-6, 0.01, 0.3, 0.5, 0.77, 0.999], dtype=torch.float64)
    ours = quantile(uniform, concentration=torch.full_like(uniform, kappa))
    theirs = stats.vonmises.ppf(uniform.numpy(), kappa)
    np.testing.assert_allclose(ours, theirs, atol=2e-4 / max(1.0, math.sqrt(kappa)) + 1e-9, rtol=1e-4)
