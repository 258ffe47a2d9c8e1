"""The latent core of DRAW: equal to a textbook loop, one prior for training and generation, no leaks, sums of writes."""

import pytest
import torch
from rollouts import rollout
from torch.nn import functional as F

from zoo.config.schedules import schedule_values
from zoo.cores.draw import Draw
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, standard_normal

SIZE, STATE, POSES, Z, STEPS, HIDDEN = 8, 4, 7, 2, 3, 4
SCHEDULE = schedule_values(sigma=0.7)
SETTINGS = {
    "steps": STEPS,
    "z_channels": Z,
    "hidden_channels": HIDDEN,
    "read_channels": 5,
    "canvas_scale": 2,
    "kernel_size": 3,
    "glimpse_size": 6,
}
KINDS = [
    {"shared": True},
    {"shared": False},
    {"shared": True, "decoder": "latents_and_canvas"},
    {"shared": False, "decoder": "latents_and_canvas"},
    {"shared": True, "prior": "standard"},
    {"shared": True, "attention": "filterbank"},
    {"shared": False, "attention": "filterbank"},
]


def kinds(*more):
    return pytest.mark.parametrize(
        "kind", [*KINDS, *more], ids=lambda kind: "-".join(str(value).lower() for value in kind.values())
    )


every_kind = kinds()


def shapes(*, scene=5, poses=POSES, prediction=3):
    return CoreShapes(
        representation=RepresentationShape(channels=scene, height=STATE, width=STATE),
        query=(poses,),
        target=(3, SIZE, SIZE),
        prediction_channels=prediction,
        initial_prediction=tuple(0.1 * (1 + channel) for channel in range(prediction)),
    )


