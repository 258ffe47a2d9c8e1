"""Predictions of a few fixed scenes during training: the same scenes and the same noise at every validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zoo.config.recipe import TrainingRecipe
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.evaluation.images import Sheet, sheet_of
from zoo.evaluation.loop import Evaluation
from zoo.figures.sheets import image_sheet, prediction_groups
from zoo.model.scene_model import SceneModel

PREDICTIONS = "predictions.png"
SAMPLES = 3  # shown of every scene
MEAN_SAMPLES = 8  # averaged to the mean


class FixedScenes:
    """The first scenes of a split, with one target each and as many context views as training has at most.

    Scenes, views and noise do not depend on the step, so that two predictions differ by the weights alone. No random
    number of training is drawn.
    """

    def __init__(self, source: SceneSource, *, recipe: TrainingRecipe, num_scenes: int, device: torch.device) -> None:
        """Raises ConfigError if the scenes have too few views."""
        plan = EvaluationPlan(source, num_context=recipe.contexts.maximum, num_targets=1, max_scenes=num_scenes)
        schedule = evaluation_schedule_values(recipe, device=device)
        self.evaluation = Evaluation(source, plan, schedule=schedule, batch_size=num_scenes)

    def predict(self, model: SceneModel) -> Sheet:
        """Predicts the targets from the prior, with S = :data:`SAMPLES`."""
        return sheet_of(model, self.evaluation, num_samples=SAMPLES, mean_samples=MEAN_SAMPLES)

    def save(self, sheet: Sheet, *, run: Path, step: int) -> np.ndarray:
        """Replaces ``<run>/predictions.png`` atomically; returns the image [H, W, 3] uint8.

        Raises:
            DiskFullError: if it cannot be written; the one before is unchanged.
        """
        source = self.evaluation.source
        path = image_sheet(
            run / PREDICTIONS,
            groups=prediction_groups(**sheet._asdict()),
            title=f"step {step}: predictions from the prior on {source.name}, {source.split}",
            row_labels=[str(scene) for scene in self.evaluation.chosen_scenes],
        )
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
