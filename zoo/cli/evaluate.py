"""``gqn-zoo evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zoo.cli.options import Contexts, Cpu, Data, ImportanceSamples, bound_samples, numbers

if TYPE_CHECKING:
    from zoo.results.row import ResultRow


def run(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a checkpoint.")],
    data: Data,
    split: Annotated[Literal["train", "validation", "test"], typer.Option("--split")] = "test",
    which: Annotated[
        Literal["best", "last"],
        typer.Option("--checkpoint", help="Of a run: the best on its validation scenes, or the last."),
    ] = "best",
    contexts: Contexts = None,
    targets: Annotated[
        int | None, typer.Option("--targets", min=1, help="Targets of a scene; default: as in training.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option("--sigma", help="Of the annealed Gaussian; default: where training ends.")
    ] = None,
    importance_samples: ImportanceSamples = None,
    prediction_samples: Annotated[
        int, typer.Option("--prediction-samples", min=1, help="Samples of a prediction: their mean, one, the best.")
    ] = 10,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            help="What is measured beside the bounds, with commas: wrong-context, separate-targets, bits-per-dim, "
            "reconstruction, predictions; all, or none.",
        ),
    ] = "all",
    references: Annotated[
        bool,
        typer.Option("--references", help="Also measure the mean image and a copy of the nearest context view."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many scenes; default: the whole split.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("-b", "--batch-size", min=1, help="Scenes at once; changes memory, not numbers.")
    ] = 36,
    repeats: Annotated[
        int, typer.Option("--repeats", min=0, help="Repetitions of the speed measurement; 0: none.")
    ] = 10,
    seed: Annotated[
        int, typer.Option("--episodes-seed", min=0, help="Decides which views are context and targets.")
    ] = 0,
    results: Annotated[
        Path | None, typer.Option("--results", help="Folder for the rows; default: results/rows in the run.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw predictions of eight scenes into this image.")
    ] = None,
    pixel_noise: Annotated[
        bool, typer.Option("--pixel-noise", help="Draw the sheet's samples with the likelihood's pixel noise.")
    ] = False,
    cpu: Cpu = False,
) -> None:
    """Measure a trained model on a whole split: bounds at fixed sigma, images, speed; one row for each context size."""
    from zoo.bench.baselines import BaselineScenes, baseline_rows
    from zoo.bench.measurement import evaluate
    from zoo.bench.prediction_sheets import draw_sheet
    from zoo.bench.protocol import Protocol, calibration_of, plan_of
    from zoo.cli import screen
    from zoo.comparison.markup import to_terminal
    from zoo.comparison.tables import tables_of
    from zoo.data.opening import open_scenes
    from zoo.errors import ConfigError
    from zoo.figures.sheets import check_format
    from zoo.results.store import rows_in, save_row
    from zoo.training.run import device_of
    from zoo.training.trained_model import load_trained

    device = device_of(cpu=cpu)
    protocol = Protocol(
        num_targets=targets,
        sigma=sigma,
        importance_samples=bound_samples(importance_samples),
        prediction_samples=prediction_samples,
        metrics=_metrics(metrics),
        max_scenes=limit,
        batch_size=batch_size,
        repeats=repeats,
        seed=seed,
    )
    sizes = numbers(contexts, option="--contexts")
    trained = load_trained(path, device=device, which=which)
    source = open_scenes(data, split)
    calibration = calibration_of(data, reported=split)
    scenes = BaselineScenes.of(data, split) if references else None
    # A mistake in the last of several sizes, or in the image's name, is told before the first is measured.
    for num_context in sizes:
        plan_of(protocol.at(num_context, timed=False), trained.variant, source)
    if sheet is not None:
        if trained.model.task.target_kind != "images":
            raise ConfigError(
                f"--sheet: {trained.variant.name!r} predicts {trained.model.task.target_kind}, of which there is no sheet"
            )
        check_format(sheet)
    folder = results or trained.run / "results" / "rows"
    rows: list[ResultRow] = []
    with screen.stage_progress(trained.variant.name) as progress:
        for index, num_context in enumerate(sizes):
            row = evaluate(
                trained,
                source,
                protocol=protocol.at(num_context, timed=index == 0),
                calibration=calibration,
                speeds_of=rows[0] if rows else None,
                device=device,
                command=["gqn-zoo", *sys.argv[1:]],
                progress=progress,
            )
            rows.append(row)
            save_row(row, folder)
    if scenes is not None:
        for num_context in sizes:
            made = baseline_rows(
                trained.variant,
                scenes,
                protocol=protocol.at(num_context, timed=False),
                present=rows_in(folder),
                command=["gqn-zoo", *sys.argv[1:]],
            )
            for row in made:
                rows.append(row)
                save_row(row, folder)
    if sheet is not None:
        draw_sheet(
            trained,
            source,
            target=sheet,
            num_context=sizes[0],
            protocol=protocol,
            device=device,
            pixel_noise=pixel_noise,
        )
    console = screen.stdout_console()
    console.print(to_terminal(tables_of(rows), width=console.width))
    screen.log(f"{len(rows)} row(s) in {folder}. Next: gqn-zoo compare {folder}")


def _metrics(text: str) -> tuple[str, ...]:
    """Parses names with commas, ``all`` or ``none``; that the names are right is seen to by the protocol."""
    from zoo.bench.protocol import METRICS

    named = {"all": tuple(METRICS), "none": ()}
    return named[text] if text in named else tuple(name.strip() for name in text.split(","))