def made(kind, *, seed=0, scene=5, poses=POSES, prediction=3, **changes):
    torch.manual_seed(seed)
    config = Draw.Config(**SETTINGS | kind | changes)
    return Draw(config, shapes=shapes(scene=scene, poses=poses, prediction=prediction)).double()


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(*, scenes=2, queries=2, scene=5, poses=POSES, seed=0):
    """Representations [B, C, h, w], queries [n, P], targets [n, C, H, W] and keys [n]."""
    return (
        random(scenes, scene, STATE, STATE, seed=seed),
        random(scenes * queries, poses, seed=seed + 1),
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


def fixed_latents(count, core):
    return [random(count, Z, *core.state_size, seed=step) for step in range(STEPS)]


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
    """Conv-DRAW step by step for all queries, with every input spread and concatenated anew in every step."""
    config, count = core.config, len(query)
    scene = F.adaptive_avg_pool2d(pooled, core.state_size).repeat_interleave(queries, dim=0)
    vector, maps = core.encoding(query, height=core.state_size[0], width=core.state_size[1])
    pose = vector[:, :, None, None].expand(-1, -1, *core.state_size)
    pose = pose if maps is None else torch.cat([pose, maps], dim=1)
    zeros = torch.zeros(count, HIDDEN, *core.state_size, dtype=torch.float64)
    encoder, decoder = (zeros, zeros), (zeros, zeros)
    canvas = core.first_canvas.expand(count, -1, *core.image_size)
    found = {"canvases": [], "kl": [], "log_ratio": 0.0}
    for index in range(config.steps):
        step = core.steps[0 if config.shared else index]
        seen, error = target, target - canvas[:, :3]
        if config.attention == "filterbank":
            window = core.read_window(decoder[0])
            seen, error = window.read(seen), window.read(error)
        looked = [step.read_target(seen)]
        if not step.decoder.first:
            looked += [decoder[0], step.read_error(error)]
        if config.prior == "learned":
            mean_p, scale_p = core.eta_pi(decoder[0]).chunk(2, dim=1)
        else:
            mean_p = scale_p = torch.zeros(count, Z, *core.state_size, dtype=torch.float64)
        p = torch.distributions.Normal(mean_p, scale_p.exp())
        encoder = cell(step.encoder, looked, encoder)
        mean_q, scale_q = core.eta_q(encoder[0]).chunk(2, dim=1)
        q = torch.distributions.Normal(mean_q, scale_q.exp())
        z = mean_q + scale_q.exp() * standard_normal(fold(keys, index), (Z, *core.state_size)).double()
        decoder = cell(step.decoder, [scene, pose, z, *step.read(canvas)], decoder)
        patch = step.write(decoder[0])
        canvas = canvas + (patch if core.write_window is None else core.write_window(decoder[0]).write(patch))
        found["canvases"].append(canvas)
        found["kl"].append(torch.distributions.kl_divergence(q, p).sum(dim=(1, 2, 3)))
        found["log_ratio"] = found["log_ratio"] + (q.log_prob(z) - p.log_prob(z)).sum(dim=(1, 2, 3))
    return found


@kinds({"shared": True, "pose": "rays"})
@pytest.mark.parametrize("prediction", [3, 6])
def test_it_equals_the_textbook_loop(kind, prediction):
    core = made(kind, prediction=prediction)
    pooled, query, target, keys = inputs()
    cut, encode = episode(pooled, query, target, queries=2)
    output = core(cut, encode, SCHEDULE)
    assert output.kl.shape == (2, 2, STEPS)
    rolled = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
    expected = textbook(core, pooled, query, target, keys, queries=2)
    close(output.prediction.flatten(0, 1), expected["canvases"][-1])
    for one, other in zip(rolled.canvases, expected["canvases"], strict=True):
        close(one, other)
    close(output.kl.flatten(0, 1), torch.stack(expected["kl"], dim=1))
    close(output.log_ratio, expected["log_ratio"].view(2, 2).sum(1))
    loss = output.prediction.square().sum() + output.kl.sum() + 0.3 * output.log_ratio.sum()
    other_loss = expected["canvases"][-1].square().sum() + sum(expected["kl"]).sum() + 0.3 * expected["log_ratio"].sum()
    found, wanted = (torch.autograd.grad(each, list(core.parameters())) for each in (loss, other_loss))
    for (name, _), one, other in zip(core.named_parameters(), found, wanted, strict=True):
        assert one.abs().max() > 0, f"{name} is never trained"
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@every_kind
class TestPaths:
    def test_the_canvas_is_the_sum_of_the_writes(self, kind):
        core = made(kind)
        pooled, query, _, keys = inputs()
        written, windows = [], []
        for step in core.steps:
            step.write.register_forward_hook(lambda _, __, patch: written.append(patch))
        if core.write_window is not None:
            core.write_window.register_forward_hook(lambda _, __, window: windows.append(window))
        canvases = rollout(core, pooled, query, keys, target=None, source="prior", schedule=SCHEDULE).canvases
        writes = [window.write(patch) for window, patch in zip(windows, written, strict=True)] if windows else written
        assert len(canvases) == len(writes) == STEPS
        for index, canvas in enumerate(canvases):
            close(canvas, core.first_canvas + sum(writes[: index + 1]))

    def test_the_prior_of_training_is_the_prior_of_generation(self, kind):
        core = made(kind)
        pooled, query, target, keys = inputs()
        trained = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        again = rollout(core, pooled, query, keys, target=None, source=trained.latents, schedule=SCHEDULE)
        assert again.posteriors is None
        for one, other in zip(again.canvases, trained.canvases, strict=True):
            assert torch.equal(one, other)
        for one, other in zip(each(again.priors), each(trained.priors), strict=True):
            assert torch.equal(one.mean, other.mean)
            assert torch.equal(one.log_scale, other.log_scale)

    def test_samples_are_scored_under_their_own_priors(self, kind):
        core = made(kind)
        pooled, query, target, keys = inputs()
        drawn = rollout(core, pooled, query, keys, target=None, source="prior", schedule=SCHEDULE)
        scored = rollout(core, pooled, query, keys, target=target, source=drawn.latents, schedule=SCHEDULE)
        for index, (one, other, z) in enumerate(
            zip(each(drawn.priors), each(scored.priors), drawn.latents, strict=True)
        ):
            assert torch.equal(one.mean, other.mean)
            noise = standard_normal(fold(keys, index), z.shape[1:])
            close((z - other.mean) * torch.exp(-other.log_scale), noise.double(), 1e-12)
        assert torch.equal(drawn.canvases[-1], scored.canvases[-1])

    def test_every_posterior_depends_on_the_target_from_the_first_on(self, kind):
        core = made(kind)
        pooled, query, target, keys = inputs()
        target.requires_grad_()
        latents = fixed_latents(len(query), core)
        rolled = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        for posterior in each(rolled.posteriors):
            (gradient,) = torch.autograd.grad(posterior.mean.sum(), target, retain_graph=True)
            assert (gradient.flatten(1).abs().amax(1) > 0).all()

    def test_the_prior_depends_on_earlier_latents_and_no_others(self, kind):
        core = made(kind)
        pooled, query, _, keys = inputs()
        latents = [z.requires_grad_() for z in fixed_latents(len(query), core)]
        rolled = rollout(core, pooled, query, keys, target=None, source=latents, schedule=SCHEDULE)
        for index, prior in enumerate(each(rolled.priors)):
            for parameters in prior:
                gradients = [None] * STEPS
                if parameters.requires_grad:
                    gradients = torch.autograd.grad(parameters.sum(), latents, retain_graph=True, allow_unused=True)
                for earlier, gradient in enumerate(gradients):
                    known = gradient is not None and bool((gradient != 0).any())
                    expected = kind.get("prior") != "standard" and earlier < index
                    assert known == expected, (index, earlier)

    def test_the_encoder_reads_the_error_of_the_canvas_and_the_decoder_the_canvas(self, kind):
        """Without writes, posteriors change from step 1 on, and priors, one decoder step later, if the decoder reads."""
        core = made(kind)
        pooled, query, target, keys = inputs()
        latents = fixed_latents(len(query), core)
        before = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        with torch.no_grad():
            for step in core.steps:
                step.write.weight.zero_()
        after = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        for index in range(STEPS):
            moved = (each(before.priors)[index].mean - each(after.priors)[index].mean).abs().max().item()
            reads = kind.get("prior") != "standard" and core.config.decoder == "latents_and_canvas"
            assert (moved > 1e-7) == (reads and index > 1)
            changed = (each(before.posteriors)[index].mean - each(after.posteriors)[index].mean).abs().max().item()
            assert (changed > 1e-7) == (index > 0)

    def test_a_target_reaches_canvases_and_priors_through_latents_only(self, kind):
        core = made(kind)
        pooled, query, target, keys = inputs()
        target.requires_grad_()
        latents = [z.requires_grad_() for z in fixed_latents(len(query), core)]
        before = rollout(core, pooled, query, keys, target=target, source=latents, schedule=SCHEDULE)
        after = rollout(core, pooled, query, keys, target=-5 * target + 1, source=latents, schedule=SCHEDULE)
        total = sum(canvas.sum() for canvas in before.canvases)
        for one, other in zip(before.canvases, after.canvases, strict=True):
            assert torch.equal(one, other)
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

    def test_scene_and_pose_count_from_the_first_canvas_on(self, kind):
        core = made(kind)
        pooled, query, _, keys = inputs()
        latents = fixed_latents(len(query), core)
        before = rollout(core, pooled, query, keys, target=None, source=latents, schedule=SCHEDULE)
        for changed in ((pooled + 1, query), (pooled, query + 1)):
            after = rollout(core, *changed, keys, target=None, source=latents, schedule=SCHEDULE)
            for one, other in zip(before.canvases, after.canvases, strict=True):
                assert (one - other).abs().flatten(1).amax(1).min() > 1e-7

    def test_queries_side_by_side_equal_queries_one_by_one(self, kind):
        core = made(kind)
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
            close(alone.canvases[-1], together.canvases[-1][one], 1e-12)
            for step in range(STEPS):
                close(
                    kl_divergence(each(alone.posteriors)[step], each(alone.priors)[step]),
                    kl_divergence(each(together.posteriors)[step], each(together.priors)[step])[one],
                    1e-12,
                )

    def test_predictions_are_rollouts_of_the_prior_for_every_sample_and_query(self, kind):
        core = made(kind)
        pooled, query, target, _ = inputs(queries=2)
        cut, encode = episode(pooled, query, target, queries=2)
        found = core.predict(cut.context, cut.query, cut.key, encode=encode, schedule=SCHEDULE, num_samples=3)
        assert found.shape == (3, 2, 2, 3, SIZE, SIZE)
        for sample in range(3):
            keys = fold(fold(cut.key, sample)[:, None], torch.arange(2)).flatten()
            expected = rollout(core, pooled, query, keys, target=None, source="prior", schedule=SCHEDULE).canvases[-1]
            close(found[sample], expected.unflatten(0, (2, 2)), 1e-12)

    def test_temperature_zero_takes_the_means_and_training_ignores_it(self, kind):
        core = made(kind)
        pooled, query, target, keys = inputs()
        cold = schedule_values(sigma=0.7, temperature=0.0)
        drawn = rollout(core, pooled, query, keys, target=None, source="prior", schedule=cold)
        for z, prior in zip(drawn.latents, each(drawn.priors), strict=True):
            assert torch.equal(z, prior.mean)
        warm = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
        frozen = rollout(core, pooled, query, keys, target=target, source="posterior", schedule=cold)
        assert torch.equal(warm.canvases[-1], frozen.canvases[-1])

    @pytest.mark.parametrize("poses", [0, POSES])
    def test_without_a_scene_and_without_poses_it_is_a_model_of_single_images(self, kind, poses):
        core = made(kind, scene=0, poses=poses)
        pooled, query, target, _ = inputs(scene=0, poses=poses)
        cut, encode = episode(pooled, query, target, queries=2)
        output = core(cut, encode, SCHEDULE)
        gradients = torch.autograd.grad(output.prediction.square().sum() + output.kl.sum(), list(core.parameters()))
        assert all(gradient.abs().max() > 0 for gradient in gradients)
        found = core.predict(cut.context, cut.query, cut.key, encode=encode, schedule=SCHEDULE, num_samples=2)
        assert found.shape == (2, 2, 2, 3, SIZE, SIZE)
        # What is drawn is decided by the noise alone.
        assert (found[0, 0, 0] - found[0, 0, 1]).abs().max() > 1e-3

    def test_one_step_is_a_variational_autoencoder(self, kind):
        """q(z | x), p(z) = N(eta_pi(0)) or N(0, 1), one decoder: the ELBO of one group of latents."""
        core = made(kind, steps=1)
        pooled, query, target, _ = inputs(queries=1)
        cut, encode = episode(pooled, query, target, queries=1)
        output = core(cut, encode, SCHEDULE)
        rolled = rollout(core, pooled, query, fold(cut.key, 0), target=target, source="posterior", schedule=SCHEDULE)
        (posterior,), (prior,), (z,) = each(rolled.posteriors), each(rolled.priors), rolled.latents
        bias = torch.zeros(2 * Z, dtype=torch.float64) if core.eta_pi is None else core.eta_pi.bias
        bias = bias.view(1, 2 * Z, 1, 1).expand(2, -1, *core.state_size)
        close(prior.mean, bias[:, :Z])
        close(prior.log_scale, bias[:, Z:])
        assert output.kl.shape == (2, 1, 1)
        close(output.kl.flatten(), kl_divergence(posterior, prior).flatten(1).sum(1))
        decoded = rollout(core, pooled, query, fold(cut.key, 0), target=None, source=[z], schedule=SCHEDULE)
        close(output.prediction[:, 0], decoded.canvases[-1])

    def test_gradients_equal_finite_differences(self, kind):
        core = made(kind, steps=2, read_channels=2, z_channels=1)
        pooled, query, target, _ = inputs(scenes=1, queries=2)
        given = [tensor.requires_grad_() for tensor in (pooled, query, target)]

        def run(pooled, query, target):
            cut, encode = episode(pooled, query, target, queries=2)
            return tuple(core(cut, encode, SCHEDULE))

        assert torch.autograd.gradcheck(run, tuple(given), fast_mode=True)


def test_standard_priors_are_standard_and_have_no_weights():
    core = made({"prior": "standard"})
    assert core.eta_pi is None
    pooled, query, target, keys = inputs()
    for prior in each(rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE).priors):
        assert not prior.mean.any()
        assert not prior.log_scale.any()


