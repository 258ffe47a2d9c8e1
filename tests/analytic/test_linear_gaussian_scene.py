"""The joint bounds of K targets that share one z, on a model whose joint log-likelihood is known in closed form."""

import itertools
import math
from dataclasses import replace

import linear_gaussian
import linear_gaussian_scene
import numpy as np
import pytest
import torch
from importance_weighting import importance_weighted_nelbo
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

SIGMA, SIZE, CONTEXT = 0.4, 4, 2
DIMS = 3 * SIZE * SIZE
SCHEDULE = ScheduleValues(*(torch.tensor(value, dtype=torch.float64) for value in (1.0, SIGMA, 1.0)))
NUMBERS = (1, 2, 4)

LAB = {
    "core": "linear_gaussian_scene:SceneLinearGaussian",
    "training": "targets: 2, sigma: {start: 1.0, end: 0.4, steps: 2}",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return linear_gaussian.make_registry(tmp_path_factory.mktemp("lab"), **LAB)


@pytest.fixture(scope="module")
def exact(registry):
    return build(registry.variant("lab/exact"), seed=0).double()


@pytest.fixture(scope="module")
def wrong(registry):
    return build(registry.variant("lab/wrong"), seed=0).double()


def scenes(count, *, targets, seed=0):
    return random_batch(batch_size=count, num_views=CONTEXT + targets, image_size=SIZE, seed=seed)


@torch.no_grad()
def joint(model, batch):
    """The joint distribution of the K targets of every scene, written as one Gaussian of K * D numbers, and its value."""
    core, episode = model.core, model.task(batch, num_context=CONTEXT)
    views = torch.cat([episode.context.values.flatten(2), episode.context.poses], dim=2)
    r = (views @ model.encoder.weight.T).sum(1)
    loadings = torch.einsum("dz,bqz->bqdz", core.U, episode.query @ core.G.T).flatten(1, 2)
    offset = episode.query @ core.B.T + (r @ core.F.T)[:, None] + core.b
    mean = (loadings @ (r @ core.E.T)[:, :, None])[..., 0] + offset.flatten(1)
    covariance = loadings @ loadings.mT + SIGMA**2 * torch.eye(loadings.shape[1], dtype=torch.float64)
    value = MultivariateNormal(mean, covariance).log_prob(episode.target.flatten(1))
    return mean, covariance, value


@torch.no_grad()
def gap(model, batch):
    """KL(q || true posterior), [B]."""
    episode = model.task(batch, num_context=CONTEXT)
    pooled = model.encoder(episode.context).pooled
    beliefs = model.core.beliefs(pooled, episode.query, episode.target, SCHEDULE.sigma)
    q, p = (Normal(part.mean, part.log_scale.exp()) for part in (beliefs.approximate, beliefs.exact))
    return torch_kl(q, p).sum(1)


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
                patch.setattr(linear_gaussian_scene, "standard_normal", point)
                total = total + compute()
        return total / len(points)

    return average


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "initial signal"])  # nothing is trained here
@pytest.mark.parametrize("name", ["lab/exact", "lab/wrong"])
def test_a_third_partys_core_keeps_the_contract(registry, name, check):
    CHECKS[check](make_fixture(registry.variant(name)))


