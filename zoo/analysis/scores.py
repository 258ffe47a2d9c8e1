"""Scores of trained models on the test scenes, and their panels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from zoo.config.schedules import evaluation_schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.images import score_images
from zoo.evaluation.loop import Evaluation
from zoo.figures.trends import Trend, TrendPanel
from zoo.training.trained_model import TrainedModel

# Position of the horizontal axis, such as the number of context views -> metric -> [scenes] float64.
Scores = Mapping[int, Mapping[str, np.ndarray]]


def evaluation_of(
    trained: TrainedModel,
    test: SceneSource,
    *,
    num_context: int,
    num_targets: int = 1,
    num_scenes: int | None = None,
    shift: int = 0,
) -> Evaluation:
    """Returns episodes of the first ``num_scenes`` test scenes (None: all), at the sigma of evaluation of a model."""
    plan = EvaluationPlan(test, num_context=num_context, num_targets=num_targets)
    schedule = evaluation_schedule_values(trained.variant.training)
    scenes = None if num_scenes is None else np.arange(num_scenes)
    return Evaluation(test, plan, schedule=schedule, batch_size=50, scenes=scenes, shift=shift)


def score_by_context(
    trained: TrainedModel, test: SceneSource, *, contexts: Iterable[int], num_samples: int
) -> dict[int, dict[str, np.ndarray]]:
    """Returns the bounds and the metrics of predictions of one target from the prior, by the number of context views."""
    evaluations = {number: evaluation_of(trained, test, num_context=number) for number in contexts}
    return {
        number: score_scenes(trained.model, evaluation)
        | score_images(trained.model, evaluation, num_samples=num_samples)
        for number, evaluation in evaluations.items()
    }


def panels_of(scores: Mapping[str, Scores], quantities: Mapping[str, str]) -> list[TrendPanel]:
    """Returns one panel per metric with a series per label; ``quantities`` are the titles of metrics, with units."""

    def trends_of(metric: str) -> list[Trend]:
        return [Trend(label, list(found), [each[metric] for each in found.values()]) for label, found in scores.items()]

    return [TrendPanel(title, trends_of(metric)) for metric, title in quantities.items()]
