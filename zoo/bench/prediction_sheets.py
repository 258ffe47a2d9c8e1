"""Sheets and strips of a trained model's predictions, on the episodes that it is measured on."""

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
from zoo.figures.attachments import Strip, save_curve, save_strip
from zoo.figures.curves import LOG, read_curve
from zoo.figures.sheets import image_sheet, prediction_groups
from zoo.results.row import ResultRow
from zoo.results.store import row_path
from zoo.training.trained_model import TrainedModel
from zoo.training.trainer import BEST_METRIC

SCENES = 8
STRIP_SCENES = 4
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
    evaluation = _first_scenes(trained, source, number=SCENES, protocol=protocol, device=device)
    images = sheet_of(trained.model, evaluation, num_samples=SAMPLES, pixel_noise=pixel_noise)
    image_sheet(
        target,
        groups=prediction_groups(**images._asdict()),
        title=title_of(trained, f"predictions from the prior on {source.name}, {source.split}"),
        row_labels=[str(scene) for scene in evaluation.chosen_scenes],
    )


def title_of(trained: TrainedModel, shown: str) -> str:
    """Returns the title of a figure of a model's predictions: variant, step and what is shown."""
    return f"{label_of(trained.variant)}, step {trained.step}: {shown}"


def attach(
    row: ResultRow, folder: Path, *, trained: TrainedModel, source: SceneSource, protocol: Protocol, device: str
) -> None:
    """Writes the files beside a row of a folder: a strip of mean predictions, if they are images, and the learning curve.

    The curve is the excess NELBO of the validations in the run's log; a run without validations has none.

    Raises:
        ResultError: if the log is damaged.
    """
    path = row_path(row, folder)
    if trained.model.task.target_kind == "images":
        evaluation = _first_scenes(trained, source, number=STRIP_SCENES, protocol=protocol, device=device)
        images = sheet_of(trained.model, evaluation, num_samples=1)
        save_strip(Strip(truth=images.truth, predicted=images.mean), path)
    log = trained.run / LOG
    if log.is_file() and (points := read_curve(log, metric=BEST_METRIC)):
        save_curve(points, path)


def _first_scenes(
    trained: TrainedModel, source: SceneSource, *, number: int, protocol: Protocol, device: str
) -> Evaluation:
    """Returns the first scenes of a split as the protocol shows them, also where it measures fewer."""
    plan = plan_of(replace(protocol, max_scenes=None), trained.variant, source)
    schedule = evaluation_schedule_values(trained.variant.training, sigma=protocol.sigma, device=device)
    scenes = np.arange(min(number, source.num_scenes))
    return Evaluation(source, plan, schedule=schedule, batch_size=number, scenes=scenes)
