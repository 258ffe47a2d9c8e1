"""``gqn-zoo evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli import options
from zoo.cli.options import parse_contexts, parse_importance_samples

if TYPE_CHECKING:
    from zoo.bench.protocol import Protocol
    from zoo.data.opening import Source
    from zoo.data.source import Split
    from zoo.results.row import ResultRow
    from zoo.training.trained_model import TrainedModel

Targets = Annotated[int | None, typer.Option("--targets", min=1, help="Targets per scene; default: as in training.")]
PredictionSamples = Annotated[
    int,
    typer.Option(
        "--prediction-samples", min=1, help="Samples per prediction; their mean, the first and the best count."
    ),
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        help="Metrics beside the bounds, separated by commas: wrong-context, separate-targets, bits-per-dim, "
        "reconstruction, predictions; all, or none.",
    ),
]
Baselines = Annotated[
    bool, typer.Option("--baselines", help="Also measure the mean image and a copy of the nearest context view.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Largest number of scenes, the first ones; default: the whole split."),
]
BatchSize = Annotated[
    int, typer.Option("-b", "--batch-size", min=1, help="Scenes at once; changes memory, not numbers.")
]
Repeats = Annotated[int, typer.Option("--repeats", min=0, help="Repetitions of the speed measurement; 0: none.")]
Results = Annotated[
    Path | None, typer.Option("--results", help="Folder for the rows; default: results/rows in the run.")
]
Sheet = Annotated[Path | None, typer.Option("--sheet", help="Draw predictions of eight scenes into this image.")]
PixelNoise = Annotated[
    bool, typer.Option("--pixel-noise", help="Draw the sheet's samples with the likelihood's pixel noise.")
]


def run(
    path: options.Run,
    data: options.Data,
    split: options.Split = "test",
    which: options.Which = "best",
    contexts: options.Contexts = None,
    targets: Targets = None,
    sigma: options.Sigma = None,
    importance_samples: options.ImportanceSamples = None,
    prediction_samples: PredictionSamples = 10,
    metrics: Metrics = "all",
    baselines: Baselines = False,
    limit: Limit = None,
    batch_size: BatchSize = 36,
    repeats: Repeats = 10,
    seed: options.EpisodesSeed = 0,
    results: Results = None,
    sheet: Sheet = None,
    pixel_noise: PixelNoise = False,
    as_json: options.Json = False,
    cpu: options.Cpu = False,
    registry_files: options.RegistryFiles = [],  # noqa: B006  (typer copies it)
) -> None:
    """Measure a trained model on a whole split: bounds at fixed sigma, images, speed; one row per context size."""
    from zoo.bench.prediction_sheets import draw_sheet
    from zoo.bench.protocol import Protocol
    from zoo.cli import screen
    from zoo.cli.trained_run import open_splits_for, warn_of_untrained_contexts
    from zoo.results.store import save_row
    from zoo.training.run import device_of
    from zoo.training.trained_model import load_trained

    device = device_of(cpu=cpu)
    protocol = Protocol(
        num_targets=targets,
        sigma=sigma,
        importance_samples=parse_importance_samples(importance_samples),
        prediction_samples=prediction_samples,
        metrics=_metrics(metrics),
        max_scenes=limit,
        batch_size=batch_size,
        repeats=repeats,
        seed=seed,
    )
    trained = load_trained(path, device=device, which=which)
    splits = open_splits_for(trained.variant, data, split, *(("train",) if baselines else ()))
    evaluation = _Evaluation(trained, splits, split, protocol=protocol, sizes=parse_contexts(contexts), device=device)
    evaluation.check(sheet)
    warn_of_untrained_contexts(trained.variant, evaluation.sizes)
    folder = results or trained.run / "results" / "rows"
    rows: list[ResultRow] = []
    for row in chain(evaluation.model_rows(), evaluation.baseline_rows(folder) if baselines else ()):
        rows.append(row)
        save_row(row, folder)
    if sheet is not None:
        draw_sheet(
            trained,
            splits[split],
            target=sheet,
            num_context=evaluation.sizes[0],
            protocol=protocol,
            device=device,
            pixel_noise=pixel_noise,
        )
    _print(rows, as_json=as_json)
    screen.log(f"{len(rows)} row(s) in {folder}. Next: gqn-zoo compare {folder}")


def _metrics(text: str) -> tuple[str, ...]:
    """Parses names separated by commas, ``all`` or ``none``; the protocol checks the names."""
    from zoo.bench.protocol import METRICS

    named = {"all": tuple(METRICS), "none": ()}
    return named[text] if text in named else tuple(name.strip() for name in text.split(","))


@dataclass(frozen=True)
class _Evaluation:
    """A trained model on one split, at several context sizes."""

    trained: TrainedModel
    splits: Mapping[Split, Source]
    split: Split
    _: KW_ONLY
    protocol: Protocol
    sizes: Sequence[int | None]
    device: str

    def check(self, sheet: Path | None) -> None:
        """Refuses what cannot be measured at any of the context sizes, or drawn, before the first is measured.

        Raises:
            ConfigError, ResultError: naming the option.
        """
        from zoo.bench.protocol import plan_of
        from zoo.errors import ConfigError
        from zoo.figures.sheets import check_format

        for num_context in self.sizes:
            plan_of(self.protocol.at(num_context, timed=False), self.trained.variant, self.splits[self.split])
        if sheet is None:
            return
        target = self.trained.model.task.target_kind
        if target != "images":
            raise ConfigError(f"--sheet: {self.trained.variant.name!r} predicts {target}, of which there is no sheet")
        check_format(sheet)

    def model_rows(self) -> Iterator[ResultRow]:
        """Yields one row per context size; the speed is measured with the first."""
        from zoo.bench.measurement import evaluate
        from zoo.bench.protocol import calibration_split
        from zoo.cli import screen

        first: ResultRow | None = None
        with screen.stage_progress(self.trained.variant.name) as progress:
            for num_context in self.sizes:
                row = evaluate(
                    self.trained,
                    self.splits[self.split],
                    protocol=self.protocol.at(num_context, timed=first is None),
                    calibration=calibration_split(self.splits, reported=self.split),
                    speeds_of=first,
                    device=self.device,
                    command=["gqn-zoo", *sys.argv[1:]],
                    progress=progress,
                )
                first = first or row
                yield row

    def baseline_rows(self, folder: Path) -> Iterator[ResultRow]:
        """Yields the rows of the baselines that are not in the folder yet."""
        from zoo.bench.baselines import BaselineScenes, baseline_rows
        from zoo.bench.protocol import calibration_split
        from zoo.results.store import rows_in

        calibration = calibration_split(self.splits, reported=self.split)
        scenes = BaselineScenes(self.splits[self.split], self.splits["train"], calibration)
        for num_context in self.sizes:
            yield from baseline_rows(
                self.trained.variant,
                scenes,
                protocol=self.protocol.at(num_context, timed=False),
                present=rows_in(folder),
                command=["gqn-zoo", *sys.argv[1:]],
            )


def _print(rows: Sequence[ResultRow], *, as_json: bool) -> None:
    """Prints rows as tables, or as JSON without their lists of numbers per scene."""
    from zoo.cli import screen
    from zoo.comparison.leaderboards import leaderboards_of
    from zoo.comparison.markup import to_terminal
    from zoo.comparison.tables import tables_of

    if as_json:
        typer.echo(json.dumps([row.model_dump(mode="json", exclude={"per_scene"}) for row in rows], indent=2))
        return
    console = screen.stdout_console()
    console.print(to_terminal(tables_of(leaderboards_of(rows)), width=console.width))
