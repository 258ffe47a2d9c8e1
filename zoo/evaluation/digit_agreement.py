"""Agreement of the digits in one sample: the hidden side of a cube, predicted from several cameras and classified.

The experiment of Kumar et al. (Consistent generative query networks, arXiv 1807.02033, 2018, figure 7): the context shows
three sides of a cube with digits, the queries look at the fourth. Its digit is unknown, but a consistent sample shows the
same one from every camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.plan import BatchPlan
from zoo.data.render.digit_cube import HALF_WIDTH, NUM_SIDES, visible_face
from zoo.data.source import SceneSource
from zoo.errors import ConfigError
from zoo.evaluation.consistency import require_camera_queries, rotated, with_queries
from zoo.evaluation.digit_reader import DigitReader, require_digits
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.model.scene_model import SceneModel


class HiddenSides(NamedTuple):
    """Queries of sides that the context does not show, one side per scene; an episode plan without targets."""

    scenes: np.ndarray  # [n] int64
    sides: np.ndarray  # [n] int64, 0 to 3: the hidden side
    views: np.ndarray  # [n, 3] int64: the context, the most frontal view of every other side
    cameras: Tensor  # [n, K, 5]: the queries, from left to right, at the distance and height of the scene's cameras

    @property
    def num_scenes(self) -> int:
        """N."""
        return len(self.scenes)

    def __call__(self, scenes: np.ndarray) -> BatchPlan:
        """Returns the contexts of some of the n scenes, [B]."""
        views = self.views[scenes]
        return BatchPlan(
            scenes=self.scenes[scenes], views=views, places=self.scenes[scenes], num_context=views.shape[1]
        )


class DigitAgreement(NamedTuple):
    """Share of pairs of views of the hidden side with the same digit.

    ``between`` is the agreement of independent samples, large if only few digits are drawn. Samples are consistent as far
    as ``within`` exceeds it.
    """

    within: np.ndarray  # [n] float64: two views of one sample, averaged over pairs of views and samples
    between: np.ndarray  # [n] float64: the same two views, of two samples of the same scene
    named: np.ndarray  # [n, S, K] int64: the digit that the classifier reads


def hidden_sides(source: SceneSource, *, num_queries: int, spread: float = math.radians(20.0)) -> HiddenSides:
    """Chooses side (number of the scene) modulo 4 of every cube as the hidden one.

    Args:
        source: scenes of a cube at the origin, with the extras ``digits`` and ``cube_turn``.
        num_queries: K cameras, evenly spaced around the front of the hidden side.
        spread: angle between the outermost of them and the front, radians.

    Raises:
        ConfigError: if the data have no digits, or no scene has views of the three other sides.
    """
    require_digits(source)
    scenes = np.arange(source.num_scenes)
    every_view = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
    cameras = torch.from_numpy(source.read(scenes, every_view)[1])
    turns = torch.from_numpy(source.read_extras(scenes, every_view)["cube_turn"])
    hidden = torch.from_numpy(scenes % NUM_SIDES)
    quarter = math.pi / 2.0
    bearing = torch.atan2(cameras[..., 1], cameras[..., 0])
    radius = torch.hypot(cameras[..., 0], cameras[..., 1])
    seen = visible_face(cameras, turns[:, None])
    out_of_sight = radius * (bearing - (turns + hidden * quarter)[:, None]).cos() <= HALF_WIDTH
    frontal = (bearing - turns[:, None] - seen * quarter).cos()
    views, there = [], torch.ones(len(scenes), dtype=torch.bool)
    for step in range(1, NUM_SIDES):
        wanted = ((hidden + step) % NUM_SIDES)[:, None]
        fitness = torch.where(out_of_sight & (seen == wanted), frontal, -torch.inf)
        best = fitness.max(dim=1)
        views.append(best.indices)
        there &= best.values > -torch.inf
    if not there.any():
        raise ConfigError(f"{source.name}: no scene has views of three sides of its cube that do not show the fourth")
    offsets = torch.linspace(-spread, spread, num_queries) if num_queries > 1 else torch.zeros(1)
    to_front = turns + hidden * quarter - bearing[:, 0]
    questions = rotated(cameras[:, :1], to_front[:, None] + offsets)
    return HiddenSides(
        scenes=scenes[there.numpy()],
        sides=hidden[there].numpy(),
        views=torch.stack(views, dim=1)[there].numpy(),
        cameras=questions[there],
    )


class SideImages(NamedTuple):
    """Predicted images of the hidden sides."""

    expected: Tensor  # [S, n, K, 3, H, W] in [0, 1], on the CPU
    context: np.ndarray  # [n, 3, H, W, 3] uint8


def predict_sides(model: SceneModel, evaluation: Evaluation, *, num_samples: int) -> SideImages:
    """Predicts the K views of every hidden side jointly from the prior, ``num_samples`` times.

    The plan of the evaluation is that of :func:`hidden_sides`.

    Raises:
        ConfigError: for a task without such queries.
    """
    require_camera_queries(model)
    hidden = evaluation.plan
    assert isinstance(hidden, HiddenSides)

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        cameras = hidden.cameras[torch.from_numpy(part.scenes)]
        batch = with_queries(part.batch, num_context=part.num_context, cameras=cameras)
        prediction = model.predict(batch, evaluation.schedule, part.num_context, num_samples=num_samples)
        return {"expected": prediction.expected.transpose(0, 1), "context": part.batch.frames}

    found = evaluation.score(score, model=model)
    return SideImages(expected=torch.from_numpy(found["expected"]).transpose(0, 1), context=found["context"])


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
    return DigitAgreement(
        within=by_samples[same].mean(0).numpy(),
        between=by_samples[~same].mean(0).numpy(),
        named=named.transpose(0, 1).numpy(),
    )
