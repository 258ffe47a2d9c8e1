"""What every core keeps that attends to the context's views: nothing leaks, and views, poses and scenes stay together."""

import pytest
import rollouts
import torch
from camera_projection import look_at

from zoo.config.schedules import schedule_values
from zoo.cores.gqn_attention import GqnAttention
from zoo.cores.gqn_epipolar import GqnEpipolar
from zoo.cores.transformer import Transformer
from zoo.data.camera import pose_vector
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.noise import fold

SIZE, SIDE, CHANNELS, SCENES, QUERIES, NUMBER, STEPS = 8, 3, 5, 2, 2, 4, 3
SCHEDULE = schedule_values(sigma=0.7)
RECURRENT = {
    "steps": STEPS,
    "z_channels": 2,
    "hidden_channels": 4,
    "canvas_channels": 6,
    "read_channels": 5,
    "canvas_scale": 2,
    "kernel_size": 3,
    "key_channels": 4,
    "value_channels": 6,
}
CORES = {
    "attention": (GqnAttention, RECURRENT),
    "attention, a key for every position": (
        GqnAttention,
        RECURRENT | {"reads": "position", "keys": "placed", "places": "rays", "heads": 2, "shared": True},
    ),
    "epipolar": (GqnEpipolar, RECURRENT | {"samples": 3}),
    "epipolar, view by view": (GqnEpipolar, RECURRENT | {"samples": 3, "views": "sum", "heads": 2, "shared": True}),
    "transformer": (
        Transformer,
        {
            "steps": STEPS,
            "channels": 8,
            "z_channels": 2,
            "patch_size": 4,
            "heads": 2,
            "hidden_channels": 8,
            "pixel_channels": 4,
            "octaves": 3,
        },
    ),
}
SHAPES = CoreShapes(
    representation=RepresentationShape(channels=CHANNELS, height=SIDE, width=SIDE),
    query=(7,),
    target=(3, SIZE, SIZE),
    prediction_channels=3,
)


def made(name, **changes):
    part, settings = CORES[name]
    torch.manual_seed(0)
    return part(part.Config(**settings | changes), shapes=SHAPES).double()


@pytest.fixture(params=CORES)
def core(request):
    return made(request.param)


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def poses(number, *, seed=0):
    """Cameras round the middle that look at it, so that they see what the others see, [SCENES, number, 7]."""
    position = random(SCENES, number, 3, seed=seed)
    position = 3.0 * position / position.norm(dim=-1, keepdim=True)
    yaw, pitch = look_at(position, target=0.3 * random(SCENES, number, 3, seed=seed + 1))
    return pose_vector(torch.cat([position, yaw[..., None], pitch[..., None]], dim=-1))


def context(number=NUMBER, *, seed=0):
    """Views whose images are their own representation, [SCENES, number, C, h, w]."""
    return Views(
        values=random(SCENES, number, CHANNELS, SIDE, SIDE, seed=seed),
        poses=poses(number, seed=seed + 10),
        mask=torch.ones(SCENES, number, dtype=torch.bool),
    )


def encode(views):
    return Representation(pooled=views.values[:, :0].sum(1), per_view=views.values, mask=views.mask)


QUERY, TARGET = poses(QUERIES, seed=30), random(SCENES, QUERIES, 3, SIZE, SIZE, seed=40)
KEYS = fold(torch.arange(SCENES)[:, None], torch.arange(QUERIES)).flatten()


def episode(views, *, target=TARGET):
    return Episode(context=views, query=QUERY, target=target, target_views=views, key=torch.arange(SCENES))


def rollout(core, views, *, source="posterior", target=TARGET, query=QUERY):
    target = None if target is None else target.flatten(0, 1)
    given = {"target": target, "source": source, "schedule": SCHEDULE, "poses": views.poses}
    return rollouts.rollout(core, encode(views), query.flatten(0, 1), KEYS, **given)


def each(groups):
    """The distributions of all groups one by one, of one [L, n, ...]."""
    return [DiagonalGaussian(*pair) for pair in zip(*groups, strict=True)]


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def same(one, other):
    for mine, its in zip(one, other, strict=True):
        close(mine, its)


