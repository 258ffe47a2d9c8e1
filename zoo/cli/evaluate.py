"""``gqn-zoo evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from zoo.cli import screen
from zoo.cli.options import ImportanceSamples, Json, RegistryFiles, parse_importance_samples
from zoo.cli.trained_run import TrainedRun
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.bench.protocol import Protocol
    from zoo.data.opening import Source
    from zoo.data.source import Split
    from zoo.results.row import ResultRow
    from zoo.training.trained_model import TrainedModel


class Measurement(NamedTuple):
    """Options of what is measured."""

    targets: Annotated[int | None, typer.Option(min=1, help="Targets per scene; default: as in training.")] = None
    importance_samples: ImportanceSamples = None
    prediction_samples: Annotated[
        int, typer.Option(min=1, help="Samples per prediction; their mean, the first and the best count.")
    ] = 10
    metrics: Annotated[
        str,
        typer.Option(
            help="Metrics beside the bounds, separated by commas: wrong-context, separate-targets, bits-per-dim, "
            "reconstruction, predictions, hidden-digits; all, or none."
        ),
    ] = "all"
    limit: Annotated[
        int | None, typer.Option(min=1, help="Largest number of scenes, the first ones; default: the whole split.")
    ] = None
    batch_size: Annotated[
        int, typer.Option("-b", "--batch-size", min=1, help="Scenes at once; changes memory, not numbers.")
    ] = 36
    repeats: Annotated[int, typer.Option(min=0, help="Repetitions of the speed measurement; 0: none.")] = 10

    def protocol(self, given: TrainedRun) -> Protocol:
        """Returns the protocol of the measurement."""
        from zoo.bench.protocol import METRICS, Protocol

        named = {"all": tuple(METRICS), "none": ()}
        listed = tuple(name.strip() for name in self.metrics.split(","))
        return Protocol(
            num_targets=self.targets,
            sigma=given.sigma,
            importance_samples=parse_importance_samples(self.importance_samples),
            prediction_samples=self.prediction_samples,
            metrics=named.get(self.metrics, listed),
            max_scenes=self.limit,
            batch_size=self.batch_size,
            repeats=self.repeats,
            seed=given.episodes_seed,
        )


def run(
    given: TrainedRun,
    measurement: Measurement,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also measure the mean image and a copy of the nearest context view.")
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option(help="Folder for the rows; default: results/rows in the run, or NAME-rows of a shipped name."),
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw predictions of eight scenes into this image.")] = None,
    pixel_noise: Annotated[
        bool, typer.Option("--pixel-noise", help="Draw the sheet's samples with the likelihood's pixel noise.")
    ] = False,
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Measure a trained model on a whole split: bounds at fixed sigma, images, speed; one row per context size."""
    from zoo.bench.prediction_sheets import attach, draw_sheet
    from zoo.cli.table_output import print_to_terminal
    from zoo.comparison.leaderboards import leaderboards_of
    from zoo.comparison.tables import tables_of
    from zoo.results.store import rows_in, save_row
    from zoo.results.weights import CARD

    protocol = measurement.protocol(given)
    trained = given.load()
    splits = given.open_splits(trained.variant, *(("train",) if baselines else ()))
    evaluation = ModelEvaluation(given, trained, splits, protocol)
    evaluation.check(sheet)
    given.warn_of_untrained_contexts(trained.variant)
    shipped = (trained.run / CARD).is_file()  # such a folder stays as it is
    folder = results or (Path(f"{trained.run.name}-rows") if shipped else trained.run / "results" / "rows")
    rows: list[ResultRow] = []
    for row in chain(evaluation.model_rows(), evaluation.baseline_rows(rows_in(folder)) if baselines else ()):
        rows.append(row)
        if row.key is not None and not row.is_baseline:
            at = protocol.at(row.key.num_context, timed=False)
            attach(row, folder, trained=trained, source=splits[given.split], protocol=at, device=given.device)
        save_row(row, folder)
    if sheet is not None:
        draw_sheet(
            trained,
            splits[given.split],
            target=sheet,
            protocol=protocol.at(given.sizes[0], timed=False),
            device=given.device,
            pixel_noise=pixel_noise,
        )
    if as_json:  # without their lists of numbers per scene
        typer.echo(json.dumps([row.model_dump(mode="json", exclude={"per_scene"}) for row in rows], indent=2))
    else:
        print_to_terminal(tables_of(leaderboards_of(rows)))
    screen.log(f"{len(rows)} row(s) in {folder}. Next: gqn-zoo compare {folder}")


class ModelEvaluation(NamedTuple):
    """A trained model on one split, at several context sizes."""

    given: TrainedRun
    trained: TrainedModel
    splits: Mapping[Split, Source]
    protocol: Protocol

    def check(self, sheet: Path | None) -> None:
        """Refuses what cannot be measured at any of the context sizes, or drawn, before the first is measured."""
        from zoo.bench.protocol import plan_of
        from zoo.figures.sheets import check_format

        for num_context in self.given.sizes:
            plan_of(self.protocol.at(num_context, timed=False), self.trained.variant, self.splits[self.given.split])
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

        first: ResultRow | None = None
        with screen.stage_progress(self.trained.variant.name) as progress:
            for num_context in self.given.sizes:
                row = evaluate(
                    self.trained,
                    self.splits[self.given.split],
                    protocol=self.protocol.at(num_context, timed=first is None),
                    calibration=calibration_split(self.splits, reported=self.given.split),
                    speeds_of=first,
                    device=self.given.device,
                    command=["gqn-zoo", *sys.argv[1:]],
                    progress=progress,
                )
                first = first or row
                yield row

    def baseline_rows(self, present: Sequence[ResultRow]) -> Iterator[ResultRow]:
        """Yields the rows of the baselines that are not among the ``present`` ones."""
        from zoo.bench.baselines import baseline_rows

        for num_context in self.given.sizes:
            yield from baseline_rows(
                self.trained.variant,
                self.splits,
                reported=self.given.split,
                protocol=self.protocol.at(num_context, timed=False),
                present=present,
                command=["gqn-zoo", *sys.argv[1:]],
            )