def test_the_summed_kl_is_the_mean_of_log_q_minus_log_p_over_all_steps():
    core, count = made({"shared": True}), 3000
    pooled, query, target, _ = inputs(scenes=1, queries=1)
    with torch.no_grad():
        for head in (core.eta_pi, core.eta_q):
            head.weight.mul_(8.0)  # so that priors and posteriors differ by more than initial weights make them
        cut, encode = episode(
            pooled.expand(count, -1, -1, -1), query.expand(count, -1), target.expand(count, -1, -1, -1), queries=1
        )
        output = core(cut._replace(key=fold(torch.arange(count), 7)), encode, SCHEDULE)
    analytic = output.kl.flatten(1).sum(1)
    difference = output.log_ratio - analytic
    assert analytic.mean() > 0.1
    assert difference.mean().abs() < 4 * difference.std() / count**0.5
    # In the last step the prior depends on the history, so that its KL differs from sample to sample.
    assert output.kl[:, 0, -1].std() > 1e-4


def test_the_scene_is_convolved_once_for_all_steps_and_queries():
    core = made({"shared": True})
    pooled, query, target, keys = inputs(queries=3)
    seen = []
    cell = core.steps[0].decoder
    prepare = cell.prepare

    def watched(**given):
        seen.append(len(given["scene"]))
        return prepare(**given)

    cell.prepare = watched
    rollout(core, pooled, query, keys, target=target, source="posterior", schedule=SCHEDULE)
    assert seen == [len(pooled)]


