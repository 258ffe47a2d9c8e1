"""Agreement of the digits in one sample: the hidden side of a cube, predicted from several cameras and classified.

The experiment of Kumar et al. (Consistent generative query networks, arXiv 1807.02033, 2018, figure 7): the context shows
three sides of a cube with digits, the queries look at the fourth. Its digit is unknown, but a consistent sample shows the
same one from every camera. A small classifier, trained on true images, reads the digits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data.plan import BatchPlan
from zoo.data.render.digit_cube import HALF_WIDTH, NUM_LABELS, NUM_SIDES, visible_face
from zoo.data.source import SceneSource
from zoo.errors import ConfigError
from zoo.evaluation.consistency import require_camera_queries, rotated, with_queries
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import images_from_frames

FRONTAL = math.radians(30.0)  # largest angle between a camera and the front of a side that it reads
QUARTER = math.pi / 2.0
DIGIT_EXTRAS = frozenset({"digits", "cube_turn"})
NUM_QUERIES = 5  # views of a hidden side that are scored
LEARNING_RATE, BATCH_SIZE = 2e-3, 64


class DigitReader(nn.Module):
    """Convolutional classifier p(digit | image): two convolutions and two linear layers."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__()
        channels, side = 24, image_size // 4
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * channels * side * side, 4 * channels),
            nn.ReLU(),
            nn.Linear(4 * channels, NUM_LABELS),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [n, 3, H, W] in [0, 1] to logits [n, 10]."""
        return self.body(images)


class Sides(NamedTuple):
    """Frontal images of sides and their digits."""

    frames: Tensor  # [n, H, W, 3] uint8
    labels: Tensor  # [n] int64


class _Cubes(NamedTuple):
    """All views of a split of scenes of a cube."""

    frames: Tensor  # [n, V, H, W, 3] uint8
    cameras: Tensor  # [n, V, 5]
    digits: Tensor  # [n, sides] int64
    turns: Tensor  # [n, 1], radians
    bearings: Tensor  # [n, V], of the camera as seen from the cube, radians
    seen: Tensor  # [n, V] int64: the side that the camera faces
    frontality: Tensor  # [n, V], cosine of the angle between the camera and the front of that side


def _read_cubes(source: SceneSource) -> _Cubes:
    if not source.extras.keys() >= DIGIT_EXTRAS:
        raise ConfigError(f"{source.name}: has no digits on the sides of a cube; expected scenes of digit_cube")
    scenes = np.arange(source.num_scenes)
    views = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
    frames, cameras = (torch.from_numpy(array) for array in source.read(scenes, views))
    extras = {name: torch.from_numpy(array) for name, array in source.read_extras(scenes, views).items()}
    turns = extras["cube_turn"][:, None]
    bearings, seen = torch.atan2(cameras[..., 1], cameras[..., 0]), visible_face(cameras, turns)
    frontality = (bearings - turns - seen * QUARTER).cos()
    return _Cubes(frames, cameras, extras["digits"], turns, bearings, seen, frontality)


def frontal_sides(source: SceneSource) -> Sides:
    """Collects all views within 30 degrees of the front of a side; raises ConfigError if the data have no digits."""
    cubes = _read_cubes(source)
    chosen = cubes.frontality >= math.cos(FRONTAL)
    return Sides(cubes.frames[chosen], cubes.digits.gather(1, cubes.seen)[chosen])


def train_reader(source: SceneSource, *, steps: int = 500, seed: int = 0) -> DigitReader:
    """Trains a reader on the frontal views of a split, with Adam and a learning rate that decays linearly to zero.

    Images are augmented with random brightness, blur and noise, so that it also reads predictions of models.
    """
    sides = frontal_sides(source)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = DigitReader(image_size=source.image_size)
    optimizer = torch.optim.Adam(reader.parameters())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1.0 - step / steps)
        chosen = torch.randint(0, len(sides.labels), (BATCH_SIZE,), generator=generator)
        images = _augmented(images_from_frames(sides.frames[chosen]), generator)
        loss = F.cross_entropy(reader(images), sides.labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return reader.eval()


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    amount = torch.rand(len(images), 1, 1, 1, generator=generator)
    soft = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    light = 0.8 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = 0.05 * torch.randn(images.shape, generator=generator)
    return light * (amount * soft + (1.0 - amount) * images) + noise


@torch.no_grad()
def reading_accuracy(reader: DigitReader, source: SceneSource) -> float:
    """Returns the accuracy on a split's frontal views."""
    sides = frontal_sides(source)
    return float((reader(images_from_frames(sides.frames)).argmax(-1) == sides.labels).double().mean())


class HiddenSides(NamedTuple):
    """Queries of sides that the context does not show; an episode plan without targets.

    The hidden side of a scene is its number modulo 4.
    """

    scenes: np.ndarray  # [n] int64
    views: np.ndarray  # [n, 3] int64: the context, the most frontal view of every other side
    cameras: Tensor  # [n, K, 5]: the queries, from left to right, at the distance and height of the scene's cameras

    @property
    def num_scenes(self) -> int:
        """Returns n."""
        return len(self.scenes)

    def __call__(self, scenes: np.ndarray) -> BatchPlan:
        """Returns the contexts of some of the n scenes, [B]."""
        chosen, views = self.scenes[scenes], self.views[scenes]
        return BatchPlan(scenes=chosen, views=views, places=chosen, num_context=views.shape[1])


