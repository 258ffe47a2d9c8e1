"""The neural process: one latent a scene, one network for prior and posterior, and an exact case as its referee."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from zoo.config.schedules import schedule_values
from zoo.cores.conditional_neural_process import encode_mean
from zoo.cores.neural_process import NeuralProcess, concatenate_views
from zoo.encoders.pairs import Pairs
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape, ViewShape
from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.noise import fold, standard_normal

SCENES, CONTEXT, QUERIES, CHANNELS, Z = 2, 4, 3, 6, 3
SCHEDULE = schedule_values(sigma=1.0)
KINDS = {
    "np": {"path": "latent"},
    "np both": {"path": "both"},
    "anp": {"path": "both", "aggregation": "attention"},
}


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def points(number, *, seed):
    mask = torch.ones(SCENES, number, dtype=torch.bool)
    return Views(
        values=random(SCENES, number, 1, 1, 1, seed=seed), poses=random(SCENES, number, 1, seed=seed + 1), mask=mask
    )


def problem(*, context=CONTEXT, queries=QUERIES):
    targets = points(queries, seed=10)
    key = torch.arange(SCENES)
    return Episode(
        context=points(context, seed=0), query=targets.poses, target=targets.values, target_views=targets, key=key
    )


def made(kind, *, images=False):
    torch.manual_seed(0)
    shapes = CoreShapes(
        representation=RepresentationShape(channels=CHANNELS, height=1, width=1),
        query=(1,),
        target=(3, 8, 8) if images else (1, 1, 1),
        prediction_channels=3 if images else 2,
        pose_width=1,
    )
    config = NeuralProcess.Config(z_channels=Z, hidden_channels=16, decoder_layers=2, heads=2, **KINDS[kind])
    return NeuralProcess(config, shapes=shapes).double()


@pytest.fixture(scope="module")
def encode():
    torch.manual_seed(1)
    view = ViewShape(channels=1, height=1, width=1, pose_width=1)
    return Pairs(Pairs.Config(channels=CHANNELS, layers=2), view=view).double().requires_grad_(False)


def chosen(views, order):
    return Views(*(field[:, order] for field in views))


def close(one, other, tolerance=1e-12):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryPath:
    def test_the_kl_counts_once_per_scene(self, kind, encode):
        core = made(kind)
        for queries in (1, 5):
            output = core(problem(queries=queries), encode, SCHEDULE)
            assert output.kl.shape == (SCENES, Z)
            assert output.prediction.shape == (SCENES, queries, 2, 1, 1)

    def test_prior_and_posterior_are_one_network(self, kind, encode):
        core, given = made(kind), problem()
        nothing = chosen(given.target_views, [])
        for one, other in zip(
            core.distribution(encode_mean(concatenate_views(given.context, nothing), encode)),
            core.distribution(encode_mean(given.context, encode)),
            strict=True,
        ):
            close(one, other)
        # Seen again, the context tells a mean nothing: there is no KL to pay.
        again = given._replace(query=given.context.poses, target=given.context.values, target_views=given.context)
        assert core(again, encode, SCHEDULE).kl.abs().max() < 1e-12
        assert core(given, encode, SCHEDULE).kl.sum() > 1e-6

    def test_the_posterior_is_given_context_and_targets(self, kind, encode):
        core, given = made(kind), problem()
        kl = core(given, encode, SCHEDULE).kl
        posterior = core.distribution(encode_mean(concatenate_views(given.context, given.target_views), encode))
        prior = core.distribution(encode_mean(given.context, encode))
        scale, other = posterior.log_scale.exp(), prior.log_scale.exp()
        by_hand = torch.log(other / scale) + (scale**2 + (posterior.mean - prior.mean) ** 2) / (2 * other**2) - 0.5
        close(kl, by_hand)
        moved = given._replace(context=given.context._replace(values=given.context.values + 1.0))
        assert (core(moved, encode, SCHEDULE).kl - kl).abs().max() > 1e-6

    def test_targets_are_exchangeable(self, kind, encode):
        core, given, order = made(kind), problem(), [2, 0, 1]
        permuted = given._replace(
            query=given.query[:, order], target=given.target[:, order], target_views=chosen(given.target_views, order)
        )
        before, after = core(given, encode, SCHEDULE), core(permuted, encode, SCHEDULE)
        close(after.prediction, before.prediction[:, order])
        close(after.kl, before.kl)
        close(after.log_ratio, before.log_ratio)

    def test_the_context_is_a_set(self, kind, encode):
        core, given = made(kind), problem()
        permuted = given._replace(context=chosen(given.context, [3, 1, 0, 2]))
        for one, other in zip(core(given, encode, SCHEDULE), core(permuted, encode, SCHEDULE), strict=True):
            close(one, other)
        swapped = given._replace(context=given.context._replace(poses=given.context.poses.flip(1)))
        assert (
            core(swapped, encode, SCHEDULE).prediction - core(given, encode, SCHEDULE).prediction
        ).abs().max() > 1e-6

    def test_a_latent_is_shared_by_all_queries_and_each_depends_on_no_other(self, kind, encode):
        """Kolmogorov's marginalisation: for one z targets are independent, so that leaving one out changes no other."""
        core, given = made(kind), problem()

        def predict(query):
            return core.predict(given.context, query, given.key, encode=encode, schedule=SCHEDULE, num_samples=4)

        together_, alone = predict(given.query), predict(given.query[:, 1:2])
        close(together_[:, :, 1:2], alone)
        twice = predict(given.query[:, [1, 1]])
        assert torch.equal(twice[:, :, 0], twice[:, :, 1])
        assert (twice[0] - twice[1]).abs().max() > 1e-6

    def test_predictions_are_drawn_from_the_prior(self, kind, encode):
        core, given = made(kind), problem()
        found = core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=3)
        prior = core.distribution(encode_mean(given.context, encode))
        for sample in range(3):
            noise = standard_normal(fold(given.key, sample), (Z,)).double()
            z = prior.mean + prior.log_scale.exp() * noise
            close(found[sample], core._decode(z[None], encode_mean(given.context, encode), given.query)[0])
        cold = core.predict(
            given.context,
            given.query,
            given.key,
            encode=encode,
            schedule=schedule_values(sigma=1.0, temperature=0.0),
            num_samples=2,
        )
        assert torch.equal(cold[0], cold[1])

    def test_a_target_reaches_its_prediction_through_the_latent_alone(self, kind, encode):
        core, given = made(kind), problem()

        class Fixed(nn.Module):
            def forward(self, features, mask):
                zeros = features.new_zeros(len(features), Z)
                return DiagonalGaussian(zeros, zeros)

        target = given.target.clone().requires_grad_()
        seen = given._replace(target=target, target_views=given.target_views._replace(values=target))
        (gradient,) = torch.autograd.grad(core(seen, encode, SCHEDULE).prediction.sum(), target)
        assert gradient.abs().max() > 1e-9
        core.latent = Fixed()
        prediction = core(seen, encode, SCHEDULE).prediction
        (gradient,) = torch.autograd.grad(prediction.sum(), target, allow_unused=True)
        assert gradient is None or not gradient.any()

    def test_no_context_has_a_defined_value_and_padding_none_at_all(self, kind, encode):
        core, given = made(kind), problem()
        empty = core(problem(context=0), encode, SCHEDULE)
        assert torch.isfinite(empty.prediction).all() and torch.isfinite(empty.kl).all()
        more = points(2, seed=30)
        padded = given._replace(context=concatenate_views(given.context, more._replace(mask=~more.mask)))
        for one, other in zip(core(given, encode, SCHEDULE), core(padded, encode, SCHEDULE), strict=True):
            close(one, other)

    def test_mean_of_log_q_minus_log_p_is_the_kl(self, kind, encode):
        core, count = made(kind), 4000
        given = problem()
        many = Episode(
            *(
                Views(*(field[:1].expand(count, *field.shape[1:]) for field in part))
                if isinstance(part, Views)
                else part[:1].expand(count, *part.shape[1:])
                for part in given
            )
        )._replace(key=torch.arange(count))
        with torch.no_grad():
            output = core(many, encode, SCHEDULE)
        difference = output.log_ratio - output.kl.sum(1)
        assert difference.std() > 1e-3
        assert difference.mean().abs() < 4 * difference.std() / count**0.5

    def test_images_are_written_and_maps_averaged_over_space(self, kind):
        core = made(kind, images=True)
        context = Views(
            values=random(SCENES, CONTEXT, CHANNELS, 2, 2, seed=0),
            poses=random(SCENES, CONTEXT, 1, seed=1),
            mask=torch.ones(SCENES, CONTEXT) > 0,
        )

        def maps(views):
            return Representation(pooled=views.values.sum(1), per_view=views.values, mask=views.mask)

        query = random(SCENES, QUERIES, 1, seed=2)
        found = core.predict(context, query, torch.arange(SCENES), encode=maps, schedule=SCHEDULE, num_samples=2)
        assert found.shape == (2, SCENES, QUERIES, 3, 8, 8)
        flat = context._replace(values=context.values.mean((-2, -1), keepdim=True))
        close(core.predict(flat, query, torch.arange(SCENES), encode=maps, schedule=SCHEDULE, num_samples=2), found)


