"""Images completed as functions of the pixel: the error at the unknown pixels against the number of known ones.

The baselines are the nearest known pixel (Garnelo et al. 2018, table 1) and the mean of images of the training split.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import missing_values
from zoo.analysis.trends import trend_findings
from zoo.data.plan import EvaluationPlan
from zoo.data.source import INPUTS, VALUES, SceneSource
from zoo.errors import DataError
from zoo.evaluation.values import Predicted, predict_at
from zoo.figures.functions import images_of_points
from zoo.figures.sheets import ImageGroup
from zoo.figures.trends import TrendPanel, trend_of

SHARES = (0.125, 0.25, 0.625)  # of the pixels that are known: 8, 16 and 40 of 64
TRAINING_IMAGES = 400
ROWS = 8  # images of the sheet
NEAREST, MEAN = "nearest known pixel", "mean image"
Errors = Mapping[str, Mapping[int, np.ndarray]]  # label -> number of known pixels -> RMSE [scenes]


class Completed(NamedTuple):
    """Scenes of V pixels, N of them known, and predictions of all."""

    known_inputs: np.ndarray  # [n, N, 2]
    known_values: np.ndarray  # [n, N, 1]
    inputs: np.ndarray  # [n, V, 2]
    predicted: Predicted  # at all V pixels


missing = partial(missing_values, inputs=2, needed="a model of grey values at pixels with a learned standard deviation")


def run(given: AnalysisInputs) -> Findings:
    """Completes the first images, and compares the error with that of both baselines."""
    inputs, values = read_points(given.scenes, num_scenes=given.num_scenes)
    if inputs.shape[-1] != 2:
        raise DataError(f"{given.scenes.name}: its inputs have {inputs.shape[-1]} numbers, expected two, of a pixel")
    training = given.other.open("train", num_scenes=TRAINING_IMAGES)
    # Points are in the same order in all images of a data set of images, because a view is a pixel.
    mean_image = read_points(training, num_scenes=TRAINING_IMAGES)[1].mean(0)[:, 0]
    numbers = [max(1, round(share * inputs.shape[1])) for share in SHARES]
    order = EvaluationPlan(given.scenes, num_context=max(numbers), num_targets=1, seed=given.seed).views
    errors: dict[str, dict[int, np.ndarray]] = {name: {} for name in (*given.models, NEAREST, MEAN)}
    shown: dict[int, Completed] = {}
    for number in numbers:
        known = order[: given.num_scenes, :number, None]
        of_inputs, of_values = (np.take_along_axis(part, known, axis=1) for part in (inputs, values))
        unknown = np.ones(values.shape[:2])
        np.put_along_axis(unknown, known[..., 0], 0.0, axis=1)

        def error(prediction: np.ndarray, weights: np.ndarray = unknown) -> np.ndarray:
            return root_mean_square(prediction - values[..., 0], weights=weights)

        distance = np.square(inputs[:, :, None] - of_inputs[:, None]).sum(-1)
        errors[NEAREST][number] = error(np.take_along_axis(of_values[..., 0], distance.argmin(-1), axis=1))
        errors[MEAN][number] = error(mean_image)
        for label, trained in given.models.items():
            predicted = predict_at(
                trained.model,
                of_inputs,
                of_values,
                queries=inputs,
                schedule=trained.schedule,
                num_samples=1 if trained.model.core.latents == "none" else given.num_samples,
            )
            errors[label][number] = error(predicted.mean)
            if label == next(iter(given.models)):
                shown[number] = Completed(of_inputs, of_values, inputs, predicted)
    trends = [trend_of(label, list(found), list(found.values())) for label, found in errors.items()]
    return trend_findings(
        "completion",
        claims=completion_claims(errors, labels=list(given.models), num_pixels=inputs.shape[1]),
        panels=[TrendPanel("RMSE of unknown pixels (0-to-1 range)", trends)],
        along="known pixels",
        sheets={"images": image_groups(shown, truth=values)},
    )


def completion_claims(errors: Errors, *, labels: list[str], num_pixels: int) -> list[Claim]:
    """Compares every model with both baselines, paired over the images."""
    return conclude(
        [
            Expectation.less(
                f"{label}: given {number} of {num_pixels} pixels, the others are predicted better than by the {baseline}",
                errors[label][number],
                errors[baseline][number],
                unit="RMSE",
            )
            for label in labels
            for number in errors[label]
            for baseline in (NEAREST, MEAN)
        ]
    )


def image_groups(shown: Mapping[int, Completed], *, truth: np.ndarray) -> list[ImageGroup]:
    """Returns the known pixels, mean and deviation of the first images, beside the truth."""
    groups, size = [], round(truth.shape[1] ** 0.5)
    for number, one in shown.items():
        parts = {
            f"{number} pixels": (one.known_inputs, one.known_values),
            "mean": (one.inputs, one.predicted.mean[..., None]),
            "deviation": (one.inputs, one.predicted.scale[..., None]),
        }
        groups += [
            ImageGroup(caption, images_of_points(places[:ROWS], colours[:ROWS], size=size))
            for caption, (places, colours) in parts.items()
        ]
    return [*groups, ImageGroup("truth", images_of_points(one.inputs[:ROWS], truth[:ROWS], size=size))]


def read_points(source: SceneSource, *, num_scenes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns all points of the first scenes of a split: inputs [n, V, P] and values [n, V, C]."""
    scenes = np.arange(min(num_scenes, source.num_scenes))
    views = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
    extras = source.read_extras(scenes, views)
    return extras[INPUTS], extras[VALUES]


def root_mean_square(errors: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """Returns the root of the weighted mean of squares of errors [n, V], for each row."""
    return np.sqrt((weights * np.square(errors)).sum(1) / weights.sum(1))
