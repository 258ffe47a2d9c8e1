"""The latent core of GQN: equal to a textbook loop, the same prior in training and generation, and no leaks."""

import pytest
import torch
from rollouts import rollout

from benchmarks.speed.textbook_gqn import TextbookGqn, to_fast, to_textbook, weight_pairs
from zoo.config.schedules import schedule_values
from zoo.cores.gqn import Gqn
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, standard_normal
from zoo.nn.winograd import convolve_once

SIZE, STATE, POSES, Z, STEPS = 8, 4, 7, 2, 3
SCHEDULE = schedule_values(sigma=0.7)
SETTINGS = {
    "steps": STEPS,
    "z_channels": Z,
    "hidden_channels": 4,
    "canvas_channels": 6,
    "read_channels": 5,
    "canvas_scale": 2,
    "kernel_size": 3,
}


def shapes(side=STATE):
    return CoreShapes(
        representation=RepresentationShape(channels=5, height=side, width=side),
        query=(POSES,),
        target=(3, SIZE, SIZE),
        prediction_channels=3,
    )


def made(*, shared=False, side=STATE, seed=0, **changes):
    torch.manual_seed(seed)
    return Gqn(Gqn.Config(**SETTINGS | {"shared": shared} | changes), shapes=shapes(side)).double()


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(*, scenes=2, queries=2, side=STATE, seed=0):
    """Representations [B, C, h, w], queries [n, P], targets [n, C, H, W] and keys [n]."""
    return (
        random(scenes, 5, side, side, seed=seed),
        random(scenes * queries, POSES, seed=seed + 1),
        random(scenes * queries, 3, SIZE, SIZE, seed=seed + 2),
        fold(torch.arange(scenes)[:, None], torch.arange(queries)).flatten(),
    )


def episode(pooled, query, target, *, queries):
    """An episode with an encoder that returns ``pooled`` whatever it sees."""
    scenes = len(pooled)
    nothing = Views(values=pooled[:, None], poses=pooled.new_zeros(scenes, 1, POSES), mask=torch.ones(scenes, 1) > 0)

    def encode(views):
        return Representation(pooled=views.values[:, 0], per_view=views.values, mask=views.mask)

    cut = Episode(
        context=nothing,
        query=query.unflatten(0, (scenes, queries)),
        target=target.unflatten(0, (scenes, queries)),
        target_views=nothing,
        key=torch.arange(scenes),
    )
    return cut, encode


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("direction", ["to fast", "to textbook"])
@pytest.mark.parametrize("side", [1, STATE, 2 * STATE])
@pytest.mark.parametrize("queries", [1, 2])
@pytest.mark.parametrize(
    ("shared", "initial_state"), [(False, "zero"), (True, "zero"), (True, "scene")], ids=["separate", "shared", "begun"]
)
def test_it_equals_the_textbook_loop(shared, initial_state, queries, side, direction):
    core = made(shared=shared, side=side, initial_state=initial_state)
    if direction == "to textbook":
        textbook = to_textbook(core)
    else:
        textbook = TextbookGqn(core.config, shapes=shapes(side)).double()
        if not shared:
            torch.nn.init.zeros_(textbook.steps[0].read_canvas.bias)
        core = to_fast(textbook)
    pooled, query, target, keys = inputs(queries=queries, side=side)
    for tensor in (pooled, query, target):
        tensor.requires_grad_()
    cut, encode = episode(pooled, query, target, queries=queries)
    output = core(cut, encode, SCHEDULE)
    rolled = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
    weights = random(*output.prediction.shape, seed=9)
    loss = (weights * output.prediction).sum() + 0.7 * output.kl.sum() + 0.3 * output.log_ratio.sum()
    found = torch.autograd.grad(loss, [pooled, query, target, *core.parameters()])

    expected_loss = 0.0
    for index in range(len(query)):
        scene, place = divmod(index, queries)
        small = pooled[scene]
        if side == 2 * STATE:
            small = small.unflatten(1, (STATE, 2)).unflatten(3, (STATE, 2)).mean(dim=(2, 4))
        noise = torch.stack(
            [standard_normal(fold(keys[index], step), (Z, STATE, STATE)).double() for step in range(STEPS)]
        )
        expected = textbook.rollout(small[None], query[index][None], noise[:, None], target=target[index][None])
        close(output.prediction[scene, place], expected.prediction[0])
        close(rolled.prediction[index], expected.prediction[0])
        close(torch.stack([z[index] for z in rolled.latents]), expected.latents[0])
        close(output.kl[scene, place], expected.kl[0])
        expected_loss = (
            expected_loss
            + (weights[scene, place] * expected.prediction[0]).sum()
            + 0.7 * expected.kl.sum()
            + 0.3 * expected.log_ratio[0]
        )
    close(loss, expected_loss)
    gradients = torch.autograd.grad(
        expected_loss, [pooled, query, target, *textbook.parameters()], allow_unused=True, materialize_grads=True
    )
    for one, other in zip(found[:3], gradients[:3], strict=True):
        close(one, other)
    by_parameter = dict(zip(map(id, textbook.parameters()), gradients[3:], strict=True))
    by_own = dict(zip(map(id, core.parameters()), found[3:], strict=True))
    seen = set()
    for pair in weight_pairs(core, textbook):
        expected = by_parameter[id(pair.textbook)][pair.part]
        torch.testing.assert_close(
            by_own[id(pair.fast)], expected, rtol=1e-10, atol=1e-10, msg=lambda m, n=pair.name: n + m
        )
        seen.add(id(pair.fast))
    assert seen == set(by_own), "the textbook has no counterpart of some weight"


