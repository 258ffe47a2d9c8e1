"""A image is a function from pixels to values: a convolutional neural process completes one from some of its pixels.

Handwritten digits of 8x8 pixels, none of which was seen in training, are completed from 8, 16 and 40 of their pixels by a
convolutional conditional neural process.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import schedule_values
from zoo.data.opening import open_splits
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.evaluation.point_predictions import predict_at
from zoo.figures.functions import images_of_points
from zoo.figures.sheets import ImageColumn, image_columns
from zoo.model.scene_model import SceneModel

TITLE = "Images are completed as functions of the pixel"
PAPER = (
    "Gordon et al. 2020, Convolutional conditional neural processes, ICLR; "
    "Garnelo et al. 2018, Conditional neural processes, ICML"
)
MINUTES = 1

DIGITS = "completion_digits"
NUM_DIGITS: Mapping[Split, int] = {"train": 1400, "validation": 100, "test": 160}
PIXELS = (8, 16, 40)
SHOWN_DIGITS = 8
SCHEDULE = schedule_values(sigma=1.0)


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains on digits, completes new ones, and draws ``completion.png``."""
    digits = workshop.dataset(DIGITS, num_scenes=NUM_DIGITS)
    model = workshop.trained("convcnp-digits", data=digits).model.eval()
    splits = open_splits(digits)
    return compare(workshop, model, splits["test"], train=splits["train"])


def compare(workshop: AnalysisContext, model: SceneModel, test: SceneSource, *, train: SceneSource) -> list[Claim]:
    """Completes digits, draws some and compares the error with those of two guesses.

    One takes the nearest known pixel, which knows nothing of digits (the baseline of Garnelo et al. 2018, table 1), the other
    the mean of all digits of the training split, which knows nothing of the one at hand.
    """
    order = EvaluationPlan(test, num_context=max(PIXELS), num_targets=1).views[:, : max(PIXELS)]
    inputs, values = everything_of(test)
    mean_digit = everything_of(train)[1].mean(0)[:, 0]
    columns, claims = [], []
    for number in PIXELS:
        known = order[:, :number, None]
        context = np.take_along_axis(inputs, known, axis=1), np.take_along_axis(values, known, axis=1)
        found = predict_at(model, *context, queries=inputs, schedule=SCHEDULE, num_samples=1)
        unknown = np.ones(values.shape[:2])
        np.put_along_axis(unknown, known[..., 0], 0.0, axis=1)
        error = root_mean_square(found.mean - values[..., 0], weights=unknown)
        distance = np.square(inputs[:, :, None] - context[0][:, None]).sum(-1)
        copied = np.take_along_axis(context[1][..., 0], distance.argmin(-1), axis=1)
        for guess, guessed in (("the nearest of them", copied), ("the mean digit", mean_digit)):
            other = root_mean_square(guessed - values[..., 0], weights=unknown)
            text = f"Given {number} of 64 pixels, the others are predicted better than by {guess}"
            unit = f"of RMSE ({error.mean():.3f} against {other.mean():.3f})"
            claims.append(Claim.below_zero(text, paired_t_test(error - other), unit=unit))
        images = (context, (inputs, found.mean[..., None]), (inputs, found.scale[..., None]))
        titles = (f"{number} pixels", "mean", "deviation")
        columns += [
            ImageColumn(title, images_of_points(*(part[:SHOWN_DIGITS] for part in image), size=8))
            for title, image in zip(titles, images, strict=True)
        ]
    columns.append(ImageColumn("truth", images_of_points(inputs[:SHOWN_DIGITS], values[:SHOWN_DIGITS], size=8)))
    image_columns(workshop.image("completion"), columns=columns, title="Digits completed by a convolutional CNP")
    return claims


def everything_of(source: SceneSource) -> tuple[np.ndarray, np.ndarray]:
    """Returns all points of all scenes of a split: inputs [n, V, P] and values [n, V, C]."""
    views = np.broadcast_to(np.arange(source.num_views), (source.num_scenes, source.num_views))
    extras = source.read_extras(np.arange(source.num_scenes), views)
    return extras["inputs"], extras["values"]


def root_mean_square(errors: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """Returns the root of the weighted mean of squares of errors [n, V], for each row."""
    return np.sqrt((weights * np.square(errors)).sum(1) / weights.sum(1))
