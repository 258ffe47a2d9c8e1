import hashlib
import math
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from camera_projection import project
from sklearn.svm import SVC

from zoo.data.render import digit_cube
from zoo.data.render.digit_cube import (
    HALF_WIDTH,
    NUM_FACES,
    NUM_SIDES,
    SPAN,
    canonical,
    digits_of,
    face_image,
    handwritten_digits,
    split_of_digit,
    visible_face,
)
from zoo.data.render.faces import FACE_SIZE
from zoo.data.render.recipes import RECIPES
from zoo.data.render.rooms import ROOM_WIDTH, WALL_HEIGHT
from zoo.data.render.scene import Room
from zoo.data.source import SPLITS
from zoo.errors import DataError

RECIPE = RECIPES["digit_cube"]


def test_every_digit_belongs_to_one_split_and_every_split_has_all_labels():
    data = handwritten_digits()
    assert data.pixels.shape == (1797, 8, 8) and data.pixels.min() == 0.0 and data.pixels.max() == 1.0
    pools = {split: digits_of(split) for split in SPLITS}
    numbers = [index for pool in pools.values() for own in pool.values() for index in own]
    assert sorted(numbers) == list(range(1797))
    for split, pool in pools.items():
        assert list(pool) == list(range(10))
        for label, own in pool.items():
            assert len(own) >= 5 and {data.labels[index] for index in own} == {label}
            assert {split_of_digit(index) for index in own} == {split}
    shares = [sum(map(len, pools[split].values())) / 1797 for split in SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.03)


@pytest.mark.parametrize("split", SPLITS)
def test_a_scene_has_digits_of_its_split_and_their_labels(split):
    labels = handwritten_digits().labels
    for seed in (0, 1):
        for index in range(20):
            drawn = RECIPE.draw(seed=seed, split=split, index=index)
            numbers = drawn.scene.digits
            assert {split_of_digit(number) for number in numbers} == {split}
            (cube,) = drawn.scene.objects
            assert cube.faces == tuple(face_image(number) for number in numbers)
            assert drawn.extras["digits"].tolist() == [labels[number] for number in numbers]
            assert drawn.extras["cube_turn"] == np.float32(cube.turn)
            assert drawn.name == canonical(drawn.scene.room, tuple(drawn.extras["digits"].tolist()))


def test_the_digits_of_a_seed_have_not_changed():
    """If this changes, the same seed no longer gives the same cubes: raise the version of the recipe."""
    numbers = [RECIPE.draw(seed=0, split="train", index=index).scene.digits for index in range(3)]
    assert (RECIPE.version, numbers) == (
        1,
        [(700, 1439, 331, 61, 548), (1443, 1161, 307, 1432, 1777), (387, 979, 676, 1584, 955)],
    )
    faces = b"".join(face_image(index) for index in range(100))
    assert hashlib.sha256(faces).hexdigest()[:16] == "b2c4086713b937fb"


def test_extras_have_the_shapes_that_are_promised():
    extras = RECIPE.render(seed=0, scene_indices=range(3), split="train", image_size=4).extras
    shapes = RECIPE.extras(image_size=4)
    assert set(extras) == set(shapes) == {"digits", "cube_turn"}
    for name, shape in shapes.items():
        assert extras[name].shape == (3, *shape.shape) and extras[name].dtype == shape.dtype and not shape.per_view


def test_the_name_knows_no_first_side():
    room = Room(width=ROOM_WIDTH, wall_height=WALL_HEIGHT, wall="red", floor="white floor")
    name = canonical(room, (1, 2, 3, 4, 5))
    assert canonical(room, (3, 4, 1, 2, 5)) == name
    assert canonical(room, (5, 2, 3, 4, 1)) != name
    assert canonical(room, (4, 3, 2, 1, 5)) != name
    assert (
        canonical(Room(width=ROOM_WIDTH, wall_height=WALL_HEIGHT, wall="green", floor="white floor"), (1, 2, 3, 4, 5))
        != name
    )


def test_all_labels_turns_and_places_occur():
    drawn = [RECIPE.draw(seed=0, split="train", index=index) for index in range(150)]
    counts = Counter(label for item in drawn for label in item.extras["digits"].tolist())
    assert set(counts) == set(range(10)) and min(counts.values()) > 40
    turns = np.array([item.extras["cube_turn"] for item in drawn])
    assert (np.histogram(turns, 4, (-math.pi, math.pi))[0] > 20).all()
    assert {item.scene.room.wall for item in drawn} == {"red", "green", "cerise", "orange", "yellow"}


def test_cameras_are_outside_the_cube_and_look_at_it_from_all_sides():
    for index in range(30):
        drawn = RECIPE.draw(seed=0, split="train", index=index)
        cameras = torch.from_numpy(drawn.cameras).double()
        assert (cameras[:, :2].norm(dim=-1) > HALF_WIDTH * math.sqrt(2.0) + 1.0).all()
        assert cameras[:, :2].abs().max() < ROOM_WIDTH / 2
        turn = torch.tensor(drawn.scene.objects[0].turn)
        corners = torch.tensor([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (0, 2)]).double() * HALF_WIDTH
        spin = torch.tensor([[turn.cos(), turn.sin(), 0], [-turn.sin(), turn.cos(), 0], [0, 0, 1]]).double()
        seen = project(corners @ spin, cameras=cameras[:, None], image_size=1)
        assert seen.coordinates.min() > 0.0 and seen.coordinates.max() < 1.0 and seen.depth.min() > 0.5
        faces = Counter(visible_face(cameras, turn).tolist())
        assert set(faces) == set(range(NUM_SIDES)) and min(faces.values()) >= 2
        assert faces == Counter(visible_face(cameras[torch.randperm(12)], turn).tolist())


