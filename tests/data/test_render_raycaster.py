import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from camera_projection import look_at, project
from test_render_primitives import INSIDE

from zoo.data.render import raycaster, shading
from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.raycaster import render
from zoo.data.render.scene import Room, Scene, SceneObject, stack_scenes
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES
from zoo.errors import DataError

ROOM = Room(width=7.0, wall_height=1.5, wall="red", floor="white floor")


def item(shape="sphere", centre=(0.0, 0.0, 0.4), size=0.4, turn=0.0, colour=(1.0, 0.0, 0.0)):
    return SceneObject(shape, centre, (size, size, size), turn, colour)


def room_of_all_shapes(num_objects, room=ROOM):
    objects = []
    for k in range(num_objects):
        shape = PRIMITIVE_NAMES[k]
        angle = 2 * math.pi * k / num_objects
        centre = (1.2 * math.cos(angle), 1.2 * math.sin(angle), 0.3 * PRIMITIVES[shape].half_height)
        objects.append(item(shape, centre, 0.3, turn=0.5 * k, colour=(0.9, 0.1 * k, 0.2)))
    return Scene(tuple(objects), (0.5, 1.0, 3.5), room)


def cameras_at(*positions, target=(0.0, 0.0, 0.3)):
    position = torch.tensor(positions, dtype=torch.float64)
    yaw, pitch = look_at(position, target=torch.tensor(target, dtype=torch.float64).expand_as(position))
    return torch.cat([position, yaw[:, None], pitch[:, None]], dim=-1)


VIEWS = cameras_at((3.0, 0.0, 1.3), (0.0, -3.0, 1.3), (-2.0, 2.2, 0.9))


def image(scene, view, **options):
    options.setdefault("image_size", 48)
    return render(stack_scenes([scene]), cameras=view[None, None], **options)[0, 0]


def test_bytes_depend_neither_on_the_batch_nor_on_chunks_nor_on_threads(monkeypatch):
    scenes = [room_of_all_shapes(count) for count in (1, 7, 3)]
    cameras = VIEWS[None].expand(3, -1, -1)
    together = render(stack_scenes(scenes), cameras=cameras, image_size=24)
    for scene, frames in zip(scenes, together, strict=True):
        assert torch.equal(render(stack_scenes([scene]), cameras=VIEWS[None], image_size=24)[0], frames)
    for budget in (1, 2 * 48**2, 1 << 30):
        monkeypatch.setattr(raycaster, "RAYS_PER_CHUNK", {"cpu": budget})
        assert torch.equal(render(stack_scenes(scenes), cameras=cameras, image_size=24), together)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(render(stack_scenes(scenes), cameras=cameras, image_size=24), together)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("image_size", "samples_per_side"), [(1, 1), (4, 1), (5, 3)])
def test_any_size_and_number_of_samples_can_be_rendered(image_size, samples_per_side):
    frame = image(room_of_all_shapes(2), VIEWS[0], image_size=image_size, samples_per_side=samples_per_side)
    assert frame.shape == (image_size, image_size, 3)
    whole = image(room_of_all_shapes(2), VIEWS[0], image_size=60).double().mean((0, 1))
    assert image_size == 1 or (frame.double().mean((0, 1)) - whole).abs().max() < 25


def test_images_of_one_batch_are_all_different():
    scenes = [room_of_all_shapes(count) for count in (1, 2, 3)]
    frames = render(stack_scenes(scenes), cameras=VIEWS[None].expand(3, -1, -1), image_size=24)
    assert len({frame.numpy().tobytes() for frame in frames.flatten(0, 1)}) == 9


@pytest.mark.parametrize("room", [ROOM, None])
def test_a_pixel_is_the_mean_of_its_samples(room):
    scene = room_of_all_shapes(5, room)
    fine = image(scene, VIEWS[0], image_size=96, samples_per_side=1).double()
    # Textures choose their level by the distance between samples, which is the same in both.
    coarse = image(scene, VIEWS[0], image_size=48, samples_per_side=2).double()
    mean = fine.view(48, 2, 48, 2, 3).mean(dim=(1, 3))
    assert (coarse - mean).abs().max() <= 1.0


@pytest.mark.parametrize("shape", PRIMITIVE_NAMES)
def test_an_object_covers_the_pixels_of_its_corners_and_no_others(shape):
    """The silhouette must be the projection of points of the surface, turned and scaled."""
    solid = SceneObject(shape, (0.3, -0.2, 0.5), (0.5, 0.3, 0.4), 0.8, (1.0, 0.0, 0.0))
    view = cameras_at((2.6, 1.0, 1.6))[0]
    red = image(Scene((solid,), (1.0, 3.0, 4.0)), view, image_size=64, samples_per_side=1).int()
    covered = red[..., 0] > 3 * red[..., 2]
    grid = torch.linspace(-2.0, 2.0, 81, dtype=torch.float64)
    local = torch.stack(torch.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3)
    local = local[torch.from_numpy(INSIDE[shape](*local.T.numpy()))] * torch.tensor(solid.scale)
    cosine, sine = math.cos(solid.turn), math.sin(solid.turn)
    turn = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    points = local @ turn.T + torch.tensor(solid.centre, dtype=torch.float64)
    seen = project(points, cameras=view, image_size=64).coordinates.floor().long()
    expected = torch.zeros(64, 64, dtype=torch.bool)
    expected[seen[:, 1], seen[:, 0]] = True
    assert covered.sum() > 100
    # Pixels at the rim are covered in part only.
    assert (covered & ~expected).sum() <= 0.02 * covered.sum()
    assert (expected & ~covered).sum() <= 0.16 * covered.sum()


