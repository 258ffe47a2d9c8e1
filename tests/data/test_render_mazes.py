import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from camera_projection import project

from zoo.data.built_in import BUCKETS, NUM_BUCKETS
from zoo.data.camera import camera_axes
from zoo.data.render import maze_layout, maze_surfaces
from zoo.data.render.maze_layout import (
    CORRIDOR,
    EYE_HEIGHT,
    HALF_WIDTH,
    LARGEST_PITCH,
    MARGIN,
    SIZE,
    SOLID,
    canonical,
    distance_to_walls,
    draw_maze,
)
from zoo.data.render.maze_march import FAR, march
from zoo.data.render.maze_surfaces import stack_mazes
from zoo.data.render.mazes import CAMERA_ABOVE, MAZES, render_mazes
from zoo.data.render.rng import stable_hash
from zoo.data.render.textures import FLOOR_TEXTURES, TILE_SIZE, WALL_TEXTURES, mip_levels
from zoo.data.render.vectors import Vector
from zoo.data.source import SPLITS

FEW = replace(MAZES, num_views=5)
WALLS, FLOORS = tuple(WALL_TEXTURES), tuple(FLOOR_TEXTURES)


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def mazes():
    return [draw_maze(generator(seed))[0] for seed in range(120)]


def reachable(free):
    """Returns the cells that can be reached from the first free one."""
    seen = np.zeros_like(free)
    front = [tuple(np.argwhere(free)[0])]
    while front:
        row, column = front.pop()
        if free[row, column] and not seen[row, column]:
            seen[row, column] = True
            front += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return seen


def test_mazes_are_one_or_two_rooms_joined_by_corridors(mazes):
    found = set()
    for maze in mazes:
        zones = np.array(maze.zones)
        ring = np.ones((SIZE, SIZE), bool)
        ring[1:-1, 1:-1] = False
        assert zones.shape == (9, 9) and (zones[ring] == SOLID).all()
        assert (reachable(maze.free) == maze.free).all()
        num_rooms = zones.max()
        sides = []
        for number in range(1, num_rooms + 1):
            rows, columns = np.nonzero(zones == number)
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert len(rows) == height * width
            sides += [height, width]
        found |= {(num_rooms, side) for side in sides}
        corridor = zones == CORRIDOR
        assert not (corridor[1:, 1:] & corridor[:-1, 1:] & corridor[1:, :-1] & corridor[:-1, :-1]).any()
        assert corridor.sum() >= maze_layout.FEWEST_CORRIDOR_CELLS
        assert len(maze.walls) == len(maze.floors) == num_rooms + 1
        assert len({item.texture for item in maze.walls}) == len(maze.walls)
    assert found == {(1, 2), (1, 3), (2, 2), (2, 3)}
    assert len({canonical(np.array(maze.zones)) for maze in mazes}) == len(mazes)
    assert {item.texture for maze in mazes for item in maze.walls} == set(WALLS)
    assert {item.texture for maze in mazes for item in maze.floors} == set(FLOORS)
    assert any(maze.panels for maze in mazes)


def test_a_layout_keeps_its_name_however_it_is_turned_mirrored_or_textured(mazes):
    for maze in mazes[:20]:
        zones = np.array(maze.zones)
        name = canonical(zones)
        for side in (zones, zones.T):
            for quarter in range(4):
                assert canonical(np.rot90(side, quarter)) == name
        assert canonical(np.where(zones > 0, 1, zones)) == name
        other = zones.copy()
        other[tuple(np.argwhere(zones[1:-1, 1:-1] == SOLID)[0] + 1)] = CORRIDOR
        assert canonical(other) != name