class TestPaths:
    def test_the_prior_of_training_is_the_prior_of_generation(self, core):
        trained = rollout(core, context())
        again = rollout(core, context(), source=trained.latents, target=None)
        assert again.posteriors is None
        assert torch.equal(again.prediction, trained.prediction)
        for one, other in zip(each(again.priors), each(trained.priors), strict=True):
            assert torch.equal(one.mean, other.mean)
            assert torch.equal(one.log_scale, other.log_scale)

    def test_a_target_reaches_prediction_and_priors_through_latents_only(self, core):
        target = TARGET.clone().requires_grad_()
        latents = [z.detach() for z in rollout(core, context(), target=target).latents]
        before = rollout(core, context(), source=latents, target=target)
        after = rollout(core, context(), source=latents, target=1 - 5 * target)
        assert torch.equal(before.prediction, after.prediction)
        total = before.prediction.sum()
        for one, other in zip(each(before.priors), each(after.priors), strict=True):
            assert torch.equal(one.mean, other.mean)
            total = total + one.mean.sum() + one.log_scale.sum()
        (gradient,) = torch.autograd.grad(total, target, allow_unused=True)
        assert gradient is None

    def test_every_posterior_depends_on_the_target(self, core):
        target = TARGET.clone().requires_grad_()
        latents = [z.detach() for z in rollout(core, context()).latents]
        for posterior in each(rollout(core, context(), source=latents, target=target).posteriors):
            (gradient,) = torch.autograd.grad(posterior.mean.sum(), target, retain_graph=True)
            assert (gradient.flatten(2).abs().amax(2) > 0).all()

    def test_the_prior_depends_on_earlier_latents_and_no_others(self, core):
        latents = [random(*z.shape, seed=50).requires_grad_() for z in rollout(core, context()).latents]
        found = rollout(core, context(), source=latents, target=None)
        for index, prior in enumerate(each(found.priors)):
            gradients = torch.autograd.grad(prior.mean.sum(), latents, retain_graph=True, allow_unused=True)
            for earlier, gradient in enumerate(gradients):
                known = gradient is not None and bool((gradient != 0).any())
                assert known == (earlier < index), (index, earlier)

    def test_predictions_are_rollouts_of_the_prior_for_every_sample_and_query(self, core):
        views, key = context(), torch.arange(SCENES)
        found = core.predict(views, QUERY, key, encode=encode, schedule=SCHEDULE, num_samples=3)
        assert found.shape == (3, SCENES, QUERIES, 3, SIZE, SIZE)
        given = {"target": None, "source": "prior", "schedule": SCHEDULE, "poses": views.poses}
        for sample in range(3):
            keys = fold(fold(key, sample)[:, None], torch.arange(QUERIES)).flatten()
            expected = rollouts.rollout(core, encode(views), QUERY.flatten(0, 1), keys, **given)
            close(found[sample], expected.prediction.unflatten(0, (SCENES, QUERIES)))

    @torch.no_grad()
    def test_the_summed_kl_is_the_mean_of_log_q_minus_log_p(self, core):
        count = 300
        views = Views(*(field[:1].expand(count, *field.shape[1:]) for field in context()))
        one = episode(context())
        cut = Episode(
            context=views,
            query=one.query[:1].expand(count, -1, -1),
            target=one.target[:1].expand(count, -1, -1, -1, -1),
            target_views=views,
            key=fold(torch.arange(count), 7),
        )
        output = core(cut, encode, SCHEDULE)
        assert output.kl.shape == (count, QUERIES, STEPS)
        assert (output.kl > 0).all()
        difference = output.log_ratio - output.kl.flatten(1).sum(1)
        assert difference.mean().abs() < 4 * difference.std() / count**0.5


