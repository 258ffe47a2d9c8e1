"""The latent core of CGQN: a textbook's equations, one z for all queries of a scene, and the leaks that would spoil it."""

import itertools

import pytest
import textbook_cgqn
import torch

from zoo.config.schedules import schedule_values
from zoo.cores.cgqn import Cgqn
from zoo.episode import Episode, Views
from zoo.evaluation.throughput import random_batch
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, standard_normal
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SIZE, POSES, CHANNELS, Z, STEPS, SCENES, TARGETS = 16, 7, 5, 2, 3, 2, 3
SCHEDULE = schedule_values(sigma=0.7)
SETTINGS = {
    "steps": STEPS,
    "z_channels": Z,
    "hidden_channels": 4,
    "scene_channels": 3,
    "canvas_channels": 6,
    "read_channels": 5,
    "canvas_scale": 4,
    "stride": 2,
    "kernel_size": 3,
}
MAP = SIZE // 4
STATE = MAP // 2


def shapes(side=MAP):
    return CoreShapes(
        representation=RepresentationShape(channels=CHANNELS, height=side, width=side),
        query=(POSES,),
        target=(3, SIZE, SIZE),
        prediction_channels=3,
    )


def made(*, side=MAP, seed=0, **changes):
    torch.manual_seed(seed)
    core = Cgqn(Cgqn.Config(**SETTINGS | changes), shapes=shapes(side)).double()
    with torch.no_grad():
        for net in (core.prior, core.posterior):
            net.eta.weight.mul_(4.0)  # so that priors and posteriors differ by more than initial weights make them
    return core


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def problem(*, scenes=SCENES, targets=TARGETS, side=MAP):
    """An episode whose views are maps of features, and an encoder that adds them up."""
    context = Views(
        values=random(scenes, 2, CHANNELS, side, side, seed=0),
        poses=random(scenes, 2, POSES, seed=1),
        mask=torch.ones(scenes, 2) > 0,
    )
    target_views = Views(
        values=random(scenes, targets, CHANNELS, side, side, seed=2),
        poses=random(scenes, targets, POSES, seed=3),
        mask=torch.ones(scenes, targets) > 0,
    )
    target = torch.sigmoid(random(scenes, targets, 3, SIZE, SIZE, seed=4))
    return Episode(
        context=context, query=target_views.poses, target=target, target_views=target_views, key=torch.arange(scenes)
    )


def encode(views):
    return Representation(pooled=views.values.sum(1), per_view=views.values, mask=views.mask)


def test_with_means_over_views_the_posterior_does_not_depend_on_how_often_a_target_is_repeated():
    """The sum r' of the paper's entry does, so that it is trained and scored with one number of targets."""
    moved = {}
    for name in ("cgqn", "cgqn-improved"):
        variant = default_registry().variant(name, size="smoke")
        model = build(variant, seed=0)
        batch = random_batch(batch_size=2, num_views=4, image_size=variant.image_size, seed=0)
        episode = model.episode(batch, num_context=2)
        found = []
        for targets in (episode.target_views, chosen(episode, [0, 1, 0, 1, 0, 1]).target_views):
            rolled = model.core.rollout(
                model.encoder(episode.context).pooled,
                episode.query,
                episode.key,
                targets=model.encoder(targets).pooled,
                source="posterior",
                schedule=SCHEDULE,
            )
            found.append(rolled.posteriors.mean)
        moved[name] = (found[1] - found[0]).abs().max().item()
    assert moved["cgqn-improved"] < 1e-5
    assert moved["cgqn"] > 1e-3


def chosen(given, order):
    """The same problem with some of its targets, in another order."""
    return given._replace(
        query=given.query[:, order],
        target=given.target[:, order],
        target_views=Views(*(field[:, order] for field in given.target_views)),
    )


