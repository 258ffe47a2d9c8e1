"""What an analysis is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from zoo.analysis.claims import Claim
from zoo.analysis.scenes import AnalysisScenes
from zoo.data.opening import Source
from zoo.data.plan import EvaluationPlan
from zoo.errors import ConfigError
from zoo.evaluation.loop import Evaluation
from zoo.figures.sheets import ImageGroup
from zoo.training.trained_model import TrainedModel

Draw = Callable[[Path], object]
Sheets = Mapping[str, Draw | Sequence[ImageGroup]]
NO_SHEETS: Sheets = MappingProxyType({})
BATCH_SIZE = 50  # scenes at once


@dataclass(frozen=True, kw_only=True)
class AnalysisInputs:
    """What an analysis is given.

    Attributes:
        models: label -> trained model, in the order of the command line. All read scenes like ``scenes``.
        scenes: the split ``test``.
        other: opens another split, ``other.open("train", num_scenes=400)``.
        num_scenes: how many of its first scenes to use.
        num_samples: of the latents.
        num_seeds: of each kind of policy, for an analysis that trains some.
        env_steps: environment steps of every such training.
        seed: of the choice of context and target views.
        folder: the output folder.
        log: called with one sentence at a time about the progress.
    """

    models: Mapping[str, TrainedModel]
    scenes: Source
    other: AnalysisScenes
    num_scenes: int
    num_samples: int
    seed: int
    folder: Path
    log: Callable[[str], None]
    num_seeds: int = 0
    env_steps: int = 0

    def evaluation(
        self,
        trained: TrainedModel,
        *,
        num_context: int,
        num_targets: int = 1,
        num_scenes: int | None = None,
    ) -> Evaluation:
        """Returns episodes of the first scenes (None: ``num_scenes``), at the sigma of evaluation of a model.

        Raises:
            ConfigError: if a scene has too few views.
        """
        plan = EvaluationPlan(
            self.scenes,
            num_context=num_context,
            num_targets=num_targets,
            seed=self.seed,
            max_scenes=num_scenes or self.num_scenes,
        )
        return Evaluation(self.scenes, plan, schedule=trained.schedule, batch_size=BATCH_SIZE)

    def contexts(self, *, least: int = 0) -> list[int]:
        """Returns the numbers of context views that all models were trained with, and that leave one view to predict.

        None is below ``least``.

        Raises:
            ConfigError: if there are fewer than two.
        """
        ranges = [trained.variant.training.contexts for trained in self.models.values()]
        first, last = max(each.minimum for each in ranges), min(each.maximum for each in ranges)
        numbers = list(range(max(first, least), min(last, self.scenes.num_views - 1) + 1))
        if len(numbers) < 2:
            raise ConfigError(
                f"{', '.join(self.models)}: expected training with at least two common numbers of context views below the "
                f"{self.scenes.num_views} views of a scene of {self.scenes.name}"
            )
        return numbers


class Findings(NamedTuple):
    """What an analysis found; the framework writes the files.

    Attributes:
        claims: one sentence with its interval each.
        table: exactly the numbers of the figure.
        draw: draws the figure to a path.
        sheets: further figures, suffix of their name -> how to draw them, or groups of images that are drawn below the
            title of the analysis.
    """

    claims: Sequence[Claim]
    table: pd.DataFrame
    draw: Draw
    sheets: Sheets = NO_SHEETS
