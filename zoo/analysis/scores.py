"""Scores of trained models on the test scenes, and their panels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.config.schedules import evaluation_schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.evaluation.images import Sheet, score_images, sheet_of
from zoo.evaluation.nelbo import score_scenes
from zoo.figures.trends import Trend, TrendPanel
from zoo.training.trained_model import TrainedModel

BATCH_SIZE = 50

# Position of the horizontal axis, such as the number of context views -> metric -> [scenes] float64.
Scores = Mapping[int, Mapping[str, np.ndarray]]


def bounds_of(
    trained: TrainedModel, test: SceneSource, *, num_context: int, num_targets: int = 1, shift: int = 0
) -> dict[str, np.ndarray]:
    """Returns the bound and its parts in nats per target, [scenes] each.

    Args:
        trained: the model.
        test: all scenes are scored.
        num_context: context views.
        num_targets: target views.
        shift: 0: every scene has its own context; k: that of the scene k places later.
    """
    return score_scenes(
        trained.model,
        test,
        EvaluationPlan(test, num_context=num_context, num_targets=num_targets),
        schedule=evaluation_schedule_values(trained.variant.training),
        batch_size=BATCH_SIZE,
        device="cpu",
        shift=shift,
    )


def image_metrics_of(
    trained: TrainedModel, test: SceneSource, *, num_context: int, num_samples: int
) -> dict[str, np.ndarray]:
    """Returns the metrics of predictions of one target from the prior, [scenes] each."""
    return score_images(
        trained.model,
        test,
        EvaluationPlan(test, num_context=num_context, num_targets=1),
        schedule=evaluation_schedule_values(trained.variant.training),
        batch_size=BATCH_SIZE,
        num_samples=num_samples,
        device="cpu",
    )


def predictions_of(
    trained: TrainedModel, test: SceneSource, *, num_context: int, num_scenes: int, num_samples: int = 1
) -> Sheet:
    """Predicts one target each of the first scenes from the prior."""
    return sheet_of(
        trained.model,
        test,
        EvaluationPlan(test, num_context=num_context, num_targets=1),
        scenes=np.arange(num_scenes),
        schedule=evaluation_schedule_values(trained.variant.training),
        num_samples=num_samples,
        device="cpu",
    )


def trends_of(scores: Mapping[str, Scores], metric: str) -> list[Trend]:
    """Returns one series of a metric per label."""
    return [
        Trend(label, list(positions), [found[metric] for found in positions.values()])
        for label, positions in scores.items()
    ]


def panels_of(scores: Mapping[str, Scores], quantities: Mapping[str, str]) -> list[TrendPanel]:
    """Returns one panel per metric with a series per label; ``quantities`` are the titles of metrics, with units."""
    return [TrendPanel(title, trends_of(scores, metric)) for metric, title in quantities.items()]