def each(groups):
    """The distributions of all groups one by one, of one [L, n, ...]."""
    return [DiagonalGaussian(*pair) for pair in zip(*groups, strict=True)]


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def rolled(core, given, *, source="posterior", with_targets=True):
    return core.rollout(
        encode(given.context).pooled,
        given.query,
        given.key,
        targets=encode(given.target_views).pooled if with_targets else None,
        source=source,
        schedule=SCHEDULE,
    )


class TestTextbook:
    @pytest.mark.parametrize("side", [1, MAP, 2 * MAP])
    def test_the_core_and_its_gradients_equal_the_equations(self, side):
        core, given = made(side=side), problem(side=side)
        for views in (given.context, given.target_views):
            views.values.requires_grad_()
        output = core(given, encode, SCHEDULE)
        weights = random(*output.prediction.shape, seed=9)
        loss = (weights * output.prediction).sum() + 0.7 * output.kl.sum() + 0.3 * output.log_ratio.sum()

        def at_map_size(features):
            if side == 2 * MAP:
                return features.unflatten(1, (MAP, 2)).unflatten(3, (MAP, 2)).mean(dim=(2, 4))
            return features.expand(-1, MAP, MAP)

        expected_loss = 0.0
        for scene in range(SCENES):
            r, r_prime = (at_map_size(views.values[scene].sum(0)) for views in (given.context, given.target_views))
            noise = torch.stack(
                [standard_normal(fold(given.key[scene], step), (Z, STATE, STATE)).double() for step in range(STEPS)]
            )
            found, kl, log_ratio = textbook_cgqn.latents(core, r, r_prime, noise)
            close(output.kl[scene], kl)
            close(output.log_ratio[scene], log_ratio)
            expected_loss = expected_loss + 0.7 * kl.sum() + 0.3 * log_ratio
            for place in range(TARGETS):
                prediction = textbook_cgqn.rendered(core, found, given.query[scene, place])
                close(output.prediction[scene, place], prediction)
                expected_loss = expected_loss + (weights[scene, place] * prediction).sum()
        asked = [given.context.values, given.target_views.values, *core.parameters()]
        for one, other in zip(torch.autograd.grad(loss, asked), torch.autograd.grad(expected_loss, asked), strict=True):
            close(one, other)

    def test_predictions_are_the_textbooks_with_latents_of_the_prior(self):
        core, given = made(), problem()
        drawn = core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=2)
        assert drawn.shape == (2, SCENES, TARGETS, 3, SIZE, SIZE)
        for sample, scene in itertools.product(range(2), range(SCENES)):
            alone = given._replace(key=fold(given.key, sample))
            found = [z[scene] for z in rolled(core, alone, source="prior", with_targets=False).latents]
            for place in range(TARGETS):
                close(drawn[sample, scene, place], textbook_cgqn.rendered(core, found, given.query[scene, place]))