def each(groups):
    """The distributions [L, n, ...] of all groups, one by one."""
    return [DiagonalGaussian(mean, log_scale) for mean, log_scale in zip(*groups, strict=True)]


@pytest.mark.parametrize("shared", [False, True])
class TestPaths:
    def test_the_prior_of_training_is_the_prior_of_generation(self, shared):
        core = made(shared=shared)
        pooled, query, target, keys = inputs()
        trained = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        again = rollout(core, pooled, query, keys, target=None, source=trained.latents, schedule=SCHEDULE)
        assert again.posteriors is None
        assert torch.equal(again.prediction, trained.prediction)
        for one, other in zip(each(again.priors), each(trained.priors), strict=True):
            close(one.mean, other.mean, 1e-12)
            close(one.log_scale, other.log_scale, 1e-12)

    def test_samples_are_scored_under_their_own_priors(self, shared):
        core = made(shared=shared)
        pooled, query, target, keys = inputs()
        drawn = rollout(core, pooled, query, keys, target=None, source="prior", schedule=SCHEDULE)
        scored = rollout(core, pooled, query, keys, target=target, source=drawn.latents, schedule=SCHEDULE)
        for index, (one, other, z) in enumerate(
            zip(each(drawn.priors), each(scored.priors), drawn.latents, strict=True)
        ):
            close(one.mean, other.mean, 1e-12)
            noise = standard_normal(fold(keys, index), z.shape[1:])
            close((z - other.mean) * torch.exp(-other.log_scale), noise.double(), 1e-12)
        close(drawn.prediction, scored.prediction, 1e-12)

    def test_every_posterior_depends_on_the_target_from_the_first_on(self, shared):
        core = made(shared=shared)
        pooled, query, target, keys = inputs()
        target.requires_grad_()
        rolled = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        latents = [z.detach() for z in rolled.latents]
        rolled = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        for posterior in each(rolled.posteriors):
            (gradient,) = torch.autograd.grad(posterior.mean.sum(), target, retain_graph=True)
            assert (gradient.flatten(1).abs().amax(1) > 0).all()

    def test_the_prior_depends_on_earlier_latents_and_no_others(self, shared):
        core = made(shared=shared)
        pooled, query, _, keys = inputs()
        latents = [random(len(query), Z, STATE, STATE, seed=step).requires_grad_() for step in range(STEPS)]
        rolled = rollout(core, pooled, query, keys, target=None, source=latents, schedule=SCHEDULE)
        for index, prior in enumerate(each(rolled.priors)):
            for parameters in prior:
                gradients = torch.autograd.grad(parameters.sum(), latents, retain_graph=True, allow_unused=True)
                for earlier, gradient in enumerate(gradients):
                    known = gradient is not None and bool((gradient != 0).any())
                    assert known == (earlier < index), (index, earlier)

    def test_the_inference_cell_depends_on_the_canvas(self, shared):
        """Writes reach nothing but the canvas: without them the priors stay and the later posteriors change."""
        core = made(shared=shared)
        pooled, query, target, keys = inputs()
        latents = [random(len(query), Z, STATE, STATE, seed=step) for step in range(STEPS)]
        before = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        with torch.no_grad():
            for step in core.recurrence.steps:
                step.delta.weight.zero_()
        after = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        for index in range(STEPS):
            assert torch.equal(before.priors.mean[index], after.priors.mean[index])
            changed = (before.posteriors.mean[index] - after.posteriors.mean[index]).abs().max().item()
            assert (changed > 1e-6) == (index > 0)

    def test_a_target_reaches_prediction_and_priors_through_latents_only(self, shared):
        core = made(shared=shared)
        pooled, query, target, keys = inputs()
        target.requires_grad_()
        latents = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE).latents
        latents = [z.detach().requires_grad_() for z in latents]
        before = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        after = rollout(core, pooled, query, keys, target=-5 * target + 1, source=latents, schedule=SCHEDULE)
        assert torch.equal(before.prediction, after.prediction)
        total = before.prediction.sum()
        for one, other in zip(each(before.priors), each(after.priors), strict=True):
            assert torch.equal(one.mean, other.mean)
            assert torch.equal(one.log_scale, other.log_scale)
            total = total + one.mean.sum() + one.log_scale.sum()
        (gradient,) = torch.autograd.grad(total, target, allow_unused=True)
        assert gradient is None
        changed = [
            (one.mean - other.mean).abs().max()
            for one, other in zip(each(before.posteriors), each(after.posteriors), strict=True)
        ]
        assert min(changed) > 1e-6

    def test_queries_side_by_side_equal_queries_one_by_one(self, shared):
        core = made(shared=shared)
        pooled, query, target, keys = inputs(queries=3)
        together = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        for index in range(len(query)):
            scene, one = index // 3, slice(index, index + 1)
            alone = rollout(
                core,
                pooled[scene : scene + 1],
                query[one],
                keys[one],
                target=target[one],
                source="posterior",
                schedule=SCHEDULE,
            )
            close(alone.prediction, together.prediction[one], 1e-12)
            for step in range(STEPS):
                close(
                    kl_divergence(each(alone.posteriors)[step], each(alone.priors)[step]),
                    kl_divergence(each(together.posteriors)[step], each(together.priors)[step])[one],
                    1e-12,
                )

    def test_predictions_are_rollouts_of_the_prior_for_every_sample_and_query(self, shared):
        core = made(shared=shared)
        pooled, query, target, _ = inputs(queries=2)
        cut, encode = episode(pooled, query, target, queries=2)
        found = core.predict(cut.context, cut.query, cut.key, encode=encode, schedule=SCHEDULE, num_samples=3)
        assert found.shape == (3, 2, 2, 3, SIZE, SIZE)
        for sample in range(3):
            keys = fold(fold(cut.key, sample)[:, None], torch.arange(2)).flatten()
            expected = rollout(core, pooled, query, keys, target=None, source="prior", schedule=SCHEDULE).prediction
            close(found[sample], expected.unflatten(0, (2, 2)), 1e-12)

    def test_temperature_zero_takes_the_means_and_training_ignores_it(self, shared):
        core = made(shared=shared)
        pooled, query, target, keys = inputs()
        cold = schedule_values(sigma=0.7, temperature=0.0)
        drawn = rollout(core, pooled, query, keys, target=None, source="prior", schedule=cold)
        for z, prior in zip(drawn.latents, each(drawn.priors), strict=True):
            close(z, prior.mean, 1e-12)
        warm = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        frozen = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=cold)
        assert torch.equal(warm.prediction, frozen.prediction)

    def test_the_summed_kl_is_the_mean_of_log_q_minus_log_p_over_all_steps(self, shared):
        core = made(shared=shared)
        count = 3000
        pooled, query, target, _ = inputs(scenes=1, queries=1)
        with torch.no_grad():
            for head in (core.recurrence.eta_pi, core.recurrence.eta_q):
                head.weight.mul_(8.0)  # so that priors and posteriors differ by more than initial weights make them
            rolled = rollout(
                core,
                pooled,
                query.expand(count, -1),
                fold(torch.arange(count), 7),
                target=target.expand(count, -1, -1, -1),
                source="posterior",
                schedule=SCHEDULE,
            )
        terms = list(zip(each(rolled.posteriors), each(rolled.priors), rolled.latents, strict=True))
        analytic = sum(kl_divergence(q, p).flatten(1).sum(1) for q, p, _ in terms)
        sampled = sum((q.log_prob(z) - p.log_prob(z)).flatten(1).sum(1) for q, p, z in terms)
        difference = sampled - analytic
        assert analytic.mean() > 0.1
        assert difference.mean().abs() < 4 * difference.std() / count**0.5
        # In the last step the prior depends on the history, so that its KL differs from sample to sample.
        q, p, _ = terms[-1]
        assert kl_divergence(q, p).flatten(1).sum(1).std() > 1e-4

    def test_the_number_of_latent_channels_is_that_of_the_config(self, shared):
        core = made(shared=shared, z_channels=5)
        pooled, query, target, keys = inputs()
        rolled = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        assert len(rolled.latents) == STEPS
        assert all(z.shape == (4, 5, STATE, STATE) for z in rolled.latents)
        assert all(prior.mean.shape == (4, 5, STATE, STATE) for prior in each(rolled.priors))

    def test_the_scene_is_convolved_once_for_all_steps_and_queries(self, shared, monkeypatch):
        core = made(shared=shared)
        pooled, query, target, keys = inputs(queries=3)
        of_scene = {
            id(cell.from_scene.weight) for step in core.recurrence.steps for cell in (step.generator, step.inference)
        }
        seen = []

        def spied(given, weight):
            if id(weight) in of_scene:
                seen.append((id(weight), len(given)))
            return convolve_once(given, weight)

        monkeypatch.setattr("zoo.nn.convlstm.convolve_once", spied)
        rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        assert sorted(seen) == sorted((weight, len(pooled)) for weight in of_scene)


