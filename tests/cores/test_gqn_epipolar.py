"""What E-GQN finds lies on epipolar lines: checked against rays that the data sets' own camera projects."""

import pytest
import torch
from camera_projection import look_at, project, rays
from torch.nn.functional import scaled_dot_product_attention

from zoo.cores.gqn_epipolar import GqnEpipolar
from zoo.data.camera import pose_vector
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.attention import positions

SCENES, QUERIES, VIEWS, CHANNELS, MAP, STATE, HIDDEN = 2, 2, 3, 4, 8, 4, 4
SETTINGS = {
    "steps": 2,
    "hidden_channels": HIDDEN,
    "canvas_channels": 6,
    "read_channels": 5,
    "canvas_scale": 2,
    "kernel_size": 3,
    "key_channels": 3,
    "value_channels": 8,
}


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(**changes):
    shapes = CoreShapes(
        representation=RepresentationShape(channels=CHANNELS, height=MAP, width=MAP),
        query=(7,),
        target=(3, 2 * STATE, 2 * STATE),
        prediction_channels=3,
    )
    torch.manual_seed(0)
    return GqnEpipolar(GqnEpipolar.Config(**SETTINGS | changes), shapes=shapes).double()


def cameras(number, *, seed):
    """Cameras round the middle that look about there, [SCENES, number, 5]."""
    position = random(SCENES, number, 3, seed=seed)
    position = 3.0 * position / position.norm(dim=-1, keepdim=True)
    yaw, pitch = look_at(position, target=0.4 * random(SCENES, number, 3, seed=seed + 1))
    return torch.cat([position, yaw[..., None], pitch[..., None]], dim=-1)


QUERY, CONTEXT = cameras(QUERIES, seed=10), cameras(VIEWS, seed=20)


def scene(per_view=None, mask=None):
    per_view = random(SCENES, VIEWS, CHANNELS, MAP, MAP) if per_view is None else per_view
    mask = torch.ones(SCENES, VIEWS, dtype=torch.bool) if mask is None else mask
    return Representation(pooled=per_view[:, 0, :0], per_view=per_view, mask=mask)


def read(core, known):
    query = pose_vector(QUERY).flatten(0, 1)
    lines = core.lines(known, pose_vector(CONTEXT), query)
    return core.attend_to(lines, query)(random(SCENES * QUERIES, HIDDEN, STATE, STATE, seed=3))


@pytest.mark.parametrize("views", ["joint", "sum"])
def test_a_position_depends_on_the_features_along_its_lines_only(views):
    core = made(samples=40, views=views)
    per_view = random(SCENES, VIEWS, CHANNELS, MAP, MAP).requires_grad_()
    found = read(core, scene(per_view))
    t = torch.logspace(-3, 3, 4000, dtype=torch.float64)[:, None]
    centres = ((torch.arange(MAP) + 0.5) * 2 / MAP - 1).double()
    cells = torch.stack([centres.expand(MAP, MAP).flatten(), centres[:, None].expand(MAP, MAP).flatten()], dim=-1)
    reached, on_line = 0, 0
    for index in range(SCENES * QUERIES):
        home, place = divmod(index, QUERIES)
        ray = rays(QUERY[home, place], image_size=STATE)
        for row, column in ((0, 0), (1, 2), (2, 1), (3, 3)):
            (gradient,) = torch.autograd.grad(found[index, :, row, column].sum(), per_view, retain_graph=True)
            touched = gradient.abs().amax(2) > 0
            assert not touched[1 - home].any(), "another scene"
            points = ray.origins[row, column] + t * ray.directions[row, column]
            for view in range(VIEWS):
                seen = project(points, cameras=CONTEXT[home, view], image_size=2)
                places = seen.coordinates - 1.0
                visible = places[(seen.depth > 0) & (places.abs().amax(-1) <= 1.0)]
                if not len(visible):
                    assert not touched[home, view].any()
                    continue
                # Bilinear sampling reaches the cells whose middles are less than a cell away, in x and in y.
                away = (cells[:, None] - visible).abs().amax(-1).amin(1) * MAP / 2
                mine = touched[home, view].flatten()
                assert away[mine].max() < 1.01
                assert mine[away < 0.9].all(), "part of the line is not looked at"
                reached, on_line = reached + mine.sum().item(), on_line + 1
    assert on_line >= 12
    assert reached < 0.6 * on_line * MAP**2  # lines, not images