class TestPrior:
    def test_the_prior_of_training_is_the_prior_of_generation(self):
        core, given = made(), problem()
        trained = rolled(core, given)
        again = rolled(core, given, source=trained.latents, with_targets=False)
        assert again.posteriors is None
        assert torch.equal(again.prediction, trained.prediction)
        for one, other in zip(each(again.priors), each(trained.priors), strict=True):
            assert torch.equal(one.mean, other.mean)
            assert torch.equal(one.log_scale, other.log_scale)

    def test_samples_are_scored_under_their_own_priors(self):
        core, given = made(), problem()
        drawn = rolled(core, given, source="prior", with_targets=False)
        scored = rolled(core, given, source=drawn.latents)
        noise = [standard_normal(fold(given.key, step), (Z, STATE, STATE)).double() for step in range(STEPS)]
        for one, other, z, random_numbers in zip(
            each(drawn.priors), each(scored.priors), drawn.latents, noise, strict=True
        ):
            assert torch.equal(one.mean, other.mean)
            close((z - other.mean) * torch.exp(-other.log_scale), random_numbers)

    def test_prior_and_posterior_do_not_see_the_queries(self):
        core, given = made(), problem()
        before = core(given, encode, SCHEDULE)
        after = core(given._replace(query=given.query + 1.0), encode, SCHEDULE)
        assert torch.equal(before.kl, after.kl)
        assert torch.equal(before.log_ratio, after.log_ratio)
        assert ((before.prediction - after.prediction).flatten(2).abs().amax(-1) > 1e-9).all()

    def test_the_prior_depends_on_context_and_earlier_latents_and_not_on_targets(self):
        core, given = made(), problem()
        given.context.values.requires_grad_()
        given.target_views.values.requires_grad_()
        latents = [random(SCENES, Z, STATE, STATE, seed=20 + step).requires_grad_() for step in range(STEPS)]
        priors = each(rolled(core, given, source=latents).priors)
        for step, prior in enumerate(priors):
            asked = [given.context.values, given.target_views.values, *latents]
            context, targets, *groups = torch.autograd.grad(
                prior.mean.sum() + prior.log_scale.sum(), asked, retain_graph=True, allow_unused=True
            )
            assert (context.flatten(2).abs().amax(-1) > 0).all()
            assert targets is None
            for place, gradient in enumerate(groups):
                seen = gradient is not None and bool(gradient.any())
                assert seen is (place < step)

    def test_temperature_zero_takes_the_mean_of_the_prior(self):
        core, given = made(), problem()
        cold = core.rollout(
            encode(given.context).pooled,
            given.query,
            given.key,
            targets=None,
            source="prior",
            schedule=schedule_values(sigma=0.7, temperature=0.0),
        )
        for z, prior in zip(cold.latents, each(cold.priors), strict=True):
            assert torch.equal(z, prior.mean)


class TestPosterior:
    def test_it_depends_on_every_target_and_the_context(self):
        core, given = made(), problem()
        given.context.values.requires_grad_()
        given.target_views.values.requires_grad_()
        posteriors = each(rolled(core, given).posteriors)
        for posterior in posteriors:
            for gradient in torch.autograd.grad(
                posterior.mean.square().sum(), [given.context.values, given.target_views.values], retain_graph=True
            ):
                assert (gradient.flatten(2).abs().amax(-1) > 0).all()

    def test_the_mean_of_log_q_minus_log_p_is_the_kl(self):
        core, given = made(), problem(scenes=1)
        count = 3000
        pooled, targets = encode(given.context).pooled, encode(given.target_views).pooled
        with torch.no_grad():
            rollout = core.rollout(
                pooled,
                given.query[:, :1],
                torch.arange(count),
                targets=targets,
                source="posterior",
                schedule=SCHEDULE,
            )
        terms = list(zip(each(rollout.posteriors), each(rollout.priors), rollout.latents, strict=True))
        analytic = sum(kl_divergence(q, p).flatten(1).sum(1) for q, p, _ in terms)
        sampled = sum((q.log_prob(z) - p.log_prob(z)).flatten(1).sum(1) for q, p, z in terms)
        difference = sampled - analytic
        assert analytic.mean() > 0.1
        assert difference.mean().abs() < 4 * difference.std() / count**0.5
        # In later steps the prior depends on the history, so that its KL differs from sample to sample.
        q, p, _ = terms[-1]
        assert kl_divergence(q, p).flatten(1).sum(1).std() > 1e-4


