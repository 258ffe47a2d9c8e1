"""``gqn-zoo localise``."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from zoo.cli import screen
from zoo.cli.options import Json, RegistryFiles
from zoo.cli.trained_run import TrainedRun
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.evaluation.localisation import Located

MAP_ROWS = 5
DEFAULT_SCENES = 10


class SearchOptions(NamedTuple):
    """Options of the search for the best pose, as :class:`zoo.evaluation.localisation.Search`."""

    samples: Annotated[
        int,
        typer.Option(
            "-K",
            "--samples",
            min=0,
            help="Samples of the importance-weighted bound, 0: the ELBO; for a reversed model with latents: of the prior.",
        ),
    ] = 0
    batch_size: Annotated[
        int, typer.Option("-b", "--batch-size", min=1, help="Cameras at once; changes memory, not numbers.")
    ] = 256
    starts: Annotated[
        int, typer.Option(min=0, help="Best cells that are refined by gradient; 0: take the best cell.")
    ] = 4
    steps: Annotated[int, typer.Option(min=0, help="Gradient steps from each of them.")] = 30


def run(
    given: TrainedRun,
    search: SearchOptions,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the maps of the first five scenes into this image.")
    ] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="Number of scenes, one image of each; default: 10 at most.")
    ] = None,
    grid: Annotated[int, typer.Option(min=2, help="Places of the grid along x, and along y.")] = 30,
    yaws: Annotated[int, typer.Option(min=1, help="Directions at each place.")] = 24,
    prior: Annotated[
        Literal["cameras", "uniform"],
        typer.Option(help="p(v) for inversion: the density of the cameras of the data, or uniform over the grid."),
    ] = "cameras",
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Estimate the camera of images: invert a model of images, or query a reversed model; errors and maps."""
    from zoo.bench.measurement import label_of
    from zoo.bench.protocol import Protocol, plan_of
    from zoo.config.schedules import evaluation_schedule_values
    from zoo.evaluation.candidates import localisation_method
    from zoo.evaluation.localisation import Search, localise
    from zoo.evaluation.loop import Evaluation
    from zoo.evaluation.pose_grid import PosePrior, grid_over, read_cameras
    from zoo.figures.probability_maps import probability_maps
    from zoo.figures.style import check_suffix

    if output is not None:
        check_suffix(output)
    sizes = given.sizes
    trained = given.load()
    way = localisation_method(trained.model)
    splits = given.open_splits(trained.variant)
    source = splits[given.split]
    if scenes is not None and scenes > source.num_scenes:
        raise ConfigError(
            f"--scenes: found {scenes}, but split {source.split!r} of {source.name} has {source.num_scenes} scenes"
        )
    protocol = Protocol(num_targets=1, sigma=given.sigma, max_scenes=scenes or DEFAULT_SCENES, seed=given.episodes_seed)
    plans = [plan_of(protocol.at(size, timed=False), trained.variant, source) for size in sizes]
    given.warn_of_untrained_contexts(trained.variant)
    # Without training scenes the cameras are those of the measured ones.
    cameras = read_cameras(splits.get("train", source))
    known = PosePrior(prior, grid=grid_over(cameras, places=grid, turns=yaws), cameras=cameras)
    label = label_of(trained.variant)
    schedule = evaluation_schedule_values(trained.variant.training, sigma=given.sigma, device=given.device)
    found: dict[int, list[Located]] = {}
    with screen.stage_progress(label) as progress:
        for plan in plans:
            stage = partial(progress, f"{plan.num_context} context views")
            evaluation = Evaluation(source, plan, schedule=schedule, batch_size=1, progress=stage)
            found[plan.num_context] = localise(
                trained.model, evaluation, prior=known, search=Search(**search._asdict())
            )
    if as_json:
        facts = {
            "variant": label,
            "way": way,
            "dataset": source.name,
            "split": source.split,
            "grid": list(known.grid.shape),
            "prior": prior if way == "inversion" else "learned",
            "contexts": [
                {"num_context": size, "scenes": [_values(one) for one in some]} for size, some in found.items()
            ],
        }
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
    else:
        _print(found, title=f"{label}, {way}, {source.name} {source.split}")
    if output is not None:
        rows = [
            {f"{size} context views": one for size, one in zip(found, same_scene, strict=True)}
            for same_scene in list(zip(*found.values(), strict=True))[:MAP_ROWS]
        ]
        title = f"{label}, step {trained.step}: {way} on {source.name}, {given.split}"
        probability_maps(output, rows, title=title)
        screen.log(f"wrote {output}")


def _values(one: Located) -> dict[str, Any]:
    names = ("scene", "position_error", "angle_error", "prior_position_error", "prior_angle_error", "entropy", "modes")
    return {
        **{name: getattr(one, name) for name in names},
        "truth": one.truth.tolist(),
        "estimate": one.estimate.tolist(),
        "log_density": one.log_density if one.log_density > -float("inf") else None,
        "prior_log_density": one.prior_log_density,
    }


def _print(found: Mapping[int, list[Located]], *, title: str) -> None:
    from rich import box
    from rich.table import Table

    measures = ("position error (scene units)", "yaw error (degrees)", "log p(true) (nats)")
    table = Table("context views", "scenes", "", *measures, title=title, box=box.SIMPLE_HEAD)
    for size, located in found.items():
        ours = [(one.position_error, one.angle_error, one.log_density) for one in located]
        guessed = [(one.prior_position_error, one.prior_angle_error, one.prior_log_density) for one in located]
        for label, rows in (("model", ours), ("prior alone", guessed)):
            cells = [_mean(values) for values in zip(*rows, strict=True)]
            table.add_row(str(size), str(len(located)), label, *cells)
    screen.stdout_console().print(table)


def _mean(values: Sequence[float]) -> str:
    """Formats a mean with its standard error."""
    if len(values) < 2 or not math.isfinite(sum(values)):
        return f"{sum(values) / len(values):.3g}"
    return f"{statistics.fmean(values):.3g} \N{PLUS-MINUS SIGN} {statistics.stdev(values) / math.sqrt(len(values)):.2g}"