def hidden_sides(source: SceneSource, *, num_queries: int, spread: float = math.radians(20.0)) -> HiddenSides:
    """Chooses the hidden side of every cube, and the cameras that look at it.

    Args:
        source: scenes of a cube at the origin, with the extras ``digits`` and ``cube_turn``.
        num_queries: K cameras, at least 2, evenly spaced around the front of the hidden side.
        spread: angle between the outermost of them and the front, radians.

    Raises:
        ConfigError: if the data have no digits, or no scene has views of the three other sides.
    """
    cubes = _read_cubes(source)
    cameras = cubes.cameras
    hidden = torch.arange(source.num_scenes)[:, None] % NUM_SIDES
    front = cubes.turns + hidden * QUARTER
    radius = torch.hypot(cameras[..., 0], cameras[..., 1])
    out_of_sight = radius * (cubes.bearings - front).cos() <= HALF_WIDTH
    best = [
        torch.where(out_of_sight & (cubes.seen == (hidden + step) % NUM_SIDES), cubes.frontality, -torch.inf).max(dim=1)
        for step in range(1, NUM_SIDES)
    ]
    there = torch.stack([view.values > -torch.inf for view in best]).all(0)
    if not there.any():
        raise ConfigError(f"{source.name}: no scene has views of three sides of its cube that do not show the fourth")
    offsets = torch.linspace(-spread, spread, num_queries)
    return HiddenSides(
        scenes=torch.nonzero(there)[:, 0].numpy(),
        views=torch.stack([view.indices for view in best], dim=1)[there].numpy(),
        cameras=rotated(cameras[:, :1], front - cubes.bearings[:, :1] + offsets)[there],
    )


def predict_sides(model: SceneModel, evaluation: Evaluation, *, num_samples: int) -> Tensor:
    """Predicts the K views of every side of a plan of hidden sides jointly, [S, n, K, 3, H, W] in [0, 1], on the CPU.

    Raises:
        ConfigError: for other tasks.
    """
    require_camera_queries(model)
    hidden = evaluation.plan
    assert isinstance(hidden, HiddenSides)

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        cameras = hidden.cameras[torch.from_numpy(part.scenes)]
        batch = with_queries(part.batch, num_context=part.num_context, cameras=cameras)
        prediction = model.predict(batch, evaluation.schedule, part.num_context, num_samples=num_samples)
        return {"expected": prediction.expected.transpose(0, 1)}

    return torch.from_numpy(evaluation.score(score, model=model)["expected"]).transpose(0, 1)


class DigitAgreement(NamedTuple):
    """Share of pairs of views of the hidden side with the same digit.

    ``between`` is the agreement of independent samples, large if only few digits are drawn. Samples are consistent as far
    as ``within`` exceeds it.
    """

    within: np.ndarray  # [n] float64: two views of one sample, averaged over pairs of views and samples
    between: np.ndarray  # [n] float64: the same two views, of two samples of the same scene


@torch.no_grad()
def digit_agreement(reader: DigitReader, expected: Tensor) -> DigitAgreement:
    """Classifies every image [S, n, K, 3, H, W] and compares the digits of pairs of views.

    Raises:
        ConfigError: for fewer than two samples or two views.
    """
    samples, _, views = expected.shape[:3]
    if samples < 2 or views < 2:
        raise ConfigError(f"{samples} sample(s) of {views} view(s): expected at least 2 of each")
    named = torch.stack([reader(images.flatten(0, 1)).argmax(-1).unflatten(0, images.shape[:2]) for images in expected])
    # [S, S, n, K, K]: sample and view against sample and view; a view is never compared with itself.
    equal = (named[:, None, :, :, None] == named[None, :, :, None, :]).double()
    pairs = ~torch.eye(views, dtype=torch.bool)
    by_samples = equal[..., pairs].mean(-1)
    same = torch.eye(samples, dtype=torch.bool)
    return DigitAgreement(within=by_samples[same].mean(0).numpy(), between=by_samples[~same].mean(0).numpy())


def score_hidden_sides(
    model: SceneModel, evaluation: Evaluation, *, readable: SceneSource, num_samples: int
) -> dict[str, np.ndarray]:
    """Predicts the hidden side of every scene of an evaluation and reads the digits.

    The plan of the evaluation gives the number of scenes alone. The reader of digits is trained on ``readable``, scenes of
    another split.

    Returns:
        ``digit_disagreement`` and ``digit_disagreement_of_samples``, [num_scenes] float64: the share of pairs of views of
        the hidden side that show different digits, of one sample and of two samples. Empty if a scene has no views of the
        three other sides.

    Raises:
        ConfigError: for other scenes or tasks, and for fewer than two samples.
    """
    sides = hidden_sides(evaluation.source, num_queries=NUM_QUERIES)
    count = evaluation.plan.num_scenes
    if not np.array_equal(sides.scenes[:count], np.arange(count)):
        return {}
    sides = sides._replace(scenes=sides.scenes[:count], views=sides.views[:count], cameras=sides.cameras[:count])
    expected = predict_sides(model, replace(evaluation, plan=sides), num_samples=num_samples)
    agreement = digit_agreement(train_reader(readable), expected)
    return {
        "digit_disagreement": 1.0 - agreement.within,
        "digit_disagreement_of_samples": 1.0 - agreement.between,
    }
