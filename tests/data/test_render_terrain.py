import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from camera_projection import project

from zoo.data.built_in import BUCKETS, NUM_BUCKETS
from zoo.data.render import sampling, terrain, terrain_caster, terrain_land
from zoo.data.render.rng import stable_hash
from zoo.data.render.terrain import EXTENT, EYE_HEIGHT, LARGEST_GLANCE, PITCHES, STEP, TERRAIN, draw_map, draw_path
from zoo.data.render.terrain_caster import FARTHEST, NUM_DEPTHS, depths, look_up, render_lands, stack_lands
from zoo.data.render.terrain_land import (
    CELL,
    GRID_SIZE,
    HALF_LAND,
    OCTAVES,
    WATER_SHARE,
    Land,
    build_land,
    canonical,
    slopes,
)
from zoo.data.source import SPLITS

FEW = replace(TERRAIN, num_views=4)
PLACES = (np.arange(GRID_SIZE) + 0.5) * CELL - HALF_LAND


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def lands():
    return [build_land(number) for number in range(4)]


def flat_land(colour=None, height=None):
    zero = np.zeros((GRID_SIZE, GRID_SIZE), np.float32)
    colour = np.full((3, GRID_SIZE, GRID_SIZE), 0.5, np.float32) if colour is None else colour
    return Land(zero if height is None else height, zero, zero > 0, colour, (0.6, 0.0, 0.8))


def cell_of(value):
    return np.floor((np.asarray(value) + HALF_LAND) / CELL).astype(int).clip(0, GRID_SIZE - 1)


def test_a_scene_is_a_function_of_seed_split_and_index():
    options = {"seed": 0, "split": "train", "image_size": 16}
    first = FEW.render(scene_indices=range(3), **options)
    assert first.frames.shape == (3, 4, 16, 16, 3) and first.frames.dtype == torch.uint8
    assert first.cameras.shape == (3, 4, 5) and first.cameras.dtype == torch.float32
    mixed = FEW.render(scene_indices=[5, 2], **options)
    assert torch.equal(mixed.frames[1], first.frames[2])
    assert torch.equal(mixed.cameras[1], first.cameras[2])
    assert mixed.scenes[1] == first.scenes[2]
    (name, shape), *others = FEW.extras(image_size=16).items()
    assert name == "map" and not others
    assert first.extras[name].shape == (3, *shape.shape) and first.extras[name].dtype == shape.dtype
    np.testing.assert_array_equal(mixed.extras[name][1], first.extras[name][2])
    for change in ({"seed": 1}, {"split": "test"}):
        other = FEW.render(scene_indices=range(2), **(options | change))
        for index in range(2):
            assert not torch.equal(other.frames[index], first.frames[index])
    assert TERRAIN.num_views == 100


def test_images_do_not_depend_on_how_rays_are_cut_into_chunks(monkeypatch):
    drawn = [FEW.draw(seed=0, split="train", index=k) for k in range(2)]
    tensors = stack_lands([item.scene.land for item in drawn], origins=[item.scene.origin for item in drawn])
    cameras = torch.from_numpy(np.stack([item.cameras for item in drawn]))
    whole = render_lands(tensors, cameras=cameras, image_size=20)
    monkeypatch.setattr(sampling, "RAYS_PER_CHUNK", {"cpu": 1})
    assert torch.equal(render_lands(tensors, cameras=cameras, image_size=20), whole)


def test_splits_share_no_relief():
    names = {}
    for split in SPLITS:
        drawn = [
            TERRAIN.draw_content(terrain._draw_number, seed=seed, split=split, index=index)
            for seed in (0, 1)
            for index in range(20)
        ]
        names[split] = {name for _, name, _ in drawn}
        assert len(names[split]) == 40
        assert all(stable_hash(name) % NUM_BUCKETS in BUCKETS[split] for name in names[split])
        assert all(canonical(number) == name for number, name, _ in drawn)
    assert not names["train"] & names["test"] and not names["train"] & names["validation"]


def test_a_land_follows_from_its_number_and_has_water_and_objects(lands):
    again = build_land(2)
    assert all(np.array_equal(a, b) for a, b in zip(again, lands[2], strict=True))
    assert not np.array_equal(lands[0].height, lands[1].height)
    for land in lands:
        assert land.height.dtype == land.ground.dtype == np.float32
        assert (land.ground >= 0.0).all() and land.ground.max() > 0.3
        assert WATER_SHARE[0] - 0.01 < (land.ground == 0.0).mean() < WATER_SHARE[1] + 0.01
        assert (land.height >= land.ground).all()
        standing = land.height > land.ground + 0.01
        assert 0.005 < standing.mean() < 0.15
        assert land.blocked[standing].all() and land.blocked[land.ground == 0.0].mean() > 0.999
        assert not land.blocked.all()
        assert land.colour.min() >= 0.0 and land.colour.max() <= 1.0
        assert np.linalg.norm(land.sun) == pytest.approx(1.0)
        water = (land.ground == 0.0) & ~standing
        red, _, blue = land.colour[:, water]
        assert (blue > red).mean() > 0.97


