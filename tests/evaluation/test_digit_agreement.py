"""Cubes whose fourth side is hidden, and whether the digits read off it agree."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.data.render.digit_cube import HALF_WIDTH, NUM_FACES, NUM_SIDES, draw_spread_cameras, extra_shapes, visible_face
from zoo.errors import ConfigError
from zoo.evaluation.digit_agreement import (
    FRONTAL,
    DigitReader,
    digit_agreement,
    frontal_sides,
    hidden_sides,
    predict_sides,
    reading_accuracy,
    train_reader,
)
from zoo.evaluation.loop import Evaluation
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SIZE, VIEWS = 16, 12


@dataclass
class Cubes:
    """Cubes in memory: an image is a stripe whose place is the digit on the side that the camera faces."""

    num_scenes: int
    seed: int = 0
    name: str = "cubes"
    split: str = "test"
    revision: str = "0" * 16
    num_views: int = VIEWS
    image_size: int = SIZE

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.extras = dict(extra_shapes(NUM_FACES))
        self.digits = rng.integers(0, 10, (self.num_scenes, 5))
        self.turns = rng.uniform(-math.pi, math.pi, self.num_scenes).astype(np.float32)
        self.cameras = np.stack(
            [draw_spread_cameras(rng, scene=None, num_views=self.num_views) for _ in range(self.num_scenes)]
        ).astype(np.float32)
        sides = visible_face(torch.from_numpy(self.cameras), torch.from_numpy(self.turns)[:, None]).numpy()
        seen = np.take_along_axis(self.digits, sides, axis=1)
        self.frames = np.full((self.num_scenes, self.num_views, SIZE, SIZE, 3), 40, np.uint8)
        for scene, view in itertools.product(range(self.num_scenes), range(self.num_views)):
            self.frames[scene, view, :, 3 + seen[scene, view]] = 220

    def read(self, scenes, views):
        return self.frames[scenes[:, None], views], self.cameras[scenes[:, None], views]

    def read_extras(self, scenes, views):
        return {"digits": self.digits[scenes], "cube_turn": self.turns[scenes]}


@pytest.fixture(scope="module")
def reader():
    return train_reader(Cubes(60, seed=1), steps=150)


def bearings(cameras):
    return torch.atan2(cameras[..., 1], cameras[..., 0])


class TestHiddenSides:
    def test_the_context_shows_the_other_three_sides_and_never_the_hidden_one(self):
        source = Cubes(40)
        hidden = hidden_sides(source, num_queries=5)
        assert hidden.scenes.tolist() == list(range(40))
        hidden_side = hidden.scenes % NUM_SIDES
        cameras = torch.from_numpy(source.cameras[hidden.scenes[:, None], hidden.views])
        turns = torch.from_numpy(source.turns)[:, None]
        sides = visible_face(cameras, turns)
        for shown, side in zip(sides.tolist(), hidden_side.tolist(), strict=True):
            assert sorted([*shown, side]) == [0, 1, 2, 3]
        # In the frame of the cube a side at distance HALF_WIDTH is seen from beyond it only.
        angle = bearings(cameras) - turns - torch.from_numpy(hidden_side)[:, None] * math.pi / 2
        assert (torch.hypot(cameras[..., 0], cameras[..., 1]) * angle.cos() <= HALF_WIDTH).all()

    def test_the_queries_face_the_hidden_side_from_left_to_right(self):
        source = Cubes(9)
        hidden = hidden_sides(source, num_queries=5, spread=0.3)
        turns = torch.from_numpy(source.turns)[:, None]
        hidden_side = torch.from_numpy(hidden.scenes % NUM_SIDES)
        assert hidden.cameras.shape == (9, 5, 5)
        assert torch.equal(visible_face(hidden.cameras, turns), hidden_side[:, None].expand(-1, 5))
        angle = bearings(hidden.cameras) - turns - hidden_side[:, None] * math.pi / 2
        angle = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        torch.testing.assert_close(angle, torch.linspace(-0.3, 0.3, 5).expand(9, -1), rtol=0, atol=1e-5)
        # They stand on the ring of the scene's own cameras and look inwards, as those do.
        one = torch.from_numpy(source.cameras[:, :1])
        for place in (2, 4):
            torch.testing.assert_close(hidden.cameras[..., place], one[..., place].expand(-1, 5))
        inward = torch.remainder(hidden.cameras[..., 3] - bearings(hidden.cameras), 2 * math.pi)
        torch.testing.assert_close(inward, torch.full((9, 5), math.pi), rtol=0, atol=1e-4)

    def test_scenes_without_such_views_are_left_out(self):
        source = Cubes(6)
        few = Cubes(6, num_views=12)
        few.cameras[:3] = few.cameras[:3, :1]
        assert hidden_sides(few, num_queries=2).scenes.tolist() == [3, 4, 5]
        source.cameras[:] = source.cameras[:, :1]
        with pytest.raises(ConfigError, match="three sides"):
            hidden_sides(source, num_queries=2)

    def test_other_data_are_refused(self, array_scenes):
        with pytest.raises(ConfigError, match="no digits"):
            hidden_sides(array_scenes(), num_queries=2)


class TestReader:
    def test_it_reads_the_side_that_the_camera_faces(self, reader):
        assert reading_accuracy(reader, Cubes(30, seed=2)) > 0.95
        assert reading_accuracy(DigitReader(image_size=SIZE).eval(), Cubes(30, seed=2)) < 0.5

    def test_frontal_views_and_their_digits(self):
        source = Cubes(12)
        found = frontal_sides(source)
        cameras, turns = torch.from_numpy(source.cameras), torch.from_numpy(source.turns)[:, None]
        offset = torch.remainder(bearings(cameras) - turns + math.pi / 4, math.pi / 2) - math.pi / 4
        assert len(found.labels) == int((offset.abs() <= FRONTAL).sum())
        stripes = found.frames.float().mean(dim=(1, 3)).argmax(-1) - 3
        assert torch.equal(stripes, found.labels)

    def test_training_is_reproducible_and_leaves_the_generator_alone(self):
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        one, other = (train_reader(Cubes(10), steps=3, seed=5) for _ in range(2))
        assert torch.equal(torch.rand(1), expected)
        for name, weight in one.state_dict().items():
            assert torch.equal(weight, other.state_dict()[name])

    def test_other_data_are_refused(self, array_scenes):
        with pytest.raises(ConfigError, match="no digits"):
            train_reader(array_scenes())


def stripes(digits):
    """Images [..., 3, H, W] that bear digits [...]."""
    images = torch.full((*digits.shape, 3, SIZE, SIZE), 40 / 255)
    for place in np.ndindex(digits.shape):
        images[place][..., 3 + digits[place]] = 220 / 255
    return images


class TestAgreement:
    def test_digits_that_all_views_of_a_sample_share(self, reader):
        digits = np.array([[1, 2, 3], [4, 2, 5]])[:, :, None].repeat(4, axis=2)  # [S, n, K]
        found = digit_agreement(reader, stripes(digits))
        np.testing.assert_array_equal(found.within, [1, 1, 1])
        np.testing.assert_array_equal(found.between, [0, 1, 0])

    def test_pairs_of_views_are_counted_one_by_one(self, reader):
        rng = np.random.default_rng(0)
        digits = rng.integers(0, 3, (4, 5, 3))
        found = digit_agreement(reader, stripes(digits))
        for scene in range(5):
            same, other = [], []
            for s, t, i, j in itertools.product(range(4), range(4), range(3), range(3)):
                if i != j:
                    (same if s == t else other).append(digits[s, scene, i] == digits[t, scene, j])
            assert found.within[scene] == pytest.approx(np.mean(same))
            assert found.between[scene] == pytest.approx(np.mean(other))

    def test_independent_views_agree_as_often_within_a_sample_as_between(self, reader):
        digits = np.random.default_rng(1).integers(0, 4, (8, 60, 4))
        found = digit_agreement(reader, stripes(digits))
        difference = found.within - found.between
        assert abs(difference.mean()) < 4 * difference.std(ddof=1) / 60**0.5
        assert found.between.mean() == pytest.approx(0.25, abs=0.03)

    @pytest.mark.parametrize("shape", [(1, 2, 3), (2, 2, 1)])
    def test_nothing_to_compare_is_refused(self, reader, shape):
        with pytest.raises(ConfigError, match="at least 2 of each"):
            digit_agreement(reader, torch.zeros(*shape, 3, SIZE, SIZE))


class TestPredictions:
    def test_one_sample_predicts_all_queries_of_a_scene(self):
        model = build(default_registry().variant("cgqn", size="smoke"), seed=0).train()
        source = Cubes(5)
        questions = hidden_sides(source, num_queries=3, spread=0.0)
        evaluation = Evaluation(source, questions, schedule=schedule_values(sigma=0.7), batch_size=2)
        found = predict_sides(model, evaluation, num_samples=2)
        assert model.training
        assert found.shape == (2, 5, 3, 3, SIZE, SIZE)
        torch.testing.assert_close(found[:, :, 0], found[:, :, 1])
        assert not torch.equal(found[0], found[1])

    def test_images_of_the_hidden_side_are_never_read(self):
        model, source = build(default_registry().variant("gqn-jump", size="smoke"), seed=0), Cubes(4)
        questions = hidden_sides(source, num_queries=2)

        def predicted():
            evaluation = Evaluation(source, questions, schedule=schedule_values(sigma=0.7), batch_size=4)
            return predict_sides(model, evaluation, num_samples=2)

        before = predicted()
        for scene, side in zip(questions.scenes, questions.scenes % NUM_SIDES, strict=True):
            facing = visible_face(torch.from_numpy(source.cameras[scene]), torch.tensor(source.turns[scene])) == side
            assert facing.any()
            source.frames[scene, facing.numpy()] = 0
        assert torch.equal(before, predicted())