@pytest.mark.parametrize("targets", NUMBERS)
def test_every_importance_weight_of_the_exact_posterior_is_the_joint_likelihood(exact, targets):
    """log p(x_1..x_K | z) - log q(z) / p(z) = log p(x_1..x_K), whatever z is."""
    batch = scenes(8, targets=targets)
    expected = joint(exact, batch)[-1]
    for sample in range(3):
        with torch.no_grad():
            terms = exact(batch._replace(key=fold(batch.key, sample)), SCHEDULE, CONTEXT)
        torch.testing.assert_close(terms.log_likelihood - terms.log_ratio, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("targets", NUMBERS)
def test_the_elbo_with_the_exact_posterior_is_the_joint_likelihood(exact, sigma_points, targets):
    batch = scenes(8, targets=targets)
    with torch.no_grad():
        nelbo = sigma_points(lambda: exact(batch, SCHEDULE, CONTEXT).nelbo())
    torch.testing.assert_close(-nelbo, joint(exact, batch)[-1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("targets", NUMBERS)
def test_the_gap_of_a_wrong_posterior_is_one_kl_a_scene(wrong, sigma_points, targets):
    batch = scenes(8, targets=targets)
    with torch.no_grad():
        nelbo = sigma_points(lambda: wrong(batch, SCHEDULE, CONTEXT).nelbo())
    found = nelbo + joint(wrong, batch)[-1]
    assert (found > 0.1).all()
    torch.testing.assert_close(found, gap(wrong, batch), rtol=0, atol=1e-9)


def test_the_joint_likelihood_is_not_the_sum_of_those_of_single_targets(exact):
    """What a model with latents of its own for every query would score; images of one scene tell of each other."""
    batch = scenes(12, targets=2)
    mean, covariance, together = joint(exact, batch)
    apart = sum(
        joint(exact, batch._replace(frames=batch.frames[:, order], cameras=batch.cameras[:, order]))[-1]
        for order in ([0, 1, 2], [0, 1, 3])
    )
    assert ((together - apart).abs() > 1e-3).all()
    # Under the model's own images the difference is their mutual information, which is positive.
    blocks = (covariance[:, :DIMS, :DIMS], covariance[:, DIMS:, DIMS:])
    information = 0.5 * (sum(torch.logdet(block) for block in blocks) - torch.logdet(covariance))
    assert (information > 1e-3).all()
    one, other = (mean[:, part] for part in (slice(None, DIMS), slice(DIMS, None)))
    drawn = MultivariateNormal(mean, covariance).sample((400,))
    ratio = MultivariateNormal(mean, covariance).log_prob(drawn)
    ratio -= MultivariateNormal(one, blocks[0]).log_prob(drawn[..., :DIMS])
    ratio -= MultivariateNormal(other, blocks[1]).log_prob(drawn[..., DIMS:])
    error = ratio.std(0) / 400**0.5
    assert ((ratio.mean(0) - information).abs() < 5 * error).all()


@pytest.mark.parametrize("targets", NUMBERS)
def test_scored_scenes_carry_the_joint_likelihood_divided_by_the_number_of_targets(exact, array_scenes, targets):
    source = array_scenes(num_scenes=5, image_size=SIZE)
    plan = EvaluationPlan(source, num_context=CONTEXT, num_targets=targets)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=3)
    scores = score_scenes(exact, evaluation, bounds=Bounds(importance_samples=(2,)))
    (whole,) = replace(evaluation, batch_size=5).batches()
    expected = -joint(exact, whole.batch)[-1].numpy() / targets
    np.testing.assert_allclose(scores["iwae_2"], expected, rtol=1e-11)
    floor = DIMS * (0.5 * math.log(2 * math.pi) + math.log(SIGMA))
    np.testing.assert_allclose(scores["floor"], floor, rtol=1e-12)
    np.testing.assert_allclose(scores["iwae_2_excess"], expected - floor, rtol=1e-9)
    with torch.no_grad():
        terms = exact(whole.batch, SCHEDULE, CONTEXT)
    np.testing.assert_allclose(scores["kl"], terms.kl.numpy() / targets, rtol=1e-11)
    np.testing.assert_allclose(scores["nelbo"], terms.nelbo().numpy() / targets, rtol=1e-11)


def test_scores_do_not_depend_on_the_order_of_the_targets(wrong):
    batch = scenes(4, targets=3)
    order = [0, 1, 4, 2, 3]
    turned = batch._replace(frames=batch.frames[:, order], cameras=batch.cameras[:, order])
    with torch.no_grad():
        before, after = (wrong(each, SCHEDULE, CONTEXT) for each in (batch, turned))
        bounds = [importance_weighted_nelbo(wrong, each, SCHEDULE, CONTEXT, samples=3) for each in (batch, turned)]
    for one, other in [*zip(before, after, strict=True), bounds]:
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_importance_weighting_climbs_to_the_joint_likelihood(wrong):
    """L_1 <= L_2 <= ... <= log p: differences of the same scenes, nested samples."""
    batch = scenes(600, targets=3)
    truth = joint(wrong, batch)[-1]
    with torch.no_grad():
        bounds = [
            -importance_weighted_nelbo(wrong, batch, SCHEDULE, CONTEXT, samples=count) for count in (1, 2, 4, 16, 64)
        ]
    for lower, higher in itertools.pairwise([*bounds, truth]):
        difference = higher - lower
        assert difference.mean() > -4 * difference.std() / len(difference) ** 0.5
    gaps = [(truth - bound).mean().item() for bound in bounds]
    assert gaps == sorted(gaps, reverse=True)
    first = truth - bounds[0]
    assert abs(gaps[0] - gap(wrong, batch).mean().item()) < 4 * (first.std() / len(first) ** 0.5).item()
    assert gaps[-1] < 0.15 * gaps[0]


def test_images_of_one_sample_have_the_covariance_of_the_scene(exact):
    """Cov(x_i, x_j) = A_i A_j^T over samples of z, which a latent of its own for every query would make zero."""
    batch, count = scenes(1, targets=2), 20_000
    drawn = exact.predict(batch, SCHEDULE, CONTEXT, num_samples=count).parameters[:, 0].flatten(2)
    centred = drawn - drawn.mean(0)
    found = torch.einsum("sd,se->de", centred[:, 0], centred[:, 1]) / (count - 1)
    expected = joint(exact, batch)[1][0, :DIMS, DIMS:]
    scale = centred.std(0)
    error = scale[0][:, None] * scale[1] * (2 / count) ** 0.5
    assert expected.abs().max() > 20 * error.max()
    assert ((found - expected).abs() < 5 * error).all()