def test_relief_is_smooth_noise_through_its_knots():
    """Where a knot of the coarsest octave lies the noise has its value, and no octave leaves its range."""
    knots = generator().random((OCTAVES[1][0] + 1,) * 2) * 2.0 - 1.0
    noise = terrain_land._spread(knots)
    period = GRID_SIZE // OCTAVES[1][0]
    inner = noise[period::period, period::period]
    np.testing.assert_allclose(inner, knots[1:-1, 1:-1], atol=1e-3)
    assert noise.min() >= knots.min() and noise.max() <= knots.max()
    assert np.abs(np.diff(noise, axis=0)).max() < 2.0 * 1.5 / period * 1.01


def test_slopes_are_those_of_a_plane():
    x, y = np.meshgrid(PLACES, PLACES)
    east, north = slopes((0.3 * x - 0.7 * y).astype(np.float32))
    np.testing.assert_allclose(east[1:-1, 1:-1], 0.3, atol=1e-3)
    np.testing.assert_allclose(north[1:-1, 1:-1], -0.7, atol=1e-3)


def test_an_object_is_where_it_is_placed():
    black = np.zeros((3, GRID_SIZE, GRID_SIZE), np.float32)
    land = flat_land(black, np.full((GRID_SIZE, GRID_SIZE), 0.1, np.float32))
    tower = terrain_land.LandObject("tower", 0.5, -1.0, 0.1, 0.06, 0.4, (1.0, 0.0, 0.0))
    terrain_land.place_object(tower, land)
    x, y = np.meshgrid(PLACES, PLACES)
    away = np.maximum(np.abs(x - 0.5), np.abs(y + 1.0))
    np.testing.assert_array_equal(land.height > 0.1, away <= 0.06)
    assert land.height.max() == pytest.approx(0.5)
    np.testing.assert_array_equal(land.blocked, away < 0.06 + terrain_land.CLEARANCE)
    np.testing.assert_array_equal(land.colour[0] > 0, away < 0.06 + terrain_land.SIDE)


def test_a_path_stays_in_its_square_on_open_ground(lands):
    for seed, land in enumerate(lands):
        origin, cameras = draw_path(generator(seed), land=land, num_views=100)
        assert cameras.shape == (100, 5)
        assert np.abs(cameras[:, :2]).max() <= EXTENT
        assert np.ptp(cameras[:, :2], axis=0).max() > 0.5 * EXTENT
        # Relative to the middle of the whole path, of which the cameras are a hundred places.
        assert np.abs(cameras[:, :3].max(0) + cameras[:, :3].min(0)).max() < 0.05
        places = cameras[:, :3] + origin
        row, column = cell_of(places[:, 1]), cell_of(places[:, 0])
        assert not land.blocked[row, column].any()
        above = places[:, 2] - land.ground[row, column]
        assert above.min() > 0.5 * EYE_HEIGHT and above.max() < 1.5 * EYE_HEIGHT
        assert PITCHES[0] <= cameras[:, 4].min() and cameras[:, 4].max() <= PITCHES[1]
        steps = np.diff(cameras[:, :2], axis=0)
        assert np.hypot(*steps.T).max() <= 5 * STEP + 1e-9
        moving = np.hypot(*steps.T) > 4.5 * STEP
        off = cameras[:-1, 3] - np.arctan2(steps[:, 1], steps[:, 0])
        off = np.abs((off + math.pi) % (2 * math.pi) - math.pi)[moving]
        assert np.median(off) < 0.5 * LARGEST_GLANCE and (off < LARGEST_GLANCE + 0.3).mean() > 0.9


def test_the_number_of_views_changes_neither_land_nor_path():
    few, many = (replace(TERRAIN, num_views=count).draw(seed=0, split="train", index=1) for count in (4, 100))
    assert few.scene == many.scene and few.name == many.name
    gap = np.abs(few.cameras[:, None, :3] - many.cameras[None, :, :3]).max(-1).min(1)
    assert gap.max() < 4 * STEP


