"""The latent core of SLIM: a standard prior, a posterior that has not heard what was said, and sums of writes."""

from typing import NamedTuple

import pytest
import torch
from torch.nn import functional as F

from zoo.config.schedules import schedule_values
from zoo.cores.slim import Slim
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.gaussian import DiagonalGaussian, given_groups, kl_divergence, standard_like
from zoo.nn.noise import fold, standard_normal

SIZE, STATE, POSES, SCENE, Z, STEPS, HIDDEN = 8, 4, 7, 5, 2, 3, 4
SCHEDULE = schedule_values(sigma=0.7)
SETTINGS = {
    "steps": STEPS,
    "z_channels": Z,
    "hidden_channels": HIDDEN,
    "read_channels": 5,
    "canvas_scale": 2,
    "kernel_size": 3,
}
both = pytest.mark.parametrize("shared", [True, False], ids=["shared", "unshared"])


def made(*, shared=True, seed=0, prediction=3, **changes):
    torch.manual_seed(seed)
    shapes = CoreShapes(
        representation=RepresentationShape(channels=SCENE, height=1, width=1),
        query=(POSES,),
        target=(3, SIZE, SIZE),
        prediction_channels=prediction,
    )
    return Slim(Slim.Config(**SETTINGS | {"shared": shared} | changes), shapes=shapes).double()


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(*, scenes=2, queries=2, seed=0):
    """Representations [B, C, 1, 1], queries [n, P], targets [n, C, H, W] and keys [n]."""
    return (
        random(scenes, SCENE, 1, 1, seed=seed),
        random(scenes * queries, POSES, seed=seed + 1),
        random(scenes * queries, 3, SIZE, SIZE, seed=seed + 2),
        fold(torch.arange(scenes)[:, None], torch.arange(queries)).flatten(),
    )


def episode(pooled, query, target, *, queries):
    """An episode with an encoder that returns ``pooled`` whatever it reads."""
    scenes = len(pooled)
    said = Views(values=pooled[:, None], poses=pooled.new_zeros(scenes, 1, POSES), mask=torch.ones(scenes, 1) > 0)

    def encode(views):
        return Representation(pooled=views.values[:, 0], per_view=views.values, mask=views.mask)

    cut = Episode(
        context=said,
        query=query.unflatten(0, (scenes, queries)),
        target=target.unflatten(0, (scenes, queries)),
        target_views=said._replace(values=torch.full_like(said.values, torch.nan)),
        key=torch.arange(scenes),
    )
    return cut, encode


class Inferred(NamedTuple):
    latents: torch.Tensor  # [L, n, z, h, w]
    posteriors: DiagonalGaussian


def infer(core, target, query, keys):
    """Latents from the posterior and their posteriors."""
    noise = given_groups("posterior", keys, groups=STEPS, shape=(Z, STATE, STATE))
    return Inferred(*core.infer(target, query, noise, draw=True))


def each(groups):
    """The distributions of all groups one by one, of one [L, n, ...]."""
    return [DiagonalGaussian(*pair) for pair in zip(*groups, strict=True)]


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def cell(weights, inputs, state):
    """A ConvLSTM as one convolution over everything: input, candidate, output and forget gate."""
    hidden, memory = state
    groups = [weights.from_scene, weights.from_query, weights.from_step]
    kernel = torch.cat([group.weight for group in groups if group is not None], dim=1)
    inputs = inputs if weights.first else [*inputs, hidden]
    gates = F.conv2d(torch.cat(inputs, dim=1), kernel, weights.bias.flatten(), padding=1)
    enter, candidate, out, *forget = gates.split(HIDDEN, dim=1)
    memory = enter.sigmoid() * candidate.tanh() + (forget[0].sigmoid() * memory if forget else 0)
    return out.sigmoid() * memory.tanh(), memory


