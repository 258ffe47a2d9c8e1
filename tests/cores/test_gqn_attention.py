"""The dictionary of attention GQN: what a state finds is a softmax over the patches of its own scene, one key a step."""

import pytest
import torch

from zoo.cores.gqn_attention import GqnAttention
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.nn.geometry import ray_features

SCENES, QUERIES, VIEWS, CHANNELS, HEIGHT, WIDTH, HIDDEN, STATE = 2, 2, 3, 5, 2, 3, 4, 4
SETTINGS = {
    "steps": 2,
    "hidden_channels": HIDDEN,
    "canvas_channels": 6,
    "read_channels": 5,
    "canvas_scale": 2,
    "kernel_size": 3,
    "key_channels": 3,
    "value_channels": 8,
    "heads": 2,
}


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(**changes):
    shapes = CoreShapes(
        representation=RepresentationShape(channels=CHANNELS, height=HEIGHT, width=WIDTH),
        query=(7,),
        target=(3, 8, 8),
        prediction_channels=3,
    )
    torch.manual_seed(0)
    return GqnAttention(GqnAttention.Config(**SETTINGS | changes), shapes=shapes).double()


def inputs():
    per_view = random(SCENES, VIEWS, CHANNELS, HEIGHT, WIDTH)
    mask = torch.tensor([[True, True, True], [True, False, True]])
    scene = Representation(pooled=per_view[:, 0, :0], per_view=per_view, mask=mask)
    return scene, random(SCENES, VIEWS, 7, seed=1), random(SCENES * QUERIES, 7, seed=2)


def places_of(core, pose, *, height, width):
    """How the cells of one camera's map [height, width] are described, [C, height, width]."""
    if core.config.places == "rays":
        return ray_features(pose[None], height=height, width=width, field_of_view=50.0, octaves=2)[0]
    x = ((torch.arange(width).double() + 0.5) * 2 / width - 1).expand(height, width)
    y = ((torch.arange(height).double() + 0.5) * 2 / height - 1)[:, None].expand(height, width)
    return torch.cat([pose[:, None, None].expand(-1, height, width), x[None], y[None]])


def looked_up(core, scene, poses, asked, *, index):
    """What one key [heads, D] finds in the dictionary of scene ``index``, one patch at a time."""
    patches = [core.null_token.nothing]
    for view in range(VIEWS):
        if not scene.mask[index, view]:
            continue
        where = places_of(core, poses[index, view], height=HEIGHT, width=WIDTH)
        for row in range(HEIGHT):
            for column in range(WIDTH):
                features = scene.per_view[index, view, :, row, column]
                normalised = (features - features.mean()) / (features.var(correction=0) + 1e-5).sqrt()
                patches.append(torch.cat([normalised, where[:, row, column]]))
    patches = torch.stack(patches)
    known = patches if core.config.keys == "placed" else patches[:, :CHANNELS]
    keys = core.to_key(known).unflatten(1, (core.config.heads, -1))
    values = core.to_value(patches).unflatten(1, (core.config.heads, -1))
    weights = torch.einsum("hd,thd->ht", asked, keys).div(core.config.key_channels**0.5).softmax(1)
    return torch.einsum("ht,thd->hd", weights, values).flatten()


@pytest.mark.parametrize("places", ["pose", "rays"])
@pytest.mark.parametrize("keys", ["features", "placed"])
@pytest.mark.parametrize("reads", ["step", "position"])
def test_a_state_attends_to_the_patches_of_its_scene(reads, keys, places):
    core = made(reads=reads, keys=keys, places=places, octaves=2)
    scene, poses, query = inputs()
    hidden = random(SCENES * QUERIES, HIDDEN, STATE, STATE, seed=3)
    found = core.reader(scene, poses, query)(hidden)
    assert found.shape == (SCENES * QUERIES, 8, STATE, STATE)
    for n in range(SCENES * QUERIES):
        where = places_of(core, query[n], height=STATE, width=STATE)
        asked = torch.relu(core.ask(torch.cat([hidden[n], where])[None]))[0]
        asked = torch.cat([asked, where])
        if reads == "step":
            asked = asked.mean(dim=(1, 2), keepdim=True).expand(-1, STATE, STATE)
        for row, column in ((0, 0), (1, 3), (3, 2)):
            key = core.to_query(asked[:, row, column]).unflatten(0, (core.config.heads, -1))
            expected = looked_up(core, scene, poses, key, index=n // QUERIES)
            torch.testing.assert_close(found[n, :, row, column], expected, rtol=1e-10, atol=1e-10)


def test_one_query_per_step_gives_equal_positions_and_one_per_position_does_not():
    scene, poses, query = inputs()
    hidden = random(SCENES * QUERIES, HIDDEN, STATE, STATE, seed=3)
    for reads, several in (("step", False), ("position", True)):
        found = made(reads=reads).reader(scene, poses, query)(hidden)
        assert ((found - found[:, :, :1, :1]).abs().max() > 1e-6).item() == several


def test_keys_of_features_do_not_depend_on_poses_and_placed_ones_do():
    """Values are made blind to poses and places here, so that they tell which patches were found."""
    scene, poses, query = inputs()
    hidden = random(SCENES * QUERIES, HIDDEN, STATE, STATE, seed=3)
    for keys, knows in (("features", False), ("placed", True)):
        core = made(keys=keys)
        with torch.no_grad():
            core.to_value.weight[:, CHANNELS:] = 0.0
        before = core.reader(scene, poses, query)(hidden)
        after = core.reader(scene, poses + 1.0, query)(hidden)
        assert ((before - after).abs().max() > 1e-9).item() == knows


def test_the_attention_of_the_first_step_depends_on_the_query_alone():
    core = made()
    scene, poses, query = inputs()
    hidden = torch.zeros(SCENES * QUERIES, HIDDEN, STATE, STATE, dtype=torch.float64)
    same = core.reader(scene, poses, query[:1].expand(4, -1))(hidden)
    torch.testing.assert_close(same[0], same[1], rtol=1e-12, atol=1e-12)
    different = core.reader(scene, poses, query)(hidden)
    assert (different[0] - different[1]).abs().max() > 1e-6


def test_the_papers_numbers_are_the_defaults():
    config = GqnAttention.Config()
    assert (config.steps, config.reads, config.keys, config.heads) == (8, "step", "features", 1)
    assert config.places == "pose"