def test_features_are_sampled_bilinearly():
    """A map that is linear in x and y is its own value at every place of a line."""
    core = made(samples=5)
    centres = ((torch.arange(MAP) + 0.5) * 2 / MAP - 1).double()
    linear = torch.stack([centres.expand(MAP, MAP), centres[:, None].expand(MAP, MAP)])
    per_view = torch.cat([linear, torch.zeros(CHANNELS - 2, MAP, MAP).double()]).expand(SCENES, VIEWS, -1, -1, -1)
    with torch.no_grad():
        core.from_features.weight.zero_()
        core.from_features.bias.zero_()
        core.from_reach.weight.zero_()
        core.from_features.weight[0, 0] = core.from_features.weight[1, 1] = 1.0
    lines = core.lines(scene(per_view), pose_vector(CONTEXT), pose_vector(QUERY).flatten(0, 1))
    what = lines.values.unflatten(0, (SCENES, QUERIES)).unflatten(2, (STATE, STATE))
    found_rays = rays(QUERY, image_size=STATE)
    checked = 0
    for home in range(SCENES):
        for view in range(VIEWS):
            for query in range(QUERIES):
                visible = lines.mask.unflatten(0, (SCENES, QUERIES))[home, query, :, view, 0].unflatten(
                    0, (STATE, STATE)
                )
                for row, column in visible.nonzero()[::5].tolist():
                    ray = (part[home, query, row, column] for part in found_rays)
                    origin, direction = ray
                    t = torch.logspace(-4, 4, 20000, dtype=torch.float64)[:, None]
                    seen = project(origin + t * direction, cameras=CONTEXT[home, view], image_size=2)
                    curve = (seen.coordinates - 1.0)[seen.depth > 0]
                    places = what[home, query, row, column, view, :, :2]
                    inner = places.abs().amax(-1) < 1 - 1 / MAP  # the border is repeated outwards
                    if inner.any():
                        assert torch.cdist(places[inner], curve).amin(1).max() < 0.02
                        checked += 1
    assert checked > 10


def test_a_line_outside_of_all_views_gives_the_null_token():
    core = made()
    away = CONTEXT.clone()
    away[..., 3] += torch.pi
    away[..., 4] *= -1
    away[..., :3] *= 10.0
    query = pose_vector(QUERY).flatten(0, 1)
    lines = core.lines(scene(), pose_vector(away), query)
    assert not lines.mask.any()
    found = core.attend_to(lines, query)(random(SCENES * QUERIES, HIDDEN, STATE, STATE, seed=3))
    expected = core.nothing[core.widths[0] :][:, None, None].expand(-1, STATE, STATE)
    torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-12, atol=1e-12)


def test_view_by_view_is_the_sum_of_single_views():
    core = made(views="sum")
    total = read(core, scene())
    parts = []
    for view in range(VIEWS):
        alone = torch.zeros(SCENES, VIEWS, dtype=torch.bool)
        alone[:, view] = True
        parts.append(read(core, scene(mask=alone)))
    torch.testing.assert_close(total, sum(parts), rtol=1e-10, atol=1e-10)
    together = made(views="joint")
    assert (read(together, scene()) - total).abs().max() > 1e-3


def test_keys_depend_on_the_distance_along_the_ray():
    core = made()
    query = pose_vector(QUERY).flatten(0, 1)
    with torch.no_grad():
        core.from_features.weight.zero_()
        core.from_features.bias.zero_()
    lines = core.lines(scene(), pose_vector(CONTEXT), query)
    spread = lines.values.std(dim=3)[lines.mask[..., 0]]
    assert (spread.amax(-1) > 1e-6).double().mean() > 0.9


@pytest.mark.parametrize("views", ["joint", "sum"])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_along_lines_equals_scaled_dot_product_attention_of_torch(views, heads):
    core = made(views=views, heads=heads)
    query = pose_vector(QUERY).flatten(0, 1)
    mask = torch.tensor([[True] * VIEWS, [True] * (VIEWS - 1) + [False]])
    lines = core.lines(scene(mask=mask), pose_vector(CONTEXT), query)
    hidden = random(SCENES * QUERIES, HIDDEN, STATE, STATE, seed=3)
    found = core.attend_to(lines, query)(hidden)
    maps = query[:, :, None, None].expand(-1, -1, STATE, STATE)
    cells = positions(STATE, STATE, like=hidden).expand(len(query), -1, -1, -1)
    asked = core.to_query(torch.relu(core.ask(torch.cat([hidden, maps, cells], dim=1)))).flatten(2)
    for index in range(SCENES * QUERIES):
        for cell in range(STATE * STATE):
            total = 0.0
            sets = (
                [range(VIEWS)]
                if views == "joint"
                else [[view] for view in range(VIEWS) if mask[index // QUERIES][view]]
            )
            for chosen in sets:
                kept = [lines.values[index, cell, view][lines.mask[index, cell, view]] for view in chosen]
                keys, values = torch.cat([core.nothing[None], *kept]).split(core.widths, dim=1)
                total = total + scaled_dot_product_attention(
                    asked[index, :, cell].view(heads, 1, -1),
                    keys.view(len(keys), heads, -1).transpose(0, 1),
                    values.view(len(values), heads, -1).transpose(0, 1),
                )
            row, column = divmod(cell, STATE)
            torch.testing.assert_close(found[index, :, row, column], total.flatten(), rtol=1e-9, atol=1e-9)