def test_a_scene_is_a_function_of_seed_split_and_index():
    options = {"seed": 0, "split": "train", "image_size": 16}
    first = FEW.render(scene_indices=range(3), **options)
    assert first.frames.shape == (3, 5, 16, 16, 3) and first.frames.dtype == torch.uint8
    assert first.cameras.shape == (3, 5, 5) and first.cameras.dtype == torch.float32
    mixed = FEW.render(scene_indices=[7, 2], **options)
    assert torch.equal(mixed.frames[1], first.frames[2])
    assert torch.equal(mixed.cameras[1], first.cameras[2])
    assert mixed.scenes[1] == first.scenes[2]
    for name, shape in FEW.extras(image_size=16).items():
        assert first.extras[name].shape == (3, *shape.shape) and first.extras[name].dtype == shape.dtype
        np.testing.assert_array_equal(mixed.extras[name][1], first.extras[name][2])
    for change in ({"seed": 1}, {"split": "test"}, {"split": "validation"}):
        other = FEW.render(scene_indices=range(3), **(options | change))
        for index in range(3):
            assert not torch.equal(other.frames[index], first.frames[index])
    assert MAZES.num_views == 300


def test_images_do_not_depend_on_how_rays_are_cut_into_chunks(mazes, monkeypatch):
    cameras = torch.from_numpy(np.stack([FEW.draw(seed=0, split="train", index=k).cameras for k in range(3)]))
    tensors = stack_mazes([FEW.draw(seed=0, split="train", index=k).scene for k in range(3)])
    whole = render_mazes(tensors, cameras=cameras, image_size=20)
    monkeypatch.setattr("zoo.data.render.sampling.RAYS_PER_CHUNK", {"cpu": 1})
    assert torch.equal(render_mazes(tensors, cameras=cameras, image_size=20), whole)


def test_splits_share_no_layout():
    names = {
        split: {FEW.draw(seed=seed, split=split, index=index).name for seed in (0, 1) for index in range(8)}
        for split in SPLITS
    }
    for split, found in names.items():
        assert len(found) == 16
        assert all(stable_hash(name) % NUM_BUCKETS in BUCKETS[split] for name in found)
    assert not names["train"] & names["test"] and not names["train"] & names["validation"]


def test_cameras_are_at_all_free_places_and_look_in_all_directions():
    drawn = replace(MAZES, num_views=400).draw(seed=0, split="train", index=3)
    free, visited = drawn.scene.free, np.zeros((SIZE, SIZE), bool)
    for x, y, z, yaw, pitch in drawn.cameras.astype(float).tolist():
        row, column = math.floor(y + HALF_WIDTH), math.floor(x + HALF_WIDTH)
        assert free[row, column]
        assert distance_to_walls(free, x=x, y=y) >= MARGIN - 1e-6
        visited[row, column] = True
        assert z == pytest.approx(EYE_HEIGHT) and abs(pitch) <= LARGEST_PITCH and abs(yaw) <= math.pi + 1e-6
    assert (visited == free).all()
    assert np.ptp(drawn.cameras[:, 3]) > 6.0 and np.ptp(drawn.cameras[:, 4]) > 1.9 * LARGEST_PITCH


def test_distance_to_walls_is_that_to_the_nearest_solid_square(mazes):
    free = mazes[0].free
    corners = np.argwhere(~free)[:, ::-1] - HALF_WIDTH
    rng = generator(1)
    for _ in range(200):
        x, y = 7.0 * rng.random(2) - 3.5
        gap = np.maximum(np.maximum(corners - (x, y), (x, y) - corners - 1.0), 0.0)
        assert distance_to_walls(free, x=x, y=y) == pytest.approx(min(1.0, np.hypot(*gap.T).min()))


