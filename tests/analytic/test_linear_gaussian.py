"""The bounds that the zoo reports, on a model whose log-likelihood is known in closed form."""

import itertools
import math
from dataclasses import replace

import linear_gaussian
import numpy as np
import pytest
import torch
from importance_weighting import importance_weighted_nelbo
from scipy import stats
from torch.distributions import MultivariateNormal, Normal
from torch.distributions import kl_divergence as torch_kl

from zoo.checks.fixture import make_fixture
from zoo.checks.runner import CHECKS
from zoo.data.plan import EvaluationPlan
from zoo.episode import ScheduleValues
from zoo.evaluation.bounds import Bounds, score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.throughput import random_batch
from zoo.nn.noise import fold
from zoo.registry.variant import build

SIGMA, SIZE, CONTEXT, TARGETS = 0.4, 4, 2, 2
DIMS = 3 * SIZE * SIZE
SCHEDULE = ScheduleValues(*(torch.tensor(value, dtype=torch.float64) for value in (1.0, SIGMA, 1.0)))

LAB = {"training": "sigma: {start: 1.0, end: 0.4, steps: 2}"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return linear_gaussian.make_registry(tmp_path_factory.mktemp("lab"), **LAB)


@pytest.fixture(scope="module", params=["exact", "wrong"])
def model(request, registry):
    return build(registry.variant(f"lab/{request.param}"), seed=0).double()


@pytest.fixture(scope="module")
def exact(registry):
    return build(registry.variant("lab/exact"), seed=0).double()


@pytest.fixture(scope="module")
def wrong(registry):
    return build(registry.variant("lab/wrong"), seed=0).double()


def scenes(count, seed=0):
    return random_batch(batch_size=count, num_views=CONTEXT + TARGETS, image_size=SIZE, seed=seed)


@torch.no_grad()
def log_likelihood(model, batch):
    """log p(x | v, r) = log N(x; A (C v + E r) + B v + F r + b, A A^T + sigma^2), [B, Q], from first principles."""
    core, episode = model.core, model.task(batch, num_context=CONTEXT)
    covariance = core.A @ core.A.T + SIGMA**2 * torch.eye(DIMS, dtype=torch.float64)
    views = torch.cat([episode.context.values.flatten(2), episode.context.poses], dim=2)
    r = (views @ model.encoder.weight.T).sum(1)[:, None].expand(-1, TARGETS, -1)
    v = episode.query
    mean = (v @ core.C.T + r @ core.E.T) @ core.A.T + v @ core.B.T + r @ core.F.T + core.b
    return MultivariateNormal(mean, covariance).log_prob(episode.target.flatten(2))


@torch.no_grad()
def gap(model, batch):
    """KL(q || true posterior), [B], summed over the targets."""
    episode = model.task(batch, num_context=CONTEXT)
    pooled = model.encoder(episode.context).pooled
    beliefs = model.core.beliefs(pooled, episode.query, episode.target, SCHEDULE.sigma)
    q, p = (Normal(part.mean, part.log_scale.exp()) for part in (beliefs.approximate, beliefs.exact))
    return torch_kl(q, p).sum(dim=(1, 2))


@pytest.fixture
def sigma_points(monkeypatch):
    """Replaces noise by points whose mean is the exact expectation of anything quadratic."""

    def average(compute):
        total, points = 0.0, list(itertools.product(range(2), (1.0, -1.0)))
        for axis, sign in points:

            def point(keys, shape, axis=axis, sign=sign):
                noise = torch.zeros(*keys.shape, *shape, dtype=torch.float64)
                noise[..., axis] = sign * math.sqrt(shape[-1])
                return noise

            with monkeypatch.context() as patch:
                patch.setattr(linear_gaussian, "standard_normal", point)
                total = total + compute()
        return total / len(points)

    return average


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "initial signal"])  # nothing is trained here
@pytest.mark.parametrize("name", ["lab/exact", "lab/wrong"])
def test_a_third_partys_parts_keep_the_contract(registry, name, check):
    CHECKS[check](make_fixture(registry.variant(name)))