def test_paths_tell_the_decoder_what_they_are_named_after(encode):
    """With the latent held fixed, a change of the context shows through the deterministic path and through no other."""
    given = problem()
    other = given.context._replace(values=given.context.values + 1.0)
    z = random(1, SCENES, Z, seed=4)
    for kind, shows in (("np", False), ("np both", True), ("anp", True)):
        core = made(kind)
        one, two = (core._decode(z, encode_mean(context, encode), given.query) for context in (given.context, other))
        assert bool((one != two).any()) == shows


def test_attention_without_a_deterministic_path_is_refused():
    with pytest.raises(ValueError, match="aggregation 'attention': path 'latent' has no deterministic path"):
        NeuralProcess(
            NeuralProcess.Config(path="latent", aggregation="attention"),
            shapes=CoreShapes(
                RepresentationShape(CHANNELS, 1, 1), query=(1,), target=(1, 1, 1), prediction_channels=2, pose_width=1
            ),
        )


class BayesianLine(nn.Module):
    """q(w | set), exactly, for y = w x + noise and w ~ N(0, 1): features are (x y, x^2), their sum is sufficient."""

    def forward(self, features, mask):
        total = torch.einsum("bnc,bn->bc", features, mask.double())
        precision = 1.0 + total[:, 1:] / NOISE**2
        return DiagonalGaussian(mean=total[:, :1] / NOISE**2 / precision, log_scale=-0.5 * torch.log(precision))