class TestScene:
    def test_given_z_the_renderer_does_not_depend_on_the_context(self):
        core, given = made(), problem()
        latents = rolled(core, given).latents
        before = rolled(core, given, source=latents)
        context = given.context._replace(values=given.context.values + 1.0, poses=given.context.poses - 1.0)
        targets = given.target_views._replace(values=given.target_views.values + 1.0)
        after = rolled(core, given._replace(context=context, target_views=targets), source=latents)
        assert torch.equal(before.prediction, after.prediction)
        assert not torch.equal(each(before.priors)[0].mean, each(after.priors)[0].mean)

    def test_every_group_of_latents_reaches_every_image(self):
        core, given = made(), problem()
        latents = [z.detach().requires_grad_() for z in rolled(core, given).latents]
        prediction = rolled(core, given, source=latents).prediction.unflatten(0, (SCENES, TARGETS))
        for scene, place in itertools.product(range(SCENES), range(TARGETS)):
            gradients = torch.autograd.grad(prediction[scene, place].square().sum(), latents, retain_graph=True)
            for gradient in gradients:
                assert gradient[scene].any()
                assert not gradient[1 - scene].any()

    def test_equal_queries_have_equal_predictions(self):
        core, given = made(), problem()
        twice = given.query[:, [0, 1, 0, 0]]
        drawn = core.predict(given.context, twice, given.key, encode=encode, schedule=SCHEDULE, num_samples=3)
        assert torch.equal(drawn[:, :, 0], drawn[:, :, 2])
        assert torch.equal(drawn[:, :, 0], drawn[:, :, 3])
        assert ((drawn[:, :, 0] - drawn[:, :, 1]).flatten(2).abs().amax(-1) > 1e-9).all()

    def test_samples_differ_from_each_other_and_from_scene_to_scene(self):
        core, given = made(), problem()
        same = Views(*(field[:1].expand(SCENES, *field.shape[1:]) for field in given.context))
        query = given.query[:1].expand(SCENES, -1, -1)
        drawn = core.predict(same, query, given.key, encode=encode, schedule=SCHEDULE, num_samples=3)[:, :, 0].flatten(
            0, 1
        )
        for one, other in itertools.combinations(drawn, 2):
            assert (one - other).abs().max() > 1e-6

    @pytest.mark.parametrize("order", [[0], [2, 0], [2, 1, 0]])
    def test_a_prediction_does_not_depend_on_other_queries(self, order):
        core, given = made(), problem()
        everything, some = (
            core.predict(given.context, query, given.key, encode=encode, schedule=SCHEDULE, num_samples=2)
            for query in (given.query, given.query[:, order])
        )
        close(some, everything[:, :, order])

    @pytest.mark.parametrize("order", [[1, 0, 2], [2, 0, 1]])
    def test_targets_may_come_in_any_order(self, order):
        core, given = made(), problem()
        before, after = (core(episode, encode, SCHEDULE) for episode in (given, chosen(given, order)))
        close(after.kl, before.kl)
        close(after.log_ratio, before.log_ratio)
        close(after.prediction, before.prediction[:, order])

    @pytest.mark.parametrize("number", [1, 2, 5])
    def test_the_kl_counts_once_for_any_number_of_queries(self, number):
        core, given = made(), problem()
        expected = core(given, encode, SCHEDULE)
        more = given._replace(
            query=random(SCENES, number, POSES, seed=11), target=given.target[:, :1].expand(-1, number, -1, -1, -1)
        )
        found = core(more, encode, SCHEDULE)
        assert found.prediction.shape == (SCENES, number, 3, SIZE, SIZE)
        assert found.kl.shape == (SCENES, STEPS)
        assert torch.equal(found.kl, expected.kl)

    def test_constant_inputs_are_convolved_once(self):
        core, given = made(), problem()
        seen = {}

        def watch(name, cell):
            prepare = cell.prepare

            def watched(**inputs):
                given_once = inputs["scene"] if "scene" in inputs else inputs["pose"]
                seen.setdefault(name, []).append(len(given_once))
                return prepare(**inputs)

            cell.prepare = watched

        watch("prior", core.prior.cell)
        watch("posterior", core.posterior.cell)
        watch("pose", core.renderer.cell)
        core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=3)
        assert seen == {"prior": [SCENES], "pose": [SCENES * TARGETS]}
        seen.clear()
        core(given, encode, SCHEDULE)
        assert seen == {"prior": [SCENES], "posterior": [SCENES], "pose": [SCENES * TARGETS]}