def test_windows_move_with_the_state_and_cover_part_of_the_canvas():
    core = made({"attention": "filterbank"})
    with torch.no_grad():
        core.write_window.linear.bias.copy_(torch.tensor([-0.5, 0.5, -4.0, -2.0, 0.0]))
        pooled, query, _, keys = inputs()
        windows = []
        core.write_window.register_forward_hook(lambda _, __, window: windows.append(window))
        canvas = rollout(core, pooled, query, keys, target=None, source="prior", schedule=SCHEDULE).canvases[0]
        canvas = canvas - core.first_canvas
    assert (windows[0].rows - windows[-1].rows).abs().max() > 1e-4
    # To the left and below: the other corner is as it was.
    assert canvas[:, :, 4:, :4].abs().mean() > 1e3 * canvas[:, :, :2, 6:].abs().max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"canvas_scale": 3}, "images of 8x8 pixels: canvas_scale 3 does not divide"),
        ({"kernel_size": 4}, "must be odd"),
        ({"attention": "filterbank", "glimpse_size": 5}, "glimpses of 5x5 pixels: canvas_scale 2 does not divide"),
        ({"attention": "filterbank", "glimpse_size": 10}, "smaller than glimpse_size 10"),
        ({"attention": "filterbank", "decoder": "latents_and_canvas"}, "because its windows move"),
        ({"attention": "filterbank", "pose": "rays"}, "because its windows move"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        made(change)