def test_marching_the_grid_equals_intersecting_every_box(mazes):
    rng = generator(2)
    free = np.stack([maze.free for maze in mazes[:4]])
    scene, row, column = (part.repeat(12) for part in np.nonzero(free))
    inside = 0.02 + 0.96 * rng.random((2, len(scene)))
    start = np.stack([column, row]) - HALF_WIDTH + inside
    direction = rng.normal(size=(2, len(scene)))
    limit = np.exp(rng.normal(size=len(scene)) + 0.5)
    arrival = march(
        torch.from_numpy(np.where(free, FAR, 0.0)).flatten(),
        x=torch.from_numpy(start[0]),
        y=torch.from_numpy(start[1]),
        cell=torch.from_numpy((scene * SIZE + row) * SIZE + column).int(),
        direction=Vector(*torch.from_numpy(direction), torch.zeros(len(scene))),
        limit=torch.from_numpy(limit),
    )
    # Every solid cell as a box [P, 81].
    low = (np.indices((SIZE, SIZE))[::-1] - HALF_WIDTH).reshape(2, 1, -1)
    ends = np.stack([low - start[..., None], low + 1.0 - start[..., None]]) / direction[..., None]
    enter, leave = ends.min(0).max(0), ends.max(0).min(0)
    distance = np.where((enter < leave) & (enter > 0) & ~free[scene].reshape(len(scene), -1), enter, np.inf)
    nearest = distance.min(1)
    np.testing.assert_allclose(arrival.distance, np.minimum(nearest, limit), rtol=1e-9)
    hit = nearest < limit
    assert 0.3 < hit.mean() < 0.95
    box = distance.argmin(1) + scene * SIZE**2
    np.testing.assert_array_equal(arrival.cell.numpy()[hit], box[hit])
    across_x = ends.min(0)[0] > ends.min(0)[1]
    np.testing.assert_array_equal(arrival.along_x.numpy()[hit], across_x[np.arange(len(box)), distance.argmin(1)][hit])
    # Where the limit came first, the cell is the one where the ray then is.
    place = start + direction * limit
    expected = np.floor(place + HALF_WIDTH).astype(int)
    np.testing.assert_array_equal(arrival.cell.numpy()[~hit], ((scene * SIZE + expected[1]) * SIZE + expected[0])[~hit])


def test_the_map_agrees_with_the_grid():
    size = 64
    rendering = FEW.render(seed=0, scene_indices=range(6), split="train", image_size=size)
    lit = maze_surfaces.AMBIENT + maze_surfaces.SKYLIGHT + maze_surfaces.SUNLIGHT * math.sin(maze_surfaces.SUN_HEIGHT)
    top = maze_surfaces._coping(np.array(0.5), np.array(0.5)) * 255.0 * lit
    rows, columns = (part.ravel() for part in np.indices((SIZE, SIZE))[:, 1:-1, 1:-1])
    for maze, image, camera in zip(
        rendering.scenes, rendering.extras["map"], rendering.extras["map_camera"], strict=True
    ):
        free = maze.free[rows, columns]
        heights = np.where(free, 0.0, maze_surfaces.WALL_HEIGHT)
        centres = np.stack([columns - HALF_WIDTH + 0.5, rows - HALF_WIDTH + 0.5, heights], axis=-1)
        seen = project(torch.from_numpy(centres), cameras=torch.from_numpy(camera).double(), image_size=size)
        i, j = seen.coordinates.long().numpy().T
        gap = np.abs(image[j, i] - top).max(-1)
        assert (gap[free] > 20.0).all() and (gap[~free] < 2.0).all()