class Line(nn.Module):
    """y = w x."""

    def forward(self, condition, query):
        return (condition * query)[..., None, None]


NOISE = 0.4


def exact_line():
    """A neural process all of whose distributions are exact, and its encoder: the linear kernel as a latent model."""
    core = made("np")
    core.config = core.config.model_copy(update={"z_channels": 1})
    core.latent = BayesianLine()
    core.decoder = Line()

    def encode(views):
        x, y = views.poses, views.values.flatten(2)
        features = torch.cat([x * y, x * x], dim=-1)[..., None, None]
        return Representation(pooled=features.sum(1), per_view=features, mask=views.mask)

    return core, encode


def exact_log_likelihood(given):
    """log p(targets | context) of each scene, from the joint Gaussian of all values (no latent in sight)."""
    x = torch.cat([given.context.poses, given.query], dim=1)[..., 0]
    y = torch.cat([given.context.values, given.target], dim=1).flatten(1)
    n = given.context.poses.shape[1]

    def joint(x, y):
        covariance = x[:, :, None] * x[:, None] + NOISE**2 * torch.eye(x.shape[1], dtype=x.dtype)
        return MultivariateNormal(torch.zeros_like(y), covariance).log_prob(y) if x.shape[1] else y.sum(1)

    return joint(x, y) - joint(x[:, :n], y[:, :n])


def gaussian(prediction, target):
    difference = (prediction - target).flatten(2).sum(-1) / NOISE
    return -0.5 * difference**2 - math.log(NOISE) - 0.5 * math.log(2 * math.pi)


@pytest.mark.parametrize("context", [0, 1, 5])
def test_with_exact_distributions_every_sample_of_the_objective_is_the_predictive_log_likelihood(context):
    core, encode = exact_line()
    given = problem(context=context, queries=4)
    exact = exact_log_likelihood(given)
    for sample in range(3):
        output = core(given._replace(key=fold(given.key, sample)), encode, SCHEDULE)
        close(gaussian(output.prediction, given.target).sum(1) - output.log_ratio, exact, tolerance=1e-10)


def test_with_exact_distributions_samples_of_the_prior_give_the_predictive_log_likelihood():
    core, encode = exact_line()
    given, samples = problem(context=3, queries=2), 20_000
    found = core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=samples)
    weights = torch.stack([gaussian(sample, given.target).sum(1) for sample in found])
    estimate = torch.logsumexp(weights, 0) - math.log(samples)
    likelihood = weights.exp()
    error = likelihood.std(0) / likelihood.mean(0) / samples**0.5
    assert ((estimate - exact_log_likelihood(given)).abs() < 4 * error).all()
    assert (error < 0.2).all()