@pytest.mark.parametrize("shared", [False, True])
def test_one_step_is_a_variational_autoencoder(shared):
    """q(z | x, v, r), p(z) = N(eta_pi(0)), one decoder: the ELBO of one group of latents."""
    core = made(shared=shared, steps=1)
    pooled, query, target, _ = inputs(queries=1)
    cut, encode = episode(pooled, query, target, queries=1)
    output = core(cut, encode, SCHEDULE)
    rolled = rollout(core, pooled, query, fold(cut.key, 0), target=target, source="posterior", schedule=SCHEDULE)
    (posterior,), (prior,), (z,) = each(rolled.posteriors), each(rolled.priors), rolled.latents
    bias = core.recurrence.eta_pi.bias.view(1, 2 * Z, 1, 1).expand(2, -1, STATE, STATE)
    close(prior.mean, bias[:, :Z])
    close(prior.log_scale, bias[:, Z:])
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, posterior.log_scale.exp()),
        torch.distributions.Normal(prior.mean, prior.log_scale.exp()),
    )
    assert output.kl.shape == (2, 1, 1)
    close(output.kl.flatten(), expected.flatten(1).sum(1))
    decoded = rollout(core, pooled, query, fold(cut.key, 0), target=None, source=[z], schedule=SCHEDULE)
    close(output.prediction[:, 0], decoded.prediction)


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_equal_finite_differences(shared):
    core = made(shared=shared, steps=2, hidden_channels=2, canvas_channels=2, read_channels=2, z_channels=1)
    pooled, query, target, _ = inputs(scenes=1, queries=2)
    given = [tensor.requires_grad_() for tensor in (pooled, query, target)]

    def run(pooled, query, target):
        cut, encode = episode(pooled, query, target, queries=2)
        return tuple(core(cut, encode, SCHEDULE))

    assert torch.autograd.gradcheck(run, tuple(given), fast_mode=True)


@pytest.mark.parametrize(
    ("change", "message"), [({"canvas_scale": 3}, "does not divide"), ({"kernel_size": 4}, "must be odd")]
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        made(**change)


def test_the_first_prior_depends_on_scene_and_query_only_with_an_initial_state_from_them():
    for initial_state, depends in (("zero", False), ("scene", True)):
        core = made(shared=True, initial_state=initial_state)
        pooled, query, _, keys = inputs()
        first = rollout(core, pooled, query, keys, target=None, source="prior", schedule=SCHEDULE).priors.mean[0]
        assert (not torch.allclose(first[0], first[1])) == depends, "two queries of one scene"
        assert (not torch.allclose(first[0], first[2])) == depends, "two scenes"


def test_an_initial_state_from_the_scene_needs_shared_weights():
    with pytest.raises(ValueError, match="initial_state 'scene': needs shared weights"):
        made(shared=False, initial_state="scene")
