"""Gaussian processes against another implementation and against what must hold."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, ExpSineSquared, Matern, WhiteKernel

from zoo.data.functions import KINDS, Kernel
from zoo.evaluation.gaussian_process import predictive

LENGTH, AMPLITUDE, PERIOD, NOISE = 0.7, 1.3, 0.9, 0.15


def kernel(kind, **changes):
    return Kernel(kind, LENGTH, AMPLITUDE, PERIOD if kind == "periodic" else 0.0, NOISE)._replace(**changes)


def of_sklearn(kind):
    shape = {
        "rbf": RBF(LENGTH),
        "matern": Matern(LENGTH, nu=2.5),
        "periodic": ExpSineSquared(LENGTH, PERIOD),
    }[kind]
    return ConstantKernel(AMPLITUDE**2) * shape


def points(count, seed, width=1):
    return np.random.default_rng(seed).uniform(-2.0, 2.0, (count, width))


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_are_those_of_scikit_learn(kind):
    one, other = points(6, 0), points(4, 1)
    np.testing.assert_allclose(kernel(kind).covariance(one, other), of_sklearn(kind)(one, other), rtol=1e-10)


# The periodic kernel of a distance in the plane is not a covariance.
@pytest.mark.parametrize(("kind", "width"), [("rbf", 1), ("rbf", 2), ("matern", 1), ("matern", 2), ("periodic", 1)])
def test_the_posterior_is_that_of_scikit_learn(kind, width):
    inputs, queries = points(7, 0, width), points(5, 1, width)
    values = np.random.default_rng(2).normal(size=7)
    machine = GaussianProcessRegressor(of_sklearn(kind), alpha=NOISE**2, optimizer=None).fit(inputs, values)
    mean, covariance = machine.predict(queries, return_cov=True)
    found = predictive(kernel(kind), inputs=inputs, values=values, queries=queries)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance + NOISE**2 * np.eye(5), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.scale, np.sqrt(np.diag(covariance) + NOISE**2), rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_evidence_is_that_of_scikit_learn_and_the_chain_rule_holds(kind):
    inputs, values = points(6, 3), np.random.default_rng(4).normal(size=6)
    machine = GaussianProcessRegressor(of_sklearn(kind) + WhiteKernel(NOISE**2), alpha=0.0, optimizer=None)
    expected = machine.fit(inputs, values).log_marginal_likelihood()
    nothing = {"inputs": inputs[:0], "values": values[:0]}
    whole = predictive(kernel(kind), **nothing, queries=inputs).joint_log_prob(values)
    assert whole == pytest.approx(expected, rel=1e-9)
    steps = [
        predictive(kernel(kind), inputs=inputs[:n], values=values[:n], queries=inputs[n : n + 1]) for n in range(6)
    ]
    one_by_one = sum(step.joint_log_prob(values[n : n + 1]) for n, step in enumerate(steps))
    assert one_by_one == pytest.approx(whole, rel=1e-9)


def test_log_probabilities_are_those_of_scipy():
    found = predictive(kernel("rbf"), inputs=points(3, 0), values=np.ones(3), queries=points(4, 1))
    values = np.random.default_rng(5).normal(size=4)
    expected = multivariate_normal(found.mean, found.covariance).logpdf(values)
    assert found.joint_log_prob(values) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(found.marginal_log_prob(values), norm(found.mean, found.scale).logpdf(values))


def test_far_from_the_context_nothing_is_known_and_at_it_only_the_noise():
    context = points(3, 0)
    far = predictive(kernel("rbf"), inputs=context, values=np.ones(3), queries=np.array([[100.0]]))
    assert far.mean[0] == pytest.approx(0.0, abs=1e-12)
    assert far.scale[0] == pytest.approx(np.hypot(AMPLITUDE, NOISE))
    sharp = kernel("rbf", noise=1e-4)
    at = predictive(sharp, inputs=context, values=np.array([1.0, 2.0, 3.0]), queries=context)
    np.testing.assert_allclose(at.mean, [1.0, 2.0, 3.0], atol=1e-5)
    np.testing.assert_allclose(at.scale, np.sqrt(2.0) * 1e-4, rtol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_survives_being_written_as_numbers(kind):
    row = kernel(kind).row()
    assert row.dtype == np.float32 and row.shape == (5,)
    back = Kernel.from_row(row)
    assert back.kind == kind
    np.testing.assert_allclose(back[1:], kernel(kind)[1:], rtol=1e-6)
    assert Kernel.from_row(back.row()) == back