def textbook(core, pooled, query, target, keys, *, queries):
    """SLIM step by step: first all of the inference, then all of the generation."""
    count = len(query)
    scene = pooled.repeat_interleave(queries, dim=0).expand(-1, -1, STATE, STATE)
    pose = query[:, :, None, None].expand(-1, -1, STATE, STATE)
    zeros = torch.zeros(count, HIDDEN, STATE, STATE, dtype=torch.float64)
    standard = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    z = torch.zeros(count, Z, STATE, STATE, dtype=torch.float64)
    state, latents, kl, log_ratio = (zeros, zeros), [], [], 0.0
    for index in range(STEPS):
        step = core.inference[0 if core.config.shared else index]
        state = cell(step.cell, [pose, step.read(target)] + ([] if step.cell.first else [z]), state)
        mean, log_scale = core.eta_q(state[0]).chunk(2, dim=1)
        q = torch.distributions.Normal(mean, log_scale.exp())
        z = mean + log_scale.exp() * standard_normal(fold(keys, index), (Z, STATE, STATE)).double()
        latents.append(z)
        kl.append(torch.distributions.kl_divergence(q, standard).sum(dim=(1, 2, 3)))
        log_ratio = log_ratio + (q.log_prob(z) - standard.log_prob(z)).sum(dim=(1, 2, 3))
    state, canvas = (zeros, zeros), 0.0
    for index, z in enumerate(latents):
        step = core.generator[0 if core.config.shared else index]
        state = cell(step.cell, [scene, pose, z], state)
        canvas = canvas + step.write(state[0])
    return canvas, torch.stack(kl, dim=1), log_ratio


@both
@pytest.mark.parametrize("prediction", [3, 6])
def test_it_equals_the_textbook_loop(shared, prediction):
    core = made(shared=shared, prediction=prediction)
    pooled, query, target, keys = inputs()
    cut, encode = episode(pooled, query, target, queries=2)
    output = core(cut, encode, SCHEDULE)
    canvas, kl, log_ratio = textbook(core, pooled, query, target, keys, queries=2)
    assert output.kl.shape == (2, 2, STEPS)
    close(output.prediction.flatten(0, 1), canvas)
    close(output.kl.flatten(0, 1), kl)
    close(output.log_ratio, log_ratio.view(2, 2).sum(1))
    loss = output.prediction.square().sum() + output.kl.sum() + 0.3 * output.log_ratio.sum()
    other_loss = canvas.square().sum() + kl.sum() + 0.3 * log_ratio.sum()
    found, wanted = (torch.autograd.grad(each, list(core.parameters())) for each in (loss, other_loss))
    for (name, _), one, other in zip(core.named_parameters(), found, wanted, strict=True):
        assert one.abs().max() > 0, f"{name} is never trained"
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@both
def test_the_posterior_has_not_heard_what_was_said(shared):
    core = made(shared=shared)
    pooled, query, target, _ = inputs()
    pooled.requires_grad_()
    cut, encode = episode(pooled, query, target, queries=2)
    output = core(cut, encode, SCHEDULE)
    for cost in (output.kl.sum(), output.log_ratio.sum()):
        assert torch.autograd.grad(cost, pooled, retain_graph=True, allow_unused=True) == (None,)
    other = core(episode(-3 * pooled + 1, query, target, queries=2)[0], encode, SCHEDULE)
    assert torch.equal(output.kl, other.kl)
    assert torch.equal(output.log_ratio, other.log_ratio)
    assert (output.prediction - other.prediction).abs().flatten(2).amax(2).min() > 1e-6


@both
def test_the_prior_is_standard_normal(shared):
    """The KL is that to N(0, 1), and predictions are drawn from it."""
    core = made(shared=shared)
    pooled, query, target, keys = inputs()
    cut, encode = episode(pooled, query, target, queries=2)
    inferred = infer(core, target, query, keys)
    expected = torch.stack(
        [kl_divergence(q, standard_like(q)).flatten(1).sum(1) for q in each(inferred.posteriors)], dim=1
    )
    close(core(cut, encode, SCHEDULE).kl.flatten(0, 1), expected)
    found = core.predict(cut.context, cut.query, cut.key, encode=encode, schedule=SCHEDULE, num_samples=3)
    assert found.shape == (3, 2, 2, 3, SIZE, SIZE)
    for sample in range(3):
        keys = fold(fold(cut.key, sample)[:, None], torch.arange(2)).flatten()
        latents = [standard_normal(fold(keys, index), (Z, STATE, STATE)) for index in range(STEPS)]
        close(found[sample].flatten(0, 1), core.generate(pooled, query, latents), 1e-12)
    cold = schedule_values(sigma=0.7, temperature=0.0)
    found = core.predict(cut.context, cut.query, cut.key, encode=encode, schedule=cold, num_samples=1)[0]
    nothing = [torch.zeros(4, Z, STATE, STATE)] * STEPS
    close(found.flatten(0, 1), core.generate(pooled, query, nothing), 1e-12)


