"""The objectives of training, on models whose log-likelihood is known in closed form."""

import numpy as np
import pytest
import test_linear_gaussian as queries
import test_linear_gaussian_scene as scenes
import torch
from linear_gaussian import make_registry
from scipy.special import logsumexp

from zoo.evaluation.bounds import select_targets
from zoo.model.objectives import ELBO, Objective
from zoo.nn.noise import fold, sample_keys, scene_sample_keys
from zoo.registry.variant import build

SCHEDULE, TARGETS = queries.SCHEDULE, queries.TARGETS


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The model with the exact posterior and the one with a wrong posterior, with latents of each query and of a scene."""
    found = {}
    for latents, module in (("query", queries), ("scene", scenes)):
        registry = make_registry(tmp_path_factory.mktemp("lab"), **module.LAB)
        found[latents] = [build(registry.variant(name), seed=0).double() for name in ("lab/exact", "lab/wrong")]
    return found


@pytest.fixture(params=["query", "scene"])
def latents(request):
    return request.param


@pytest.fixture
def exact(models, latents):
    yield models[latents][0]
    models[latents][0].objective = ELBO


@pytest.fixture
def wrong(models, latents):
    yield models[latents][1]
    models[latents][1].objective = ELBO


def scenes_of(count):
    return queries.scenes(count)


def log_likelihood(model, batch):
    """log p(targets | context), [B]."""
    if model.core.latents == "query":
        return queries.log_likelihood(model, batch).sum(1)
    return scenes.joint(model, batch)[-1]


def repeated(batch, rounds):
    """Copies of every scene with noise of their own."""
    many = batch.apply(lambda field: field.repeat_interleave(rounds, dim=0))
    return many._replace(key=torch.arange(len(many.key)))


def terms_of(model, batch, **objective):
    model.objective = Objective(**objective)
    return model(batch, SCHEDULE, queries.CONTEXT)


@pytest.mark.parametrize("samples", [1, 3])
def test_with_the_exact_posterior_the_importance_weighted_loss_is_the_likelihood(exact, samples):
    batch = scenes_of(6)
    terms = terms_of(exact, batch, kind="importance_weighted", num_samples=samples)
    torch.testing.assert_close(-terms.training_loss, log_likelihood(exact, batch), rtol=0, atol=1e-9)
    assert (terms.num_targets == TARGETS).all() and (terms.target_dims == queries.DIMS).all()
    torch.testing.assert_close(terms.loss(), -log_likelihood(exact, batch).mean() / TARGETS)


def test_one_importance_sample_is_the_elbo_with_the_sampled_log_ratio(wrong, latents):
    batch = scenes_of(4)
    found = terms_of(wrong, batch, kind="importance_weighted", num_samples=1)
    episode = wrong.episode(batch, num_context=queries.CONTEXT)
    first = episode._replace(key=fold(episode.key, 0))
    if latents == "scene":
        expected = wrong.score(first, SCHEDULE)
        for one, other in zip(found[:-1], expected[:-1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-10)
        loss = expected.log_ratio - expected.log_likelihood
    else:
        torch.testing.assert_close(found.kl, wrong.score(first, SCHEDULE).kl)
        loss = found.log_ratio - found.log_likelihood
    torch.testing.assert_close(found.training_loss, loss, rtol=1e-12, atol=1e-10)


def test_importance_weights_equal_those_of_single_samples(wrong, latents):
    batch, count = scenes_of(3), 4
    found = terms_of(wrong, batch, kind="importance_weighted", num_samples=count)
    episode = wrong.episode(batch, num_context=queries.CONTEXT)
    expected = torch.zeros(3, dtype=torch.float64)
    for targets in [slice(0, 1), slice(1, 2)] if latents == "query" else [slice(0, 2)]:
        keys = scene_sample_keys(episode.key, num_samples=count)
        if latents == "query":
            keys = sample_keys(episode.key, num_samples=count, num_queries=TARGETS)[:, :, targets.start]
        chosen = select_targets(episode, targets)
        each = [wrong.score(chosen._replace(key=keys[:, index]), SCHEDULE) for index in range(count)]
        weights = torch.stack([one.log_likelihood - one.log_ratio for one in each]).detach().numpy()
        expected += torch.from_numpy(logsumexp(weights, axis=0) - np.log(count))
    torch.testing.assert_close(-found.training_loss, expected)


def test_bounds_are_ordered_in_expectation(wrong):
    batch, rounds = scenes_of(2), 400
    many = repeated(batch, rounds)
    with torch.no_grad():
        bounds = [
            terms_of(wrong, many, kind=kind, num_samples=count).training_loss.view(2, rounds).mean(1)
            for kind, count in (("elbo", 1), ("importance_weighted", 3), ("importance_weighted", 12))
        ]
        best = -log_likelihood(wrong, batch)
    for looser, tighter in zip(bounds, [*bounds[1:], best], strict=True):
        assert (looser > tighter + 0.01).all()


def test_maximum_likelihood_is_the_log_of_the_mean_over_samples_of_the_prior(wrong, latents):
    batch, count = scenes_of(3), 5
    terms = terms_of(wrong, batch, kind="maximum_likelihood", num_samples=count)
    prediction = wrong.predict(batch, SCHEDULE, queries.CONTEXT, num_samples=count)
    squares = (prediction.parameters - prediction.target).square().flatten(3).sum(3).detach()
    each = -0.5 * squares / queries.SIGMA**2 - queries.DIMS * np.log(queries.SIGMA * np.sqrt(2 * np.pi))
    joint = each.sum(2, keepdim=True) if latents == "scene" else each
    expected = (logsumexp(joint.numpy(), axis=0) - np.log(count)).sum(1)
    np.testing.assert_allclose(terms.log_likelihood.detach().numpy(), expected, rtol=1e-10)
    torch.testing.assert_close(terms.nelbo(), terms.training_loss)
    assert (terms.kl == 0).all()


def test_maximum_likelihood_approaches_the_likelihood_from_below(exact):
    batch = scenes_of(2)
    with torch.no_grad():
        # Weak latents, so that samples of the prior suffice.
        kept = {name: weight.clone() for name, weight in exact.state_dict().items()}
        exact.core.A.mul_(0.1) if exact.core.latents == "query" else exact.core.G.mul_(0.6)
        found = {
            count: -terms_of(
                exact, repeated(batch, 200), kind="maximum_likelihood", num_samples=count
            ).training_loss.mean()
            for count in (1, 8, 256)
        }
        best = log_likelihood(exact, batch).mean()
        exact.load_state_dict(kept)
    assert found[1] < found[8] < found[256] < best
    assert best - found[256] < 0.05 * (best - found[1])


@pytest.mark.parametrize(
    "objective",
    [
        {"kind": "elbo", "free_bits": 1.0},
        {"kind": "importance_weighted", "num_samples": 3},
        {"kind": "maximum_likelihood", "num_samples": 3},
    ],
    ids=lambda objective: objective["kind"],
)
def test_gradients_equal_finite_differences(wrong, objective):
    batch, weights = scenes_of(3), list(wrong.parameters())
    gradients = torch.autograd.grad(terms_of(wrong, batch, **objective).loss(), weights)
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(weight.shape, dtype=weight.dtype, generator=generator) for weight in weights]
    slope = sum((gradient * along).sum() for gradient, along in zip(gradients, directions, strict=True))
    ends = []
    with torch.no_grad():
        for step in (1e-6, -2e-6):
            for weight, along in zip(weights, directions, strict=True):
                weight.add_(step * along)
            ends.append(terms_of(wrong, batch, **objective).loss())
        for weight, along in zip(weights, directions, strict=True):
            weight.add_(1e-6 * along)
    torch.testing.assert_close((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-5, atol=1e-6)


def test_free_bits_are_in_the_loss_alone(wrong, latents):
    batch = scenes_of(5)
    plain = terms_of(wrong, batch)
    each = wrong.core(wrong.episode(batch, num_context=queries.CONTEXT), wrong.encoder, SCHEDULE).kl.detach()
    kl = each.sum(2) if latents == "query" else each.sum(1, keepdim=True) / TARGETS
    free = kl.median().item()
    terms = terms_of(wrong, batch, free_bits=free)
    floored = kl.clamp(min=free).sum(1) * (1 if latents == "query" else TARGETS)
    torch.testing.assert_close(terms.training_loss, floored - plain.log_likelihood)
    assert (terms.training_loss >= plain.training_loss).all() and terms.loss() > plain.loss()
    scored = wrong.score(wrong.episode(batch, num_context=queries.CONTEXT), SCHEDULE)
    for found in (terms, scored):
        torch.testing.assert_close(found.nelbo(), plain.nelbo())
    # Where every KL is below the threshold, training sees the distortion alone.
    many = terms_of(wrong, batch, free_bits=1e4)
    weights = list(wrong.core.parameters())
    found = torch.autograd.grad(many.loss(), weights, allow_unused=True, retain_graph=True)
    expected = torch.autograd.grad(-(many.log_likelihood / TARGETS).mean(), weights, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
