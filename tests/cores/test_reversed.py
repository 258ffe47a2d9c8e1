"""The cores of reversed GQN: what they look at, and the bound of the one with latents."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from zoo.config.schedules import schedule_values
from zoo.cores.reversed import Reversed
from zoo.cores.reversed_attention import PoseCrossAttention, ReversedAttention
from zoo.cores.reversed_latent import ReversedLatent
from zoo.data.camera import pose_vector
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.noise import query_keys, standard_normal

SIZE, CHANNELS, OUT, VIEWS, QUERIES, SCENES = 16, 6, 7, 3, 2, 2
SCHEDULE = schedule_values(sigma=0.7)
SHAPES = CoreShapes(
    representation=RepresentationShape(CHANNELS, 4, 4), query=(3, SIZE, SIZE), target=(5, 1, 1), prediction_channels=OUT
)
CORES = {
    "reversed": lambda: Reversed(Reversed.Config(channels=8, width=16), shapes=SHAPES),
    "attention": lambda: ReversedAttention(
        ReversedAttention.Config(channels=8, width=16, steps=3, heads=2, patches=2), shapes=SHAPES
    ),
    "latent": lambda: ReversedLatent(ReversedLatent.Config(channels=8, width=16, z_channels=4), shapes=SHAPES),
}


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def episode(views=VIEWS):
    context = Views(
        values=random(SCENES, views, 3, SIZE, SIZE),
        poses=random(SCENES, views, 7, seed=1),
        mask=torch.ones(SCENES, views) > 0,
    )
    images, cameras = random(SCENES, QUERIES, 3, SIZE, SIZE, seed=2), random(SCENES, QUERIES, 5, 1, 1, seed=3)
    targets = Views(values=images, poses=pose_vector(cameras[..., 0, 0]), mask=torch.ones(SCENES, QUERIES) > 0)
    return Episode(context=context, query=images, target=cameras, target_views=targets, key=torch.arange(SCENES))


def encode(views):
    maps = views.values.mean((-1, -2))[..., None, None] * random(CHANNELS // 3 * 3, 4, 4, seed=5).view(-1, 3, 4, 4)[0]
    per_view = torch.cat([maps, maps.flip(2)], dim=2)
    return Representation(pooled=per_view.sum(1), per_view=per_view, mask=views.mask)


@pytest.mark.parametrize("kind", CORES)
@pytest.mark.parametrize("views", [0, 1, 3])
def test_every_query_gets_a_prediction_for_any_context(kind, views):
    torch.manual_seed(0)
    core, given = CORES[kind]().double(), episode(views)
    output = core(given, encode, SCHEDULE)
    assert output.prediction.shape == (SCENES, QUERIES, OUT, 1, 1)
    assert output.log_ratio.shape == (SCENES,) and output.kl.shape[0] == SCENES
    drawn = core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=3)
    assert drawn.shape == (3, SCENES, QUERIES, OUT, 1, 1) and torch.isfinite(drawn).all()
    if core.latents == "none":
        assert torch.equal(drawn[0], output.prediction) and torch.equal(drawn[1], drawn[2])
        assert (output.kl == 0).all() and (output.log_ratio == 0).all()
    else:
        assert (drawn[0] != drawn[1]).all()


@pytest.mark.parametrize("kind", CORES)
def test_images_and_context_matter_and_queries_do_not_see_each_other(kind):
    torch.manual_seed(0)
    core, given = CORES[kind]().double(), episode()

    def predicted(changed):
        return core.predict(
            changed.context, changed.query, changed.key, encode=encode, schedule=SCHEDULE, num_samples=1
        )[0]

    before = predicted(given)
    other_query = given.query.clone()
    other_query[:, 1] += 1.0
    after = predicted(given._replace(query=other_query))
    torch.testing.assert_close(after[:, 0], before[:, 0], rtol=1e-10, atol=1e-12)
    assert (after[:, 1] != before[:, 1]).all()
    moved = given.context._replace(values=given.context.values + 1.0)
    assert (predicted(given._replace(context=moved)) != before).all()


def test_attention_reads_views_by_their_poses_and_leaves_padding_alone():
    torch.manual_seed(0)
    core, given = CORES["attention"]().double(), episode()

    def predicted(context):
        return core.predict(context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=1)

    before = predicted(given.context)
    turned = given.context._replace(poses=given.context.poses.flip(1))
    assert (predicted(turned) != before).all()
    padded = given.context._replace(mask=torch.tensor([[True, True, False]]).expand(SCENES, -1))
    fewer = Views(*(field[:, :2] for field in given.context))
    torch.testing.assert_close(predicted(padded), predicted(fewer), rtol=1e-10, atol=1e-12)


def test_one_attention_step_equals_its_formula():
    torch.manual_seed(0)
    config = ReversedAttention.Config(channels=4, width=6, steps=1, heads=1, patches=2)
    shapes = CoreShapes(
        representation=RepresentationShape(channels=2, height=4, width=4),
        query=(3, SIZE, SIZE),
        target=(5, 1, 1),
        prediction_channels=1,
    )
    match = PoseCrossAttention(config, shapes=shapes).double()
    maps, own, where = random(1, 2, 2, 4, 4), random(1, 1, 2, 4, 4, seed=6), random(1, 2, 7, seed=1)
    image = random(1, 1, 3, SIZE, SIZE, seed=2)

    def patches_of(map_of_view, pose):
        found = []
        for row, down in ((0, -1.0), (1, 1.0)):
            for column, across in ((0, -1.0), (1, 1.0)):
                patch = map_of_view[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
                place = torch.tensor([down, across], dtype=torch.float64)
                found.append((patch, match.token(torch.cat([patch, pose, place]))))
        return found

    context = [pair for view in range(2) for pair in patches_of(maps[0, view], where[0, view])]
    tokens = torch.stack([match.nothing, *(token for _, token in context)])
    looks = torch.stack([match.nothing_like_it, *(match.likeness(patch) for patch, _ in context)])
    values = match.values(tokens)
    matched = []
    for patch, token in patches_of(own[0, 0], torch.zeros(7, dtype=torch.float64)):
        cosines = torch.cosine_similarity(looks, match.likeness(patch)[None], dim=1)
        resembled = torch.softmax(match.log_sharpness.exp() * cosines, dim=0) @ values
        matched.append(match.resembling(torch.cat([token, resembled])))
    seen = torch.nn.functional.silu(match.image(image[0])[0] + torch.stack(matched).mean(0))
    state = seen.tanh()
    weights = torch.softmax(match.keys(tokens) @ match.question(state) / 6**0.5, dim=0)
    expected = match.cell(torch.cat([weights @ values, seen])[None], state[None])[0]
    found = match(image, own, maps, poses=where, mask=torch.ones(1, 2) > 0)
    torch.testing.assert_close(found[0, 0], torch.cat([expected, seen]), rtol=1e-10, atol=1e-12)


def test_a_width_that_heads_do_not_share_is_refused():
    with pytest.raises(ValueError, match="3 heads do not divide it"):
        ReversedAttention(ReversedAttention.Config(width=16, heads=3), shapes=SHAPES)


def test_the_bound_of_the_latent_core_is_that_of_its_distributions():
    torch.manual_seed(0)
    core, given = CORES["latent"]().double(), episode()
    output = core(given, encode, SCHEDULE)
    joined = core.match(given.query, encode(given.context).pooled)

    def normal(parameters):
        mean, log_scale = parameters.chunk(2, dim=-1)
        return Normal(mean, log_scale.exp())

    posterior = normal(core.eta_q(torch.cat([joined, given.target_views.poses], dim=-1)))
    prior = normal(core.eta_pi(joined))
    noise = standard_normal(query_keys(given.key, num_queries=QUERIES), (4,)).double()
    z = posterior.mean + posterior.stddev * noise
    torch.testing.assert_close(output.kl, kl_divergence(posterior, prior))
    torch.testing.assert_close(output.log_ratio, (posterior.log_prob(z) - prior.log_prob(z)).sum((1, 2)))
    torch.testing.assert_close(output.prediction.flatten(2), core.read_out(torch.cat([joined, z], dim=-1)))