def test_the_nearer_object_hides_the_farther():
    near, far = (
        item(centre=(1.0, 0.0, 0.4), colour=(1.0, 0.0, 0.0)),
        item(centre=(-1.0, 0.0, 0.4), colour=(0.0, 0.0, 1.0)),
    )
    view = cameras_at((3.0, 0.0, 0.4), target=(0.0, 0.0, 0.4))[0]
    for objects in ((near, far), (far, near)):
        middle = image(Scene(objects, (2.0, 1.0, 3.0), ROOM), view)[24, 24]
        assert middle[0] > 100 and middle[2] < 10


def test_walls_floor_and_sky_are_where_they_belong():
    view = cameras_at((3.0, 0.0, 1.3), target=(0.0, 0.0, 0.9))[0]
    frame = image(Scene((item(centre=(0.0, 3.0, 0.4)),), (0.0, 0.0, 4.0), ROOM), view, image_size=64)
    for height, distance, colour in ((1.4, 6.5, "red"), (1.6, 6.5, "sky"), (0.1, 6.5, "red"), (0.0, 5.0, "white")):
        point = torch.tensor([3.0 - distance, 0.0, height], dtype=torch.float64)
        column, row = project(point, cameras=view, image_size=64).coordinates.tolist()
        red, green, blue = frame[int(row), int(column)].int().tolist()
        expected = {
            "red": red > 1.4 * blue,
            "sky": blue > red + 10 > 100,
            "white": abs(red - blue) < 20 and green > 100,
        }
        assert expected[colour], (height, distance, colour, (red, green, blue))


@pytest.mark.parametrize(
    ("yaw", "wall"), [(0.0, (3.5, 0.0)), (1.57, (0.0, 3.5)), (3.14, (-3.5, 0.0)), (-1.57, (0.0, -3.5))]
)
def test_each_wall_ends_at_its_height(yaw, wall):
    view = torch.tensor([0.0, 0.0, 1.3, yaw, 0.0], dtype=torch.float64)
    scene = Scene((item(centre=(0.0, 0.0, -5.0)),), (0.5, 0.5, 4.0), ROOM)
    frame = image(scene, view, image_size=64, samples_per_side=1).int()
    upper, lower = (
        project(torch.tensor([*wall, z], dtype=torch.float64), cameras=view, image_size=64).coordinates[1].item()
        for z in (1.5, 0.0)
    )
    middle = frame[:, 32]
    is_red = middle[:, 0] > 1.4 * middle[:, 2]
    rows = is_red.nonzero().squeeze(1)
    assert rows.min().item() == pytest.approx(upper, abs=1.0)
    assert rows.max().item() + 1 == pytest.approx(lower, abs=1.0)


@pytest.mark.parametrize("wall", list(WALL_TEXTURES))
@pytest.mark.parametrize("floor", list(FLOOR_TEXTURES))
def test_every_texture_is_used(wall, floor):
    scene = room_of_all_shapes(1, ROOM.model_copy(update={"wall": wall, "floor": floor}))
    other = room_of_all_shapes(1, ROOM.model_copy(update={"wall": "red", "floor": "white floor"}))
    same = torch.equal(image(scene, VIEWS[1]), image(other, VIEWS[1]))
    assert same == ((wall, floor) == ("red", "white floor"))


def shadow_test_scene(height):
    """A ball under a lamp straight above it; the floor is seen from beside."""
    return Scene((item(centre=(0.0, 0.0, height), size=0.3),), (0.0, 0.0, 3.0), ROOM)


def test_the_shadow_of_a_ball_is_a_disc_of_the_right_radius():
    view = cameras_at((2.8, 0.0, 1.2), target=(0.0, 0.0, 0.0))[0]
    height, lamp, radius = 1.4, 3.0, 0.3
    slope = math.tan(math.asin(radius / (lamp - height)))
    frame = image(shadow_test_scene(height), view, image_size=192).double().mean(-1)
    bare = image(shadow_test_scene(-5.0), view, image_size=192).double().mean(-1)
    for factor, dark in ((0.5, True), (0.88, True), (1.15, False), (1.5, False)):
        for angle in np.linspace(0.0, 2 * math.pi, 12):
            reach = factor * lamp * slope
            point = torch.tensor([reach * math.cos(angle), reach * math.sin(angle), 0.0], dtype=torch.float64)
            column, row = project(point, cameras=view, image_size=192).coordinates.long().tolist()
            if dark:
                assert frame[row, column] < 0.75 * bare[row, column]
            else:
                assert frame[row, column] == bare[row, column]