@both
def test_training_and_prediction_use_the_same_generator(shared):
    core = made(shared=shared)
    pooled, query, target, keys = inputs()
    cut, encode = episode(pooled, query, target, queries=2)
    latents = infer(core, target, query, keys).latents
    assert torch.equal(core(cut, encode, SCHEDULE).prediction.flatten(0, 1), core.generate(pooled, query, latents))


@both
def test_every_posterior_depends_on_target_pose_and_earlier_latents(shared):
    core = made(shared=shared)
    _, query, target, keys = inputs()
    query.requires_grad_()
    target.requires_grad_()
    before = infer(core, target, query, keys)
    for posterior in each(before.posteriors):
        for given in (target, query):
            (gradient,) = torch.autograd.grad(posterior.mean.sum(), given, retain_graph=True)
            assert (gradient.flatten(1).abs().amax(1) > 0).all()
    # Other noise gives other latents in the first step, of which only the later posteriors know.
    after = infer(core, target, query, keys + 1)
    for index, (one, other) in enumerate(zip(each(before.posteriors), each(after.posteriors), strict=True)):
        assert ((one.mean - other.mean).abs().max() > 1e-7) == (index > 0)


@both
def test_a_target_reaches_the_prediction_through_latents_only(shared):
    core = made(shared=shared)
    pooled, query, target, keys = inputs()
    target.requires_grad_()
    latents = [z.detach() for z in infer(core, target, query, keys).latents]
    assert torch.autograd.grad(core.generate(pooled, query, latents).sum(), target, allow_unused=True) == (None,)


@both
def test_the_canvas_is_the_sum_of_the_writes(shared):
    core = made(shared=shared)
    pooled, query, target, keys = inputs()
    states = []
    for step in core.generator:
        step.cell.register_forward_hook(lambda _, __, state: states.append(state.hidden))
    canvas = core.generate(pooled, query, infer(core, target, query, keys).latents)
    writers = [step.write for step in core.generator] * (STEPS if shared else 1)
    assert len(states) == len(writers) == STEPS
    close(canvas, sum(write(state) for write, state in zip(writers, states, strict=True)))


@both
def test_representation_pose_and_every_latent_count(shared):
    core = made(shared=shared)
    pooled, query, _, _ = inputs()
    latents = [random(4, Z, STATE, STATE, seed=step) for step in range(STEPS)]
    before = core.generate(pooled, query, latents)
    changes = [(pooled + 1, query, latents), (pooled, query + 1, latents)]
    changes += [(pooled, query, [z + (index == step) for index, z in enumerate(latents)]) for step in range(STEPS)]
    for changed in changes:
        assert (core.generate(*changed) - before).abs().flatten(1).amax(1).min() > 1e-6


@both
def test_queries_side_by_side_equal_queries_one_by_one(shared):
    core = made(shared=shared)
    pooled, query, target, keys = inputs(queries=3)
    together = infer(core, target, query, keys)
    canvas = core.generate(pooled, query, together.latents)
    for index in range(len(query)):
        scene, one = index // 3, slice(index, index + 1)
        alone = infer(core, target[one], query[one], keys[one])
        close(alone.latents[-1], together.latents[-1][one], 1e-12)
        close(core.generate(pooled[scene : scene + 1], query[one], alone.latents), canvas[one], 1e-12)


@both
def test_one_step_and_a_whole_map_as_representation(shared):
    core = made(shared=shared, steps=1)
    pooled, query, target, _ = inputs()
    cut, encode = episode(pooled.expand(-1, -1, STATE, STATE), query, target, queries=2)
    spread = core(cut, encode, SCHEDULE)
    assert spread.kl.shape == (2, 2, 1)
    close(spread.prediction, core(episode(pooled, query, target, queries=2)[0], encode, SCHEDULE).prediction)


@both
def test_gradients_equal_finite_differences(shared):
    core = made(shared=shared, steps=2, read_channels=2, z_channels=1)
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
