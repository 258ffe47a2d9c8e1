"""Diagonal Gaussians against scipy, torch.distributions and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from zoo.nn.gaussian import DiagonalGaussian, at_least_float32, kl_divergence, standard_like


def gaussian(mean, log_scale, dtype=torch.float64):
    return DiagonalGaussian(mean=torch.tensor(mean, dtype=dtype), log_scale=torch.tensor(log_scale, dtype=dtype))


def random_gaussian(*shape, seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    mean, log_scale = torch.randn(2, *shape, dtype=torch.float64, generator=generator) * spread
    return DiagonalGaussian(mean=mean, log_scale=log_scale)


def normal(g):
    return Normal(g.mean, g.log_scale.exp())


@pytest.mark.parametrize("spread", [0.1, 1.0, 2.0])
def test_kl_equals_that_of_torch_distributions(spread):
    q, p = random_gaussian(200, seed=0, spread=spread), random_gaussian(200, seed=1, spread=spread)
    torch.testing.assert_close(kl_divergence(q, p), torch_kl(normal(q), normal(p)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("scale_q", "scale_p"), [(1e-6, 1.0), (1.0, 1e3), (1e3, 1.0), (1e-6, 1e3), (1e-3, 1e-3 * (1 + 1e-3))]
)
def test_kl_of_far_scales_equals_that_of_torch_distributions(scale_q, scale_p):
    q, p = gaussian([0.3], [math.log(scale_q)]), gaussian([-0.2], [math.log(scale_p)])
    torch.testing.assert_close(kl_divergence(q, p), torch_kl(normal(q), normal(p)), rtol=1e-11, atol=1e-12)


def test_kl_equals_the_integral_of_its_definition():
    q, p = gaussian([0.4], [-0.7]), gaussian([-0.6], [0.3])
    one, other = stats.norm(0.4, math.exp(-0.7)), stats.norm(-0.6, math.exp(0.3))
    expected, _ = integrate.quad(lambda x: one.pdf(x) * (one.logpdf(x) - other.logpdf(x)), -8, 8, epsabs=1e-12)
    assert kl_divergence(q, p).item() == pytest.approx(expected, abs=1e-9)


def test_kl_has_a_direction():
    narrow, wide = gaussian([0.0], [math.log(0.1)]), gaussian([0.0], [0.0])
    # KL(N(0, s^2) || N(0, 1)) = (s^2 - 1) / 2 - log s
    assert kl_divergence(narrow, wide).item() == pytest.approx(0.5 * (0.01 - 1) - math.log(0.1), rel=1e-12)
    assert kl_divergence(wide, narrow).item() == pytest.approx(0.5 * (100 - 1) + math.log(0.1), rel=1e-12)


def test_kl_equals_the_mean_of_log_q_minus_log_p_at_samples_of_q():
    q, p = random_gaussian(8, seed=2), random_gaussian(8, seed=3)
    noise = torch.randn(100_000, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    z = q.sample(noise)
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(0) / len(ratio) ** 0.5
    assert ((ratio.mean(0) - kl_divergence(q, p)).abs() < 4 * error).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kl_of_equal_distributions_is_exactly_zero(dtype):
    scales = torch.linspace(-20, 20, 81, dtype=dtype)
    q = DiagonalGaussian(mean=torch.linspace(-1e3, 1e3, 81, dtype=dtype), log_scale=scales)
    assert torch.equal(kl_divergence(q, q), torch.zeros(81, dtype=dtype))


@pytest.mark.parametrize(("dtype", "exponents"), [(torch.float64, range(-7, 0)), (torch.float32, range(-2, 0))])
def test_kl_of_nearly_equal_distributions_does_not_cancel(dtype, exponents):
    # For q's scale exp(d) times p's: KL = (exp(2d) - 1) / 2 - d = d^2 + 2/3 d^3 + 1/3 d^4 + 2/15 d^5 + ...
    for exponent in exponents:
        d = 10.0**exponent
        series = sum(2 ** (k - 1) * d**k / math.factorial(k) for k in range(2, 20))
        found = kl_divergence(gaussian([0.0], [d], dtype), gaussian([0.0], [0.0], dtype)).item()
        assert found == pytest.approx(series, rel=20 * torch.finfo(dtype).eps / d)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q_scale", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("p_scale", [-20.0, 0.0, 20.0])
def test_kl_and_its_gradient_are_finite_at_extreme_scales(dtype, q_scale, p_scale):
    parameters = [torch.tensor(value, dtype=dtype, requires_grad=True) for value in (0.5, q_scale, -0.5, p_scale)]
    q, p = DiagonalGaussian(*parameters[:2]), DiagonalGaussian(*parameters[2:])
    kl = kl_divergence(q, p)
    kl.backward()
    assert torch.isfinite(kl)
    assert kl >= 0
    assert all(torch.isfinite(parameter.grad) for parameter in parameters)


means = st.floats(-100, 100)
log_scales = st.floats(-10, 10)


@given(means, log_scales, means, log_scales)
@settings(max_examples=300, deadline=None)
def test_kl_is_never_negative(mean_q, scale_q, mean_p, scale_p):
    assert kl_divergence(gaussian(mean_q, scale_q), gaussian(mean_p, scale_p)).item() >= 0.0


@given(log_scales, st.floats(-1e-3, 1e-3))
@settings(max_examples=300, deadline=None)
def test_kl_of_close_scales_is_never_negative(scale, change):
    assert kl_divergence(gaussian(0.0, scale + change), gaussian(0.0, scale)).item() >= 0.0


def test_log_density_equals_that_of_scipy():
    g = random_gaussian(50, seed=5)
    value = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(6)) * 3
    expected = stats.norm.logpdf(value.numpy(), g.mean.numpy(), np.exp(g.log_scale.numpy()))
    np.testing.assert_allclose(g.log_prob(value).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_samples_are_mean_plus_scale_times_noise():
    g = gaussian([1.0, -2.0], [math.log(3.0), math.log(0.5)])
    noise = torch.tensor([2.0, -4.0])
    torch.testing.assert_close(g.sample(noise), torch.tensor([7.0, -4.0], dtype=torch.float64))
    torch.testing.assert_close(g.sample(noise, temperature=0.5), torch.tensor([4.0, -3.0], dtype=torch.float64))
    assert torch.equal(g.sample(noise, temperature=0.0), g.mean)


def test_the_first_half_of_the_parameters_is_the_mean():
    parameters = torch.arange(24.0).view(2, 4, 3)
    g = DiagonalGaussian.from_parameters(parameters, dim=1)
    assert torch.equal(g.mean, parameters[:, :2])
    assert torch.equal(g.log_scale, parameters[:, 2:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_becomes_float32(dtype):
    g = DiagonalGaussian.from_parameters(torch.zeros(1, 2, dtype=dtype), dim=1)
    assert g.mean.dtype == g.log_scale.dtype == torch.float32
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kl_divergence(g, standard_like(g)).dtype == torch.float32
        assert g.log_prob(torch.ones(1, 1)).dtype == torch.float32


def test_the_standard_normal_has_the_shape_it_is_asked_for():
    g = random_gaussian(3, 4, seed=7)
    p = standard_like(g)
    torch.testing.assert_close(p.log_prob(g.mean), Normal(0.0, 1.0).log_prob(g.mean))
    assert p.mean.shape == p.log_scale.shape == (3, 4)
