"""Image completion with a convolutional conditional neural process.

Handwritten digits of 8x8 pixels that were not in the training data are completed from 8, 16 and 40 of their pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import AnalysisContext
from zoo.config.schedules import schedule_values
from zoo.data.opening import open_splits
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.evaluation.values import predict_at
from zoo.figures.functions import images_of_points
from zoo.figures.sheets import ImageGroup, image_sheet

DIGITS = "completion_digits"
NUM_DIGITS: Mapping[Split, int] = {"train": 1400, "validation": 100, "test": 160}
PIXELS = (8, 16, 40)
ROWS = 8


def run(context: AnalysisContext) -> list[Claim]:
    """Trains on digits, completes test digits, draws ``completion.png``, and compares the error with two baselines.

    The baselines are the nearest known pixel (Garnelo et al. 2018, table 1) and the mean of all training digits.
    """
    digits = context.dataset(DIGITS, num_scenes=NUM_DIGITS)
    model = context.trained("convcnp-digits", data=digits).model.eval()
    splits = open_splits(digits)
    test, schedule = splits["test"], schedule_values(sigma=1.0)
    order = EvaluationPlan(test, num_context=max(PIXELS), num_targets=1).views[:, : max(PIXELS)]
    inputs, values = read_points(test)
    mean_digit = read_points(splits["train"])[1].mean(0)[:, 0]
    groups, expectations = [], []
    for number in PIXELS:
        known = order[:, :number, None]
        known_inputs, known_values = (np.take_along_axis(part, known, axis=1) for part in (inputs, values))
        found = predict_at(model, known_inputs, known_values, queries=inputs, schedule=schedule, num_samples=1)
        unknown = np.ones(values.shape[:2])
        np.put_along_axis(unknown, known[..., 0], 0.0, axis=1)
        error = root_mean_square(found.mean - values[..., 0], weights=unknown)
        distance = np.square(inputs[:, :, None] - known_inputs[:, None]).sum(-1)
        nearest = np.take_along_axis(known_values[..., 0], distance.argmin(-1), axis=1)
        for baseline, prediction in (("the nearest known pixel", nearest), ("the mean digit", mean_digit)):
            text = f"given {number} of 64 pixels, the others are predicted better than by {baseline}"
            other = root_mean_square(prediction - values[..., 0], weights=unknown)
            expectations.append(Expectation.less(text, error, other, unit="RMSE"))
        parts = {
            f"{number} pixels": (known_inputs, known_values),
            "mean": (inputs, found.mean[..., None]),
            "deviation": (inputs, found.scale[..., None]),
        }
        groups += [
            ImageGroup(caption, images_of_points(places[:ROWS], colours[:ROWS], size=8))
            for caption, (places, colours) in parts.items()
        ]
    groups.append(ImageGroup("truth", images_of_points(inputs[:ROWS], values[:ROWS], size=8)))
    image_sheet(context.image("completion"), groups=groups, title="Digits completed by a convolutional CNP")
    return conclude(expectations)


def read_points(source: SceneSource) -> tuple[np.ndarray, np.ndarray]:
    """Returns all points of all scenes of a split: inputs [n, V, P] and values [n, V, C]."""
    views = np.broadcast_to(np.arange(source.num_views), (source.num_scenes, source.num_views))
    extras = source.read_extras(np.arange(source.num_scenes), views)
    return extras["inputs"], extras["values"]


def root_mean_square(errors: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """Returns the root of the weighted mean of squares of errors [n, V], for each row."""
    return np.sqrt((weights * np.square(errors)).sum(1) / weights.sum(1))