def test_a_land_without_a_dry_place_still_gives_a_path():
    land = flat_land()._replace(blocked=np.ones((GRID_SIZE, GRID_SIZE), bool))
    origin, cameras = draw_path(generator(), land=land, num_views=3)
    assert np.isfinite(cameras).all() and origin[2] == pytest.approx(EYE_HEIGHT)


def view_of(tensors, camera, sides, slopes_):
    """Returns rays of one camera that lie exactly in planes of its profiles."""
    x, y, z, yaw = camera
    position = torch.tensor([x, y, z], dtype=torch.float32)[:, None, None]
    turn = (math.cos(yaw), math.sin(yaw))
    return terrain_caster._View(
        torch.zeros(1, 1, dtype=torch.int32),
        position,
        ahead=torch.tensor(turn)[:, None, None],
        aside=torch.tensor([turn[1], -turn[0]])[:, None, None],
        widest=torch.tensor([[0.5]]),
        side=sides[None],
        slope=slopes_[None],
    )


def test_horizons_and_search_equal_marching_every_ray(lands):
    land, planes = lands[1], 32
    tensors = stack_lands([land], origins=[(0.0, 0.0, 0.0)])
    # In the middle of a plane, of slopes from steeply down to steeply up.
    sides = (((torch.arange(planes) + 0.5) / planes * 2 - 1) * 0.5).repeat_interleave(60)
    steep = torch.linspace(-0.9, 0.6, 60).repeat(planes)
    camera = (0.31, -0.4, float(land.height[cell_of(-0.4), cell_of(0.31)]) + 0.1, 2.2)
    view = view_of(tensors, camera, sides, steep)
    reach = terrain_caster._reach(tensors, view, num_planes=planes)[0]

    depth = depths(torch.device("cpu")).numpy().astype(np.float64)
    ahead = np.array([math.cos(2.2), math.sin(2.2)])
    aside = np.array([ahead[1], -ahead[0]])
    way = ahead + sides.numpy()[:, None] * aside
    x, y = np.array(camera[:2])[:, None, None] + way.T[:, :, None] * depth
    ground = land.height[cell_of(y), cell_of(x)]
    below = camera[2] + steep.numpy()[:, None] * depth <= ground
    first = np.where(below.any(1), below.argmax(1), NUM_DEPTHS)
    hit = np.isfinite(reach.numpy())
    np.testing.assert_array_equal(hit[first == NUM_DEPTHS], False)
    assert 0.4 < hit.mean() < 0.95
    # The first place that is under ground bounds the answer on the far side, the one before on the near side. A cell's
    # border may fall on either side by rounding, which is why a few may differ.
    near = depth[np.maximum(first - 1, 0)] - 1e-6
    far = depth[np.minimum(first, NUM_DEPTHS - 1)] + 1e-6
    good = (first < NUM_DEPTHS) & hit & (reach.numpy() >= near) & (reach.numpy() <= far)
    assert (good | ((first == NUM_DEPTHS) & ~hit)).mean() > 0.995


def test_rays_meet_flat_land_where_geometry_predicts():
    tensors = stack_lands([flat_land()], origins=[(0.0, 0.0, 0.0)])
    steep = torch.linspace(-1.2, -0.06, 200)
    view = view_of(tensors, (0.0, 0.0, 0.15, 0.7), torch.linspace(-0.45, 0.45, 200), steep)
    reach = terrain_caster._reach(tensors, view, num_planes=48)[0]
    torch.testing.assert_close(reach, 0.15 / -steep, rtol=1e-4, atol=1e-5)
    up = view_of(tensors, (0.0, 0.0, 0.15, 0.7), torch.zeros(3), torch.tensor([0.0, 0.3, -0.05]))
    assert torch.isinf(terrain_caster._reach(tensors, up, num_planes=48)).all()