def test_one_step_is_a_variational_autoencoder_of_the_scene():
    """q(z | r, r'), p(z | r), one decoder: the ELBO of one group of latents."""
    core, given = made(steps=1), problem()
    output, rollout = core(given, encode, SCHEDULE), rolled(core, given)
    (posterior,), (prior,), (z,) = each(rollout.posteriors), each(rollout.priors), rollout.latents
    noise = standard_normal(fold(given.key, 0), (Z, STATE, STATE)).double()
    close(z, posterior.mean + posterior.log_scale.exp() * noise)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, posterior.log_scale.exp()),
        torch.distributions.Normal(prior.mean, prior.log_scale.exp()),
    )
    assert output.kl.shape == (SCENES, 1)
    close(output.kl[:, 0], expected.flatten(1).sum(1))


def test_gradients_equal_finite_differences():
    core = made(steps=2, hidden_channels=2, scene_channels=2, canvas_channels=2, read_channels=2, z_channels=1)
    given = problem(scenes=1, targets=2)

    def run(context, targets, query):
        changed = given._replace(
            context=given.context._replace(values=context),
            target_views=given.target_views._replace(values=targets),
            query=query,
        )
        return tuple(core(changed, encode, SCHEDULE))

    asked = tuple(
        tensor.clone().requires_grad_() for tensor in (given.context.values, given.target_views.values, given.query)
    )
    assert torch.autograd.gradcheck(run, asked, fast_mode=True)


@pytest.mark.parametrize(("channels", "grey"), [(3, 0.5), (6, 0.0)])
def test_it_begins_with_narrow_latents_and_the_initial_prediction(channels, grey):
    torch.manual_seed(0)
    sizes = shapes()._replace(prediction_channels=channels, initial_prediction=(grey,) * channels)
    core = Cgqn(Cgqn.Config(**SETTINGS), shapes=sizes).double()
    rollout = rolled(core, problem())
    for belief in (*each(rollout.priors), *each(rollout.posteriors)):
        assert belief.log_scale.mean().item() == pytest.approx(-2.0, abs=0.3)
        assert belief.mean.mean().item() == pytest.approx(0.0, abs=0.3)
    assert rollout.prediction.mean().item() == pytest.approx(grey, abs=0.2)


class TestJointObjective:
    """A model trained on one query at a time never meets the objective that makes its images agree."""

    def test_it_is_not_the_sum_of_the_objectives_of_single_targets(self):
        model = build(default_registry().variant("cgqn", size="smoke"), seed=0).double()
        batch = random_batch(batch_size=2, num_views=4, image_size=16)
        episode = model.task(batch, num_context=2)
        exact = episode._replace(
            query=episode.query.double(),
            target=episode.target.double(),
            context=episode.context._replace(
                values=episode.context.values.double(), poses=episode.context.poses.double()
            ),
            target_views=episode.target_views._replace(
                values=episode.target_views.values.double(), poses=episode.target_views.poses.double()
            ),
        )

        def gradient(*episodes):
            model.zero_grad(set_to_none=True)
            sum(model.score(each, SCHEDULE).nelbo().sum() for each in episodes).backward()
            nets = (model.core.prior, model.core.posterior)
            return torch.cat([parameter.grad.flatten() for net in nets for parameter in net.parameters()])

        together = gradient(exact)
        apart = gradient(chosen(exact, [0]), chosen(exact, [1]))
        assert (together - apart).norm() > 0.1 * apart.norm()

    def test_every_variant_with_latents_of_the_scene_is_trained_on_several_targets(self):
        registry = default_registry()
        for name in ("cgqn", "cgqn-tower"):
            for size in ("full", "smoke"):
                assert registry.variant(name, size=size).training.targets > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"canvas_scale": 3}, "does not divide"),
        ({"stride": 8}, "stride 8 does not divide"),
        ({"kernel_size": 4}, "odd"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        made(**change)