class TestViews:
    def test_padding_changes_nothing(self, core):
        views, expected = context(), rollout(core, context())
        for value in (0.0, 1.0, 1e3):
            blank = Views(
                values=torch.full((SCENES, 2, CHANNELS, SIDE, SIDE), value, dtype=torch.float64),
                poses=torch.full((SCENES, 2, 7), value, dtype=torch.float64),
                mask=torch.zeros(SCENES, 2, dtype=torch.bool),
            )
            for parts in ((views, blank), (blank, views)):
                padded = Views(*(torch.cat(fields, dim=1) for fields in zip(*parts, strict=True)))
                found = rollout(core, padded)
                close(found.prediction, expected.prediction)
                close(found.terms().kl, expected.terms().kl)

    def test_no_view_is_padding_only(self, core):
        nothing = rollout(core, context(0))
        hidden = context()._replace(mask=torch.zeros(SCENES, NUMBER, dtype=torch.bool))
        assert torch.isfinite(nothing.prediction).all()
        close(rollout(core, hidden).prediction, nothing.prediction)
        close(rollout(core, hidden).terms().kl, nothing.terms().kl)

    @pytest.mark.parametrize("number", [0, 1])
    def test_every_parameter_is_in_the_graph_and_no_gradient_is_lost(self, core, number):
        output = core(episode(context(number)), encode, SCHEDULE)
        (output.prediction.square().sum() + output.kl.sum()).backward()
        for name, parameter in core.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name

    def test_gradients_are_numbers_where_everything_is_padding(self, core):
        views = context()._replace(mask=torch.zeros(SCENES, NUMBER, dtype=torch.bool))
        views.values.requires_grad_()
        core(episode(views), encode, SCHEDULE).prediction.square().sum().backward()
        assert (views.values.grad == 0).all()

    def test_scenes_do_not_see_each_other(self, core):
        views, before = context(), rollout(core, context())
        for field in ("values", "poses"):
            changed = getattr(views, field).clone()
            changed[1] = random(*changed[1].shape, seed=70)
            after = rollout(core, views._replace(**{field: changed}))
            assert torch.equal(before.prediction[:QUERIES], after.prediction[:QUERIES])
            assert torch.equal(before.terms().kl[:QUERIES], after.terms().kl[:QUERIES])
            if field == "values":
                assert (before.prediction[QUERIES:] - after.prediction[QUERIES:]).abs().max() > 1e-7

    def test_predictions_do_not_depend_on_the_order_of_views(self, core):
        shuffled = Views(*(field[:, [2, 0, 3, 1]] for field in context()))
        same(rollout(core, shuffled)[:2], rollout(core, context())[:2])

    def test_poses_belong_to_their_views(self, core):
        if isinstance(core, Transformer):
            pytest.skip("the transformer's tokens carry their rays: the encoder puts them there")
        views = context()
        before = rollout(core, views, source="prior", target=None).prediction
        after = rollout(
            core, views._replace(poses=views.poses[:, [2, 0, 3, 1]]), source="prior", target=None
        ).prediction
        assert ((before - after).abs().flatten(1).amax(1) > 1e-7).all()

    def test_predictions_depend_on_every_view(self, core):
        views = context()
        views.values.requires_grad_()
        (gradient,) = torch.autograd.grad(rollout(core, views).prediction.square().sum(), views.values)
        assert (gradient.flatten(2).abs().amax(2) > 0).all()

    def test_queries_ask_for_themselves(self, core):
        together = rollout(core, context(), source="prior", target=None)
        other = QUERY.clone()
        other[:, 1] = poses(1, seed=60)[:, 0]
        changed = rollout(core, context(), source="prior", target=None, query=other)
        assert torch.equal(together.prediction[::QUERIES], changed.prediction[::QUERIES])
        assert ((together.prediction - changed.prediction)[1::QUERIES].abs().flatten(1).amax(1) > 1e-6).all()


def test_gradients_equal_finite_differences(core):
    views = context(2)

    def run(what, query, target):
        cut = episode(views._replace(values=what), target=target)._replace(query=query)
        return tuple(core(cut, encode, SCHEDULE))

    given = tuple(tensor.clone().requires_grad_() for tensor in (views.values, QUERY, TARGET))
    assert torch.autograd.gradcheck(run, given, fast_mode=True, atol=1e-4)


def test_half_precision_gives_numbers_and_nats_in_float32(core):
    views, core = Views(*(field.float() if field.is_floating_point() else field for field in context())), core.float()
    cut = episode(views, target=TARGET.float())._replace(query=QUERY.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = core(cut, encode, SCHEDULE)
        output.prediction.float().square().mean().backward()
    assert output.kl.dtype == output.log_ratio.dtype == torch.float32
    assert all(torch.isfinite(field).all() for field in output)
    exact = core(cut, encode, SCHEDULE)
    assert (output.prediction - exact.prediction).abs().max() < 0.1


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("attention", {"canvas_scale": 3}, "does not divide"),
        ("attention", {"heads": 4}, "must divide value_channels"),
        ("epipolar", {"heads": 4}, "must divide value_channels"),
        ("transformer", {"patch_size": 3}, "does not divide"),
        ("transformer", {"heads": 3}, "must divide"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        made(name, **changes)


def test_epipolar_lines_need_maps():
    part, settings = CORES["epipolar"]
    flat = SHAPES._replace(representation=RepresentationShape(channels=CHANNELS, height=1, width=1))
    with pytest.raises(ValueError, match="no epipolar lines"):
        part(part.Config(**settings), shapes=flat)
