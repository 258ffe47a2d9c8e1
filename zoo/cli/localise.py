"""``gqn-zoo localise``."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zoo.cli.options import Contexts, Cpu, Data, Json, numbers

if TYPE_CHECKING:
    from zoo.data.source import SceneSource
    from zoo.evaluation.localisation import Located
    from zoo.evaluation.pose_grid import PosePrior

MAP_ROWS = 5


def run(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a checkpoint.")],
    data: Data,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the maps of the first five scenes into this image.")
    ] = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option("--split")] = "test",
    which: Annotated[
        Literal["best", "last"],
        typer.Option("--checkpoint", help="Of a run: the best on its validation scenes, or the last."),
    ] = "best",
    scenes: Annotated[int, typer.Option("--scenes", min=1, help="How many scenes, one image of each.")] = 10,
    contexts: Contexts = None,
    places: Annotated[int, typer.Option("--grid", min=2, help="Places of the grid along x, and along y.")] = 30,
    yaws: Annotated[int, typer.Option("--yaws", min=1, help="Directions at each place.")] = 24,
    prior: Annotated[
        Literal["cameras", "uniform"],
        typer.Option(help="p(v) for inversion: as the cameras of the data stand, or even over the grid."),
    ] = "cameras",
    samples: Annotated[
        int,
        typer.Option(
            "-K",
            "--samples",
            min=0,
            help="Of the importance-weighted bound, 0 being the ELBO; of a reversed model with latents: of the prior.",
        ),
    ] = 0,
    starts: Annotated[
        int, typer.Option("--starts", min=0, help="Best cells to go on from by gradient; 0: stay at the best cell.")
    ] = 4,
    steps: Annotated[int, typer.Option("--steps", min=0, help="Steps from each of them.")] = 30,
    sigma: Annotated[
        float | None, typer.Option("--sigma", help="Of the annealed Gaussian; default: where training ends.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("-b", "--batch-size", min=1, help="Cameras at once; changes memory, not numbers.")
    ] = 256,
    seed: Annotated[
        int, typer.Option("--episodes-seed", min=0, help="Decides which views are context and target.")
    ] = 0,
    as_json: Json = False,
    cpu: Cpu = False,
) -> None:
    """Find where images were taken: invert a model of images, or ask a reversed model; errors and maps of the floor."""
    from zoo.bench.measurement import label_of
    from zoo.bench.protocol import Protocol, plan_of
    from zoo.cli import screen
    from zoo.config.schedules import evaluation_schedule_values
    from zoo.data.opening import open_scenes
    from zoo.errors import ResultError
    from zoo.evaluation.candidates import way_to_localise
    from zoo.evaluation.localisation import localise
    from zoo.evaluation.refine_poses import Search
    from zoo.figures.style import SUFFIXES
    from zoo.training.run import device_of
    from zoo.training.trained_model import load_trained

    if output is not None and output.suffix not in SUFFIXES:
        raise ResultError(f"{output}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    device = device_of(cpu=cpu)
    search = Search(samples=samples, batch_size=batch_size, starts=starts, steps=steps)
    sizes = numbers(contexts, option="--contexts")
    trained = load_trained(path, device=device, which=which)
    way = way_to_localise(trained.model)
    source = open_scenes(data, split)
    protocol = Protocol(num_targets=1, sigma=sigma, max_scenes=scenes, seed=seed)
    plans = [plan_of(protocol.at(size, timed=False), trained.variant, source) for size in sizes]
    known = _prior(data, source, kind=prior, places=places, yaws=yaws)
    found: dict[int, list[Located]] = {}
    with screen.stage_progress(label_of(trained.variant)) as progress:
        for plan in plans:
            found[plan.num_context] = localise(
                trained.model,
                source,
                plan,
                schedule=evaluation_schedule_values(trained.variant.training, sigma=sigma, device=device),
                prior=known,
                search=search,
                device=device,
                progress=partial(progress, f"{plan.num_context} context views"),
            )
    facts = {
        "variant": label_of(trained.variant),
        "way": way,
        "dataset": source.name,
        "split": source.split,
        "grid": list(known.grid.shape),
        "prior": prior if way == "inversion" else "learned",
        "contexts": [{"num_context": size, "scenes": [_numbers(one) for one in some]} for size, some in found.items()],
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
    else:
        _print(found, title=f"{label_of(trained.variant)}, {way}, {source.name} {source.split}")
    if output is not None:
        _draw(output, found, title=f"{label_of(trained.variant)}, step {trained.step}: {way} on {source.name}, {split}")
        screen.log(f"wrote {output}")


def _prior(
    data: Path, source: SceneSource, *, kind: Literal["cameras", "uniform"], places: int, yaws: int
) -> PosePrior:
    """Makes grid and prior of the cameras that a model was trained with, where those scenes are at hand."""
    from zoo.data.opening import open_scenes
    from zoo.errors import DataError
    from zoo.evaluation.pose_grid import PosePrior, grid_over, read_cameras

    try:
        known = read_cameras(open_scenes(data, "train"))
    except DataError:
        known = read_cameras(source)
    return PosePrior(kind, grid=grid_over(known, places=places, turns=yaws), cameras=known)


def _numbers(one: Located) -> dict[str, object]:
    return {
        "scene": one.scene,
        "truth": one.truth.tolist(),
        "estimate": one.estimate.tolist(),
        "position_error": one.position_error,
        "angle_error": one.angle_error,
        "prior_position_error": one.guess_position_error,
        "prior_angle_error": one.guess_angle_error,
        "log_density": one.log_density if one.log_density > -float("inf") else None,
        "prior_log_density": one.prior_log_density,
        "entropy": one.entropy,
        "modes": one.modes,
    }


def _print(found: dict[int, list[Located]], *, title: str) -> None:
    from rich import box
    from rich.table import Table

    from zoo.cli import screen

    columns = (
        "context views",
        "scenes",
        "",
        "position error (scene units)",
        "yaw error (degrees)",
        "log p(true) (nats)",
    )
    table = Table(*columns, title=title, box=box.SIMPLE_HEAD)
    for size, located in found.items():
        ours = [(one.position_error, one.angle_error, one.log_density) for one in located]
        guessed = [(one.guess_position_error, one.guess_angle_error, one.prior_log_density) for one in located]
        for label, rows in (("model", ours), ("prior alone", guessed)):
            cells = [_mean(values) for values in zip(*rows, strict=True)]
            table.add_row(str(size), str(len(located)), label, *cells)
    screen.stdout_console().print(table)


def _mean(values: Sequence[float]) -> str:
    """Writes a mean with its standard error."""
    if len(values) < 2 or not math.isfinite(sum(values)):
        return f"{sum(values) / len(values):.3g}"
    return f"{statistics.fmean(values):.3g} \N{PLUS-MINUS SIGN} {statistics.stdev(values) / math.sqrt(len(values)):.2g}"


def _draw(output: Path, found: dict[int, list[Located]], *, title: str) -> None:
    from zoo.figures.probability_maps import FloorMap, MapRow, probability_maps

    rows = [
        MapRow(
            label=f"scene {same_scene[0].scene}",
            image=same_scene[0].image,
            maps=[
                FloorMap.of(one, title=f"{size} context views: {one.told}")
                for size, one in zip(found, same_scene, strict=True)
            ],
        )
        for same_scene in list(zip(*found.values(), strict=True))[:MAP_ROWS]
    ]
    probability_maps(output, rows, title=title)
