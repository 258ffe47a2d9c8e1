"""Scores of trained models by the number of context views, and their panels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from zoo.analysis.findings import AnalysisInputs
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.images import score_images
from zoo.figures.trends import TrendPanel, trend_of
from zoo.training.trained_model import TrainedModel

# Position of the horizontal axis, such as the number of context views -> metric -> [scenes] float64.
Scores = Mapping[int, Mapping[str, np.ndarray]]
QUANTITIES = {"mse": "MSE of the mean prediction", "nelbo_excess": "excess NELBO (nats)"}
COMPARED = (("mse", "error", "MSE"), ("nelbo_excess", "NELBO", "nats"))  # metric, its name and its unit in claims


def score_by_context(
    given: AnalysisInputs, trained: TrainedModel, *, contexts: Iterable[int]
) -> dict[int, dict[str, np.ndarray]]:
    """Returns the bounds and the metrics of predictions of one target from the prior, by the number of context views."""
    evaluations = {number: given.evaluation(trained, num_context=number) for number in contexts}
    return {
        number: score_scenes(trained.model, evaluation)
        | score_images(trained.model, evaluation, num_samples=given.num_samples)
        for number, evaluation in evaluations.items()
    }


def panels_of(scores: Mapping[str, Scores], quantities: Mapping[str, str]) -> list[TrendPanel]:
    """Returns one panel per metric with a series per label; ``quantities`` are the titles of metrics, with units."""
    return [
        TrendPanel(
            title,
            [
                trend_of(label, list(found), [each[metric] for each in found.values()])
                for label, found in scores.items()
            ],
        )
        for metric, title in quantities.items()
    ]


def by_position(positions: Iterable[int], scores: Mapping[str, np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
    """Returns position -> metric -> [scenes] for metrics [positions, scenes]."""
    return {place: {name: each[row] for name, each in scores.items()} for row, place in enumerate(positions)}
