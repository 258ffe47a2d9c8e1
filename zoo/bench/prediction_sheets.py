"""Sheets of a trained model's predictions, on the episodes that it is measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from zoo.bench.measurement import label_of
from zoo.bench.protocol import Protocol, plan_of
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.source import SceneSource
from zoo.evaluation.images import sheet_of
from zoo.evaluation.loop import Evaluation
from zoo.figures.sheets import prediction_sheet
from zoo.training.trained_model import TrainedModel

SCENES = 8
SAMPLES = 4


def draw_sheet(
    trained: TrainedModel,
    source: SceneSource,
    *,
    target: Path,
    protocol: Protocol,
    device: str,
    pixel_noise: bool = False,
) -> None:
    """Draws predictions from the prior for the first scenes of a split: context, truth, mean, samples.

    The episodes are those of ``protocol``; with ``pixel_noise`` the samples have the likelihood's own noise.

    Raises:
        ConfigError: if the scenes have too few views.
        ResultError: if the image's format is unknown.
    """
    # The episodes of the row; all eight scenes also where fewer were measured.
    plan = plan_of(replace(protocol, max_scenes=None), trained.variant, source)
    scenes = np.arange(min(SCENES, source.num_scenes))
    schedule = evaluation_schedule_values(trained.variant.training, sigma=protocol.sigma, device=device)
    evaluation = Evaluation(source, plan, schedule=schedule, batch_size=SCENES, scenes=scenes)
    images = sheet_of(trained.model, evaluation, num_samples=SAMPLES, pixel_noise=pixel_noise)
    prediction_sheet(
        target,
        **images._asdict(),
        title=f"{label_of(trained.variant)}, step {trained.step}: predictions from the prior on {source.name}, {source.split}",
        row_labels=[str(scene) for scene in scenes],
    )