def test_the_closed_form_agrees_with_scipy(exact):
    batch = scenes(2)
    core, episode = exact.core, exact.task(batch, num_context=CONTEXT)
    beliefs = core.beliefs(exact.encoder(episode.context).pooled, episode.query, episode.target, SCHEDULE.sigma)
    mean = (beliefs.prior.mean @ core.A.T + beliefs.offset).detach().numpy()
    covariance = (core.A @ core.A.T).detach().numpy() + SIGMA**2 * np.eye(DIMS)
    expected = [
        [
            stats.multivariate_normal.logpdf(episode.target[b, q].flatten().numpy(), mean[b, q], covariance)
            for q in range(2)
        ]
        for b in range(2)
    ]
    np.testing.assert_allclose(log_likelihood(exact, batch).numpy(), expected, rtol=1e-10)


def test_with_the_exact_posterior_every_importance_weight_is_the_likelihood(exact):
    """log p(x | z) - log q(z) / p(z) = log p(x), whatever z is."""
    batch = scenes(16)
    expected = log_likelihood(exact, batch).sum(1)
    for sample in range(3):
        with torch.no_grad():
            terms = exact(batch._replace(key=fold(batch.key, sample)), SCHEDULE, CONTEXT)
        torch.testing.assert_close(terms.log_likelihood - terms.log_ratio, expected, rtol=0, atol=1e-10)


def test_the_elbo_with_the_exact_posterior_is_the_likelihood(exact, sigma_points):
    batch = scenes(16)
    with torch.no_grad():
        nelbo = sigma_points(lambda: exact(batch, SCHEDULE, CONTEXT).nelbo())
    torch.testing.assert_close(-nelbo, log_likelihood(exact, batch).sum(1), rtol=0, atol=1e-10)


def test_the_gap_of_a_wrong_posterior_is_its_kl_from_the_exact_one(wrong, sigma_points):
    batch = scenes(16)
    with torch.no_grad():
        nelbo = sigma_points(lambda: wrong(batch, SCHEDULE, CONTEXT).nelbo())
    found = nelbo + log_likelihood(wrong, batch).sum(1)
    assert (found > 0.1).all()
    torch.testing.assert_close(found, gap(wrong, batch), rtol=0, atol=1e-10)


def test_the_sampled_elbo_is_unbiased(wrong, sigma_points):
    batch = scenes(1)
    with torch.no_grad():
        expected = sigma_points(lambda: wrong(batch, SCHEDULE, CONTEXT).nelbo()).item()
        repeated = batch.apply(lambda field: field.expand(20_000, *field.shape[1:]))
        drawn = wrong(repeated._replace(key=torch.arange(20_000)), SCHEDULE, CONTEXT)
    for sampled in (drawn.nelbo(), drawn.log_ratio - drawn.log_likelihood):
        error = (sampled.std() / len(sampled) ** 0.5).item()
        assert error > 1e-4
        assert abs(sampled.mean().item() - expected) < 4 * error


def test_scored_scenes_carry_the_likelihood_per_target(exact, array_scenes):
    source = array_scenes(num_scenes=7, image_size=SIZE)
    plan = EvaluationPlan(source, num_context=CONTEXT, num_targets=TARGETS)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=3)
    scores = score_scenes(exact, evaluation, bounds=Bounds(importance_samples=(2,)))
    (whole,) = replace(evaluation, batch_size=7).batches()
    expected = -log_likelihood(exact, whole.batch).mean(1).numpy()
    np.testing.assert_allclose(scores["iwae_2"], expected, rtol=1e-12)
    floor = DIMS * (0.5 * math.log(2 * math.pi) + math.log(SIGMA))
    np.testing.assert_allclose(scores["iwae_2_excess"], expected - floor, rtol=1e-10)
    np.testing.assert_allclose(scores["floor"], floor, rtol=1e-12)


