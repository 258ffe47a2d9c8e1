"""Demonstrations: each trains small models on built-in data and shows, in numbers and a image, a paper's point.

A demonstration is a file in ``zoo/demonstrations`` with ``TITLE``, ``PAPER``, ``MINUTES`` (on two CPU cores) and
``run(workshop) -> list[Claim]``. ``gqn-zoo demonstrate NAME`` runs it; the tests marked ``paper`` run them all and
require that every claim holds.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from zoo.analysis.claim import Claim
from zoo.data.make import make_dataset
from zoo.data.source import Split
from zoo.errors import ConfigError, did_you_mean
from zoo.files import write_json
from zoo.provenance import collect
from zoo.registry.registry import default_registry
from zoo.training.options import ResumeOptions, TrainingOptions
from zoo.training.run import train
from zoo.training.trained_model import TrainedModel, load_trained

__all__ = ["AnalysisContext", "Claim", "Demonstration", "Report", "demonstrate", "demonstration", "names"]

PACKAGE = "zoo.analysis"
SIZE = "demonstration"
CLAIMS = "claims.json"


class Demonstration(Protocol):
    """What a module of ``zoo/demonstrations`` offers."""

    TITLE: str
    PAPER: str
    MINUTES: int

    def run(self, workshop: AnalysisContext) -> list[Claim]:
        """Trains, measures and draws."""


@dataclass(frozen=True)
class AnalysisContext:
    """Where a demonstration works: data, runs and images in one folder; what is there already is not made again.

    Attributes:
        folder: of everything. Demonstrations that share a folder share their data.
        tell: called with one sentence at a time about what is being done.
        seed: of the runs.
    """

    folder: Path
    tell: Callable[[str], None]
    seed: int = 0

    def dataset(
        self,
        recipe: str,
        *,
        num_scenes: Mapping[Split, int],
        image_size: int = 0,
        num_views: int | None = None,
        seed: int = 0,
    ) -> Path:
        """Makes a built-in data set, once."""
        counts = "-".join(str(count) for count in num_scenes.values())
        views = f"-{num_views}-views" if num_views else ""
        folder = self.folder / "data" / f"{recipe}-{image_size}{views}-{counts}-seed-{seed}"
        if not folder.exists():
            self.tell(f"making {sum(num_scenes.values())} scenes of {recipe}")
            make_dataset(
                recipe, folder=folder, num_scenes=num_scenes, image_size=image_size, num_views=num_views, seed=seed
            )
        return folder

    def trained(
        self, variant: str, *, data: Path, size: str = SIZE, overrides: Iterable[str] = (), label: str | None = None
    ) -> TrainedModel:
        """Trains a variant, once; an interrupted run goes on from its checkpoint.

        Args:
            variant: its name in the registry.
            data: the scenes.
            size: of the variant.
            overrides: ``key=value`` changes; runs with other changes need another label.
            label: name of the run's folder; the variant's if left out.

        Returns:
            The model with its last weights.

        Raises:
            KeyboardInterrupt: if the run was interrupted; a checkpoint is there.
        """
        chosen = default_registry().variant(variant, size=size, overrides=overrides)
        run = self.folder / "runs" / f"{label or variant.replace('/', '-')}-seed-{self.seed}"
        steps = chosen.training.steps

        def progress(step: int, figures: Mapping[str, float]) -> None:
            if figures:
                self.tell(f"{label or variant}: step {step} of {steps}, excess {figures['train/nelbo_excess']:.2f}")

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
        """Returns where a figure goes, ``<folder>/<name>.png``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name}.png"


class Report(NamedTuple):
    """What a demonstration showed."""

    name: str
    claims: list[Claim]


SHARED = frozenset({"base", "claim"})  # modules of the package that are no analyses


def names() -> list[str]:
    """Returns the names of all demonstrations."""
    package = importlib.import_module(PACKAGE)
    return sorted({module.name for module in pkgutil.iter_modules(package.__path__)} - SHARED)


def demonstration(name: str) -> Demonstration:
    """Returns a demonstration by name.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in names():
        raise ConfigError(f"there is no demonstration {name!r}{did_you_mean(name, names())}")
    return cast("Demonstration", importlib.import_module(f"{PACKAGE}.{name}"))


def demonstrate(name: str, workshop: AnalysisContext, *, command: Sequence[str] = ()) -> Report:
    """Runs a demonstration and leaves its claims, with the numbers, in ``<folder>/<name>-claims.json``.

    Args:
        name: which one.
        workshop: where.
        command: the command line, for the provenance.
    """
    shown = demonstration(name)
    started = time.monotonic()
    claims = shown.run(workshop)
    facts = {
        "name": name,
        "title": shown.TITLE,
        "paper": shown.PAPER,
        "seconds": round(time.monotonic() - started),  # of this call: what was there already was not made again
        "provenance": collect(
            seed=workshop.seed, command=command, config={"demonstration": name}, device="cpu"
        ).model_dump(),
    }
    write_json(
        workshop.folder / f"{name}-{CLAIMS}",
        {**facts, "claims": [{**claim._asdict(), "holds": bool(claim.holds)} for claim in claims]},
    )
    return Report(name, claims)