def test_an_object_casts_a_shadow_on_another():
    lower = item("box", (0.0, 0.0, 0.3), 0.3)
    upper = item("box", (0.0, 0.0, 2.0), 0.3, colour=(0.0, 0.0, 1.0))
    beside = replace(upper, centre=(2.0, 2.0, 2.0))
    view = cameras_at((2.5, 0.0, 1.2), target=(0.0, 0.0, 0.5))[0]
    column, row = (
        project(torch.tensor([0.0, 0.0, 0.6]).double(), cameras=view, image_size=48).coordinates.long().tolist()
    )
    shaded, lit = (
        image(Scene((lower, other), (0.0, 0.0, 4.0)), view)[row, column, 0].item() for other in (upper, beside)
    )
    assert shaded < 0.75 * lit


def test_lit_faces_have_no_shadow_specks():
    """Blocks that touch: a face that the lamp reaches is lit all over, although its neighbours end in its plane."""
    blocks = tuple(item("box", (0.4 * k - 0.8, 0.0, 0.0), 0.2, colour=(1.0, 1.0, 1.0)) for k in range(5))
    view = cameras_at((0.0, 0.0, 3.0), target=(0.001, 0.0, 0.0))[0]
    frame = image(Scene(blocks, (1.0, 0.7, 3.0)), view, image_size=128, samples_per_side=1).int()
    top = frame[..., 0][frame[..., 0] > 190]
    assert top.numel() > 1500
    column, row = project(torch.zeros(3).double(), cameras=view, image_size=128).coordinates.long().tolist()
    rows, columns = (frame[..., 0] > 190).nonzero().unbind(1)
    box = frame[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max(), 0]
    assert box.min() > 190
    assert rows.min() < row < rows.max() and columns.min() < column < columns.max()


def test_a_side_that_faces_the_lamp_is_brighter():
    ball = item(centre=(0.0, 0.0, 0.0), size=1.0, colour=(1.0, 1.0, 1.0))
    view = cameras_at((4.0, 0.0, 0.0), target=(0.0, 0.0, 0.0))[0]
    # The camera looks along -x, so that -y is on its left.
    from_left = image(Scene((ball,), (2.0, -5.0, 0.0)), view).int()[24, :, 0]
    from_right = image(Scene((ball,), (2.0, 5.0, 0.0)), view).int()[24, :, 0]
    assert from_left[16] > from_left[31] + 30
    torch.testing.assert_close(from_left, from_right.flip(0), atol=1, rtol=0)


def test_brightness_follows_the_normal_of_a_stretched_and_turned_object():
    scale, turn, lamp = torch.tensor([0.8, 0.4, 0.6]).double(), 0.7, torch.tensor([2.0, 1.5, 2.5]).double()
    egg = SceneObject("sphere", (0.2, -0.1, 0.1), tuple(scale.tolist()), turn, (0.6, 0.6, 0.6))
    view = cameras_at((3.0, 0.8, 1.4), target=(0.2, -0.1, 0.1))[0]
    frame = image(Scene((egg,), tuple(lamp.tolist())), view, image_size=256)
    cosine, sine = math.cos(turn), math.sin(turn)
    rotation = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    seen = 0
    for u in torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()):
        point = rotation @ (scale * u) + torch.tensor(egg.centre, dtype=torch.float64)
        normal = torch.nn.functional.normalize(rotation @ (u / scale), dim=0)
        towards = view[:3] - point
        if (normal @ towards) / towards.norm() < 0.3:
            continue
        beam = lamp - point
        direct = shading.LAMP * max(0.0, (normal @ beam / beam.norm()).item())
        direct /= 1.0 + (beam @ beam).item() / shading.LAMP_REACH**2
        fill = shading.FILL * max(0.0, -(normal @ lamp / lamp.norm()).item())
        expected = 255 * 0.6 * (shading.AMBIENT + shading.SKYLIGHT * normal[2].item() + fill + direct)
        column, row = project(point, cameras=view, image_size=256).coordinates.long().tolist()
        assert frame[row, column, 0].item() == pytest.approx(expected, abs=4.0)
        seen += 1
    assert seen > 30


def test_rooms_and_floating_objects_do_not_mix():
    with pytest.raises(DataError, match="all of them have a room or none has"):
        stack_scenes([Scene((item(),), (0.0, 0.0, 3.0)), Scene((item(),), (0.0, 0.0, 3.0), ROOM)])
    for scenes in ([], [Scene((), (0.0, 0.0, 3.0))]):
        with pytest.raises(DataError, match="one scene or more, each with an object"):
            stack_scenes(scenes)