def test_the_map_is_a_view_from_above_with_the_north_at_the_top():
    camera = torch.tensor(CAMERA_ABOVE, dtype=torch.float64)
    axes = camera_axes(camera)
    torch.testing.assert_close(axes.forward, torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(axes.right, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(axes.up, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    corner = torch.tensor([4.0, 4.0, maze_surfaces.WALL_HEIGHT], dtype=torch.float64)
    seen = project(corner, cameras=camera, image_size=64)
    torch.testing.assert_close(seen.coordinates, torch.tensor([64.0, 0.0], dtype=torch.float64))
    rendering = FEW.render(seed=0, scene_indices=[0, 1], split="test", image_size=24)
    queries = torch.from_numpy(rendering.extras["map_camera"])[:, None]
    again = render_mazes(stack_mazes(rendering.scenes), cameras=queries, image_size=24)
    np.testing.assert_array_equal(again[:, 0].numpy(), rendering.extras["map"])


def test_shadows_are_where_the_way_to_the_sun_is_blocked(mazes):
    rng = generator(3)
    for maze in mazes[:3]:
        rows, columns = (part.repeat(40) for part in np.nonzero(maze.free))
        x, y = columns - HALF_WIDTH + rng.random(len(rows)), rows - HALF_WIDTH + rng.random(len(rows))
        z = maze_surfaces.WALL_HEIGHT * rng.random(len(rows))
        tensors = stack_mazes([maze])
        dark = maze_surfaces.in_shadow(
            tensors.room_ahead,
            x=torch.from_numpy(x)[None],
            y=torch.from_numpy(y)[None],
            z=torch.from_numpy(z)[None],
            scene=torch.zeros(1, 1, dtype=torch.int32),
            sun=tensors.sun[:, :, None].double(),
        )[0].numpy()
        # Small steps towards the sun, until the way is above the walls.
        reach = (maze_surfaces.WALL_HEIGHT - z) / math.tan(maze_surfaces.SUN_HEIGHT)
        hidden = np.zeros(len(x), bool)
        for share in np.linspace(0.0, 1.0, 400, endpoint=False):
            row = np.floor(y + share * reach * math.sin(maze.sun) + HALF_WIDTH).astype(int)
            column = np.floor(x + share * reach * math.cos(maze.sun) + HALF_WIDTH).astype(int)
            hidden |= ~maze.free[row, column]
        assert 0.02 < hidden.mean() < 0.8
        assert (dark != hidden).mean() < 0.003


def test_a_wall_straight_ahead_appears_at_its_distance():
    """The top of a wall seen from the middle of a cell appears where the camera model says."""
    zones = np.full((SIZE, SIZE), SOLID)
    zones[4, 2:7] = CORRIDOR
    plain = maze_layout.HuedTexture(texture="orange", hue_turn=0)
    maze = maze_layout.Maze(
        tuple(map(tuple, zones.tolist())),
        (plain,),
        (maze_layout.HuedTexture(texture="blue floor", hue_turn=0),),
        (),
        0.3,
    )
    camera = torch.tensor([[[-1.0, 0.0, 0.30, 0.0, 0.0]]])
    frame = render_mazes(stack_mazes([maze]), cameras=camera, image_size=128)[0, 0].int()
    edges = torch.tensor([[2.5, 0.0, maze_surfaces.WALL_HEIGHT], [2.5, 0.0, 0.0]])
    top, bottom = project(edges, cameras=camera[0, 0], image_size=128).coordinates[:, 1].tolist()
    blue = frame[:, 64, 2] > frame[:, 64, 0]
    assert blue[: int(top)].all() and not blue[int(top) + 1 : int(bottom)].any() and blue[int(bottom) + 1 :].all()


def test_turned_hues_keep_greys_and_brightness():
    assert maze_surfaces.hue_turn(0) == pytest.approx(np.eye(3))
    for hue in range(maze_layout.NUM_HUES):
        turn = maze_surfaces.hue_turn(hue)
        assert turn @ np.ones(3) == pytest.approx(np.ones(3))
        assert maze_surfaces.LUMA @ turn == pytest.approx(maze_surfaces.LUMA)
    assert maze_surfaces.hue_turn(4) @ [1.0, 0.0, 0.0] == pytest.approx(
        np.array([0.0, 1.0, 0.0]) + maze_surfaces.LUMA @ np.array([1.0, -1.0, 0.0])
    )


def test_a_look_up_gives_the_texel_of_the_right_level():
    atlas = maze_surfaces.hued_atlas(torch.device("cpu"))
    number = maze_surfaces.hued_index(maze_layout.HuedTexture(texture="cerise", hue_turn=0))
    levels = mip_levels(WALL_TEXTURES["cerise"])
    for level, image in enumerate(levels):
        side = image.shape[0]
        for row, column in ((0, 0), (1, side - 1), (side - 1, side // 2)):
            packed = maze_surfaces.look_up(
                atlas,
                number=torch.tensor([number], dtype=torch.int32),
                u=torch.tensor([(column + 0.5) / side - 3.0]),
                v=torch.tensor([(row + 0.5) / side + 2.0]),
                footprint=torch.tensor([2.0**level / TILE_SIZE * 0.99]),
            ).item()
            colour = [packed & 255, packed >> 8 & 255, packed >> 16]
            assert colour == np.round(image[row, column] * 255.0).astype(int).tolist()
