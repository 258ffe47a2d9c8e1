"""Running an analysis: data and small models are made once in a folder, claims and figures are written there."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.analysis.catalogue import find_demonstration
from zoo.analysis.claims import Claim
from zoo.data.make import make_dataset
from zoo.data.source import Split
from zoo.files import write_json
from zoo.provenance import collect
from zoo.registry.registry import default_registry
from zoo.training.options import ResumeOptions, TrainingOptions
from zoo.training.run import train
from zoo.training.trained_model import TrainedModel, load_trained

SIZE = "small"
# Overrides for small recurrent cores and their encoders.
SMALL_CORE = (
    "encoder.channels=32",
    "core.steps=3",
    "core.z_channels=4",
    "core.hidden_channels=32",
    "core.canvas_channels=16",
    "core.read_channels=16",
)


@dataclass(frozen=True)
class AnalysisContext:
    """The folder of an analysis, with data sets, runs and images. What exists is used again.

    Attributes:
        folder: analyses that share a folder share their data sets.
        log: called with one sentence at a time about the progress.
        seed: of the runs.
    """

    folder: Path
    log: Callable[[str], None]
    seed: int = 0

    def dataset(
        self,
        recipe: str,
        *,
        num_scenes: Mapping[Split, int],
        image_size: int = 0,
        num_views: int | None = None,
    ) -> Path:
        """Makes a built-in data set unless it exists, and returns its folder."""
        counts = "-".join(str(count) for count in num_scenes.values())
        views = f"-{num_views}-views" if num_views else ""
        folder = self.folder / "data" / f"{recipe}-{image_size}{views}-{counts}"
        if not folder.exists():
            self.log(f"making {sum(num_scenes.values())} scenes of {recipe}")
            make_dataset(recipe, folder=folder, num_scenes=num_scenes, image_size=image_size, num_views=num_views)
        return folder

    def trained(
        self, variant: str, *, data: Path, overrides: Iterable[str] = (), label: str | None = None
    ) -> TrainedModel:
        """Trains a variant unless it is trained, and returns the model with its last weights; resumes interrupted runs.

        ``overrides`` are ``key=value`` changes; runs with other changes need another ``label``, the name of their folder.

        Raises:
            KeyboardInterrupt: if the run was interrupted, after a checkpoint was written.
        """
        chosen = default_registry().variant(variant, size=SIZE, overrides=overrides)
        label = label or variant
        run = self.folder / "runs" / f"{label}-seed-{self.seed}"
        steps = chosen.training.steps

        def progress(step: int, values: Mapping[str, float]) -> None:
            if values:
                self.log(f"{label}: step {step} of {steps}, excess NELBO {values['train/nelbo_excess']:.2f}")

        report = train(
            chosen,
            data=data,
            run=run,
            seed=self.seed,
            options=TrainingOptions(
                log_interval=max(1, steps // 8),
                validation_interval=max(1, steps // 8),
                validation_scenes=64,
                save_interval=max(1, steps // 4),
            ),
            resume=ResumeOptions(mode="auto"),
            cpu=True,
            progress=progress,
        )
        if report.status == "interrupted":
            raise KeyboardInterrupt
        return load_trained(run, which="last")

    def image(self, name: str) -> Path:
        """Returns the path of a figure, ``<folder>/<name>.png``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name}.png"


def run_analysis(name: str, context: AnalysisContext, *, command: Sequence[str] = ()) -> list[Claim]:
    """Runs an analysis, writes its claims to ``<folder>/<name>-claims.json`` and returns them.

    Raises:
        ConfigError: if there is no analysis of that name.
    """
    analysis = find_demonstration(name)
    started = time.monotonic()
    claims: list[Claim] = importlib.import_module(f"zoo.analysis.{name}").run(context)
    provenance = collect(seed=context.seed, command=command, config={"demonstration": name}, device="cpu")
    write_json(
        context.folder / f"{name}-claims.json",
        {
            "name": name,
            "title": analysis.title,
            "paper": analysis.paper,
            "seconds": round(time.monotonic() - started),  # of this call: what existed was not made again
            "provenance": provenance.model_dump(),
            "claims": [claim._asdict() for claim in claims],
        },
    )
    return claims