def test_a_tower_appears_where_the_camera_model_predicts():
    x, y = np.meshgrid(PLACES, PLACES)
    standing = np.maximum(np.abs(x - 0.8), np.abs(y - 0.5)) < 0.05
    colour = np.full((3, GRID_SIZE, GRID_SIZE), 0.2, np.float32)
    colour[0, np.maximum(np.abs(x - 0.8), np.abs(y - 0.5)) < 0.07] = 1.0
    land = flat_land(colour, np.where(standing, 0.5, 0.0).astype(np.float32))
    origin = (0.1, -0.2, 0.05)
    tensors = stack_lands([land], origins=[origin])
    camera = torch.tensor([0.0, 0.1, 0.1, 0.75, 0.12])
    frame = render_lands(tensors, cameras=camera[None, None], image_size=64)[0, 0].int()
    red = (frame[..., 0] - frame[..., 2]) > 60
    base = torch.tensor([0.8, 0.5, 0.0]) - torch.tensor(origin)
    for height, inside in ((0.05, True), (0.3, True), (0.45, True), (0.62, False)):
        seen = project(base + torch.tensor([0.0, 0.0, height]), cameras=camera, image_size=64)
        column, row = seen.coordinates.long().tolist()
        assert red[row, column].item() is inside
    columns = red.any(0).nonzero().squeeze(1)
    # As wide as the square tower seen over a corner, and no wider.
    wide = 0.14 * math.sqrt(2.0) / 0.85 * 64 / (2 * math.tan(math.radians(25.0)))
    assert 0.5 * wide < columns.numel() < wide + 1


def test_fog_hides_the_far_end_and_the_sky_is_brighter_towards_the_sun():
    black = flat_land(np.zeros((3, GRID_SIZE, GRID_SIZE), np.float32))
    tensors = stack_lands([black], origins=[(0.0, 0.0, 0.0)])
    cameras = torch.tensor([[[0.0, 0.0, 0.12, 0.0, 0.0], [0.0, 0.0, 0.12, math.pi, 0.0]]])
    towards, away = render_lands(tensors, cameras=cameras, image_size=64)[0].int()
    column = away[32:, 32].sum(-1)
    assert (column.diff() <= 0).all() and column[0] > 450 and column[-1] < 40
    assert (away[31, 32] - away[32, 32]).abs().max() < 20
    assert towards[0, 32].sum() > away[0, 32].sum() + 10
    assert FARTHEST + EXTENT <= HALF_LAND + 0.2


def test_a_look_up_is_linear_between_places_and_averages_from_afar():
    colour = np.zeros((3, GRID_SIZE, GRID_SIZE), np.float32)
    colour[0] = np.arange(GRID_SIZE) / 1000.0
    colour[1] = np.arange(GRID_SIZE)[:, None] / 1000.0
    colour[2] = np.indices((GRID_SIZE, GRID_SIZE)).sum(0) % 2
    tensors = stack_lands([flat_land(), flat_land(colour)], origins=[(0.0, 0.0, 0.0)] * 2)
    x, y = torch.tensor([0.13, -2.0, 3.6]), torch.tensor([-1.0, 0.7, -3.6])
    for footprint, checks in ((0.5 * CELL, None), (1.5 * CELL, 127.5), (7.0 * CELL, 127.5)):
        red, green, blue = look_up(
            tensors, scene=torch.ones(3, dtype=torch.int32), x=x, y=y, footprint=torch.full((3,), footprint)
        )
        for got, place in ((red, x), (green, y)):
            expected = ((place[:2] + HALF_LAND) / CELL - 0.5) * 0.255
            torch.testing.assert_close(got[:2], expected, atol=0.6, rtol=0)
        assert red[2] > 128 and green[2] < 2.0
        assert checks is None or (blue - checks).abs().max() < 1.0


def test_the_map_shows_the_square_of_the_scene_with_the_north_at_the_top():
    colour = np.zeros((3, GRID_SIZE, GRID_SIZE), np.float32)
    origin = (0.4, -0.3, 0.2)
    x, y = np.meshgrid(PLACES - origin[0], PLACES - origin[1])
    colour[0], colour[1] = x > 0, y > 0
    colour[2] = np.hypot(x - 0.5, y - 0.25) < 0.1
    image = draw_map(stack_lands([flat_land(colour)], origins=[origin]), image_size=64)[0].int()
    assert image[:31, 33:, :2].min() > 200 and image[33:, :31, :2].max() < 50
    assert image[33:, 33:, 0].min() > 200 and image[33:, 33:, 1].max() < 50
    assert image[:31, :31, 0].max() < 50 and image[:31, :31, 1].min() > 200
    rows, columns = (image[..., 2] > 128).nonzero().double().mean(0) + 0.5
    assert columns.item() / 32 - 1 == pytest.approx(0.5 / EXTENT, abs=0.02)
    assert 1 - rows.item() / 32 == pytest.approx(0.25 / EXTENT, abs=0.02)


def test_a_steep_pitch_is_refused():
    tensors = stack_lands([flat_land()], origins=[(0.0, 0.0, 0.0)])
    with pytest.raises(ValueError, match=r"a pitch beyond 0\.524 radians"):
        render_lands(tensors, cameras=torch.tensor([[[0.0, 0.0, 0.2, 0.0, -0.6]]]), image_size=8)