def test_importance_weighting_climbs_to_the_likelihood(wrong):
    """L_1 <= L_2 <= ... <= log p: differences of the same scenes, nested samples."""
    batch = scenes(3000)
    truth = log_likelihood(wrong, batch).sum(1)
    numbers = (1, 2, 4, 16, 64)
    with torch.no_grad():
        bounds = [-importance_weighted_nelbo(wrong, batch, SCHEDULE, CONTEXT, samples=number) for number in numbers]
    for lower, higher in itertools.pairwise([*bounds, truth]):
        difference = higher - lower
        assert difference.mean() > -4 * difference.std() / len(difference) ** 0.5
    gaps = [(truth - bound).mean().item() for bound in bounds]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] == pytest.approx(gap(wrong, batch).mean().item(), abs=0.2)
    assert gaps[-1] < 0.15 * gaps[0]
    errors = [((truth - bound).std() / len(truth) ** 0.5).item() for bound in bounds]
    assert all(found > -4 * error for found, error in zip(gaps, errors, strict=True))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_exactly_k_samples_are_weighed(wrong, number):
    batch, calls = scenes(4), []
    handle = wrong.core.register_forward_pre_hook(lambda _, given: calls.append(given[0].key))
    try:
        with torch.no_grad():
            found = importance_weighted_nelbo(wrong, batch, SCHEDULE, CONTEXT + TARGETS - 1, samples=number)
    finally:
        handle.remove()
    assert len(calls) == number
    assert len(torch.unique(torch.cat(calls))) == 4 * number
    with torch.no_grad():
        terms = [wrong(batch._replace(key=key), SCHEDULE, CONTEXT + TARGETS - 1) for key in calls]
    weights = torch.stack([term.log_likelihood - term.log_ratio for term in terms]).numpy()
    largest = weights.max(0)
    expected = -(largest + np.log(np.exp(weights - largest).mean(0)))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_latents_of_each_query_are_weighed_by_themselves(wrong):
    """The sum of the bounds of single targets is the bound, and it is tighter than one weight for all of them."""
    batch, number = scenes(2000), 4
    with torch.no_grad():
        found = importance_weighted_nelbo(wrong, batch, SCHEDULE, CONTEXT, samples=number)
        terms = [wrong(batch._replace(key=fold(batch.key, 77 + sample)), SCHEDULE, CONTEXT) for sample in range(number)]
    weights = torch.stack([each.log_likelihood - each.log_ratio for each in terms])
    together = math.log(number) - torch.logsumexp(weights, dim=0)
    difference = together - found
    assert difference.mean() > 4 * difference.std() / len(difference) ** 0.5
    truth = -log_likelihood(wrong, batch).sum(1)
    gained = found - truth
    assert gained.mean() > -4 * gained.std() / len(gained) ** 0.5


@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_large_weights_do_not_overflow(wrong, shift, monkeypatch):
    batch = scenes(4)
    with torch.no_grad():
        before = importance_weighted_nelbo(wrong, batch, SCHEDULE, CONTEXT, samples=4)
        original = type(wrong.likelihood).log_prob
        monkeypatch.setattr(type(wrong.likelihood), "log_prob", lambda *given: original(*given) + shift / TARGETS)
        after = importance_weighted_nelbo(wrong, batch, SCHEDULE, CONTEXT, samples=4)
    torch.testing.assert_close(after - before, torch.full((4,), -shift, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 3.0])
def test_the_sign_is_right_for_densities_above_and_below_one(exact, sigma):
    """log p is positive at a small sigma, negative at a large one; the bound follows with its sign."""
    batch = scenes(8)
    with torch.no_grad():
        found = importance_weighted_nelbo(
            exact, batch, SCHEDULE._replace(sigma=torch.tensor(sigma, dtype=torch.float64)), CONTEXT, samples=2
        )
        core, episode = exact.core, exact.task(batch, num_context=CONTEXT)
        beliefs = core.beliefs(exact.encoder(episode.context).pooled, episode.query, episode.target, sigma)
        covariance = core.A @ core.A.T + sigma**2 * torch.eye(DIMS, dtype=torch.float64)
        mean = beliefs.prior.mean @ core.A.T + beliefs.offset
        expected = MultivariateNormal(mean, covariance).log_prob(episode.target.flatten(2)).sum(1)
    torch.testing.assert_close(-found, expected, rtol=1e-9, atol=1e-9)


def test_predictions_have_the_mean_and_variance_of_the_prior(model):
    batch = scenes(1)
    drawn = model.predict(batch, SCHEDULE, CONTEXT, num_samples=5000).parameters.flatten(3)
    episode = model.task(batch, num_context=CONTEXT)
    with torch.no_grad():
        beliefs = model.core.beliefs(
            model.encoder(episode.context).pooled, episode.query, episode.target, SCHEDULE.sigma
        )
        mean = beliefs.prior.mean @ model.core.A.T + beliefs.offset
        scale = model.core.A.square().sum(1).sqrt()
    assert ((drawn.mean(0) - mean).abs() / (scale / 5000**0.5)).max() < 5
    assert ((drawn.std(0) / scale - 1).abs() * (2 * 5000) ** 0.5).max() < 5