def test_neighbouring_views_are_not_neighbours_on_the_ring():
    bearings = [
        np.arctan2(drawn.cameras[:, 1], drawn.cameras[:, 0])
        for drawn in (RECIPE.draw(seed=0, split="train", index=index) for index in range(30))
    ]
    steps = np.abs(np.angle(np.exp(1j * np.diff(bearings, axis=1))))
    assert np.median(steps) > math.pi / 4


def test_the_most_frontal_side_is_the_one_whose_normal_points_at_the_camera():
    generator = torch.Generator().manual_seed(0)
    around, turn = (torch.rand(2, 40, generator=generator).double() * 2 - 1) * 9.0
    cameras = torch.zeros(40, 5, dtype=torch.float64)
    cameras[:, 0], cameras[:, 1] = 2.5 * around.cos(), 2.5 * around.sin()
    sides = turn[:, None] + torch.arange(NUM_SIDES) * math.pi / 2
    frontal = sides.cos() * cameras[:, :1] + sides.sin() * cameras[:, 1:2]
    assert torch.equal(visible_face(cameras, turn), frontal.argmax(-1))
    batch = visible_face(cameras.view(4, 10, 5), turn[:4, None])
    assert batch.shape == (4, 10) and batch.dtype == torch.int64
    assert visible_face(torch.tensor([2.0, 0.1, 1.0, 3.1, 0.0]), torch.tensor(0.0)) == 0
    assert visible_face(torch.tensor([0.1, -2.0, 1.0, 1.6, 0.0]), torch.tensor(0.0)) == 3


def crops_of_sides(frames, cameras, turn):
    """Reads 8 x 8 ink, 0 to 16, off the side that each camera sees most frontally: [V, 8, 8], and which side it is."""
    side = visible_face(cameras, turn)
    fine = 32
    places = (((torch.arange(fine) + 0.5) / fine * 2 - 1) * SPAN).double()
    up, right = torch.meshgrid(-places, places, indexing="ij")
    angle = (turn + side * math.pi / 2)[:, None, None]
    points = torch.stack(
        [
            angle.cos() - right * angle.sin(),
            angle.sin() + right * angle.cos(),
            (1 + up).expand(len(side), -1, -1),
        ],
        dim=-1,
    )
    seen = project(points * HALF_WIDTH, cameras=cameras[:, None, None], image_size=2).coordinates - 1
    grey = torch.nn.functional.grid_sample(frames.permute(0, 3, 1, 2).double(), seen, align_corners=False).mean(1)
    grey = torch.nn.functional.avg_pool2d(grey[:, None], fine // 8)[:, 0]
    paper, ink = grey.amax((1, 2), keepdim=True), grey.amin((1, 2), keepdim=True)
    return (paper - grey) / (paper - ink) * 16, side


@pytest.fixture(scope="module")
def reader():
    """A classifier of the training digits as scikit-learn gives them; it never saw a cube."""
    data = handwritten_digits()
    own = [index for pool in digits_of("train").values() for index in pool]
    return SVC(gamma=0.001).fit(data.pixels[own].reshape(-1, 64) * 16, data.labels[own])


@pytest.mark.parametrize(("image_size", "least"), [(64, 0.93), (32, 0.90)])
def test_digits_can_be_read_off_the_cube(reader, image_size, least):
    rendering = RECIPE.render(seed=0, scene_indices=range(12), split="test", image_size=image_size)
    right, wrong_order = [], []
    for scene in range(12):
        turn = torch.tensor(float(rendering.extras["cube_turn"][scene]), dtype=torch.float64)
        crops, side = crops_of_sides(rendering.frames[scene], rendering.cameras[scene].double(), turn)
        read = reader.predict(crops.flatten(1).numpy())
        labels = rendering.extras["digits"][scene]
        right += (read == labels[side.numpy()]).tolist()
        wrong_order += (read == labels[(side.numpy() + 2) % NUM_SIDES]).tolist()
    assert np.mean(right) >= least
    assert np.mean(wrong_order) < 0.5


def test_a_face_is_the_digit_enlarged():
    for index in (0, 5, 100):
        face = np.frombuffer(face_image(index), np.uint8).reshape(FACE_SIZE, FACE_SIZE)
        margin = math.floor((1 - SPAN) / 2 * FACE_SIZE)
        inner = torch.from_numpy(face[margin:-margin, margin:-margin].astype(float))
        small = torch.nn.functional.adaptive_avg_pool2d(inner[None], 8)[0].numpy()
        assert np.corrcoef(small.ravel(), handwritten_digits().pixels[index].ravel())[0, 1] > 0.9
        assert face.max() > 200 and face[0].max() == 0
    assert face_image(0) != face_image(1) and NUM_FACES == 5


def test_without_scikit_learn_the_error_names_it(monkeypatch):
    digit_cube.handwritten_digits.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="digit_cube: takes its digits from scikit-learn, which is not installed"):
        digit_cube.handwritten_digits()
    monkeypatch.undo()
    assert len(digit_cube.handwritten_digits().labels) == 1797
