"""``gqn-zoo localise``."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli import options
from zoo.cli.options import parse_contexts

if TYPE_CHECKING:
    from zoo.data.opening import Source
    from zoo.data.source import SceneSource, Split
    from zoo.evaluation.localisation import Located
    from zoo.evaluation.pose_grid import PosePrior

MAP_ROWS = 5
DEFAULT_SCENES = 10

Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Draw the maps of the first five scenes into this image.")
]
Scenes = Annotated[
    int | None, typer.Option("--scenes", min=1, help="Number of scenes, one image of each; default: 10 at most.")
]
Places = Annotated[int, typer.Option("--grid", min=2, help="Places of the grid along x, and along y.")]
Yaws = Annotated[int, typer.Option("--yaws", min=1, help="Directions at each place.")]
Prior = Annotated[
    Literal["cameras", "uniform"],
    typer.Option(
        "--prior", help="p(v) for inversion: the density of the cameras of the data, or uniform over the grid."
    ),
]
Samples = Annotated[
    int,
    typer.Option(
        "-K",
        "--samples",
        min=0,
        help="Samples of the importance-weighted bound, 0: the ELBO; for a reversed model with latents: of the prior.",
    ),
]
Starts = Annotated[
    int, typer.Option("--starts", min=0, help="Best cells that are refined by gradient; 0: take the best cell.")
]
Steps = Annotated[int, typer.Option("--steps", min=0, help="Gradient steps from each of them.")]
BatchSize = Annotated[
    int, typer.Option("-b", "--batch-size", min=1, help="Cameras at once; changes memory, not numbers.")
]


def run(
    path: options.Run,
    data: options.Data,
    output: Output = None,
    split: options.Split = "test",
    which: options.Which = "best",
    scenes: Scenes = None,
    contexts: options.Contexts = None,
    places: Places = 30,
    yaws: Yaws = 24,
    prior: Prior = "cameras",
    samples: Samples = 0,
    starts: Starts = 4,
    steps: Steps = 30,
    sigma: options.Sigma = None,
    batch_size: BatchSize = 256,
    seed: options.EpisodesSeed = 0,
    as_json: options.Json = False,
    cpu: options.Cpu = False,
    registry_files: options.RegistryFiles = [],  # noqa: B006  (typer copies it)
) -> None:
    """Estimate the camera of images: invert a model of images, or query a reversed model; errors and maps."""
    from zoo.bench.measurement import label_of
    from zoo.bench.protocol import Protocol, plan_of
    from zoo.cli import screen
    from zoo.cli.trained_run import open_splits_for, warn_of_untrained_contexts
    from zoo.config.schedules import evaluation_schedule_values
    from zoo.evaluation.candidates import localisation_method
    from zoo.evaluation.localisation import localise
    from zoo.evaluation.loop import Evaluation
    from zoo.evaluation.refine_poses import Search
    from zoo.figures.style import check_suffix
    from zoo.training.run import device_of
    from zoo.training.trained_model import load_trained

    if output is not None:
        check_suffix(output)
    device = device_of(cpu=cpu)
    search = Search(samples=samples, batch_size=batch_size, starts=starts, steps=steps)
    sizes = parse_contexts(contexts)
    trained = load_trained(path, device=device, which=which)
    way = localisation_method(trained.model)
    splits = open_splits_for(trained.variant, data, split)
    source = splits[split]
    _check_scenes(scenes, source)
    protocol = Protocol(num_targets=1, sigma=sigma, max_scenes=scenes or DEFAULT_SCENES, seed=seed)
    plans = [plan_of(protocol.at(size, timed=False), trained.variant, source) for size in sizes]
    warn_of_untrained_contexts(trained.variant, sizes)
    known = _prior(splits, source, kind=prior, places=places, yaws=yaws)
    label = label_of(trained.variant)
    schedule = evaluation_schedule_values(trained.variant.training, sigma=sigma, device=device)
    found: dict[int, list[Located]] = {}
    with screen.stage_progress(label) as progress:
        for plan in plans:
            stage = partial(progress, f"{plan.num_context} context views")
            evaluation = Evaluation(source, plan, schedule=schedule, batch_size=1, progress=stage)
            found[plan.num_context] = localise(trained.model, evaluation, prior=known, search=search)
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
        _draw(output, found, title=f"{label}, step {trained.step}: {way} on {source.name}, {split}")
        screen.log(f"wrote {output}")


def _check_scenes(scenes: int | None, source: SceneSource) -> None:
    from zoo.errors import ConfigError

    if scenes is not None and scenes > source.num_scenes:
        raise ConfigError(
            f"--scenes: found {scenes}, but split {source.split!r} of {source.name} has {source.num_scenes} scenes"
        )


def _prior(
    splits: Mapping[Split, Source],
    source: Source,
    *,
    kind: Literal["cameras", "uniform"],
    places: int,
    yaws: int,
) -> PosePrior:
    """Makes grid and prior of the cameras of the training scenes, or of the measured ones if there are none."""
    from zoo.evaluation.pose_grid import PosePrior, grid_over, read_cameras

    known = read_cameras(splits.get("train", source))
    return PosePrior(kind, grid=grid_over(known, places=places, turns=yaws), cameras=known)


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


def _draw(output: Path, found: Mapping[int, list[Located]], *, title: str) -> None:
    from zoo.figures.probability_maps import probability_maps

    rows = [
        {f"{size} context views": one for size, one in zip(found, same_scene, strict=True)}
        for same_scene in list(zip(*found.values(), strict=True))[:MAP_ROWS]
    ]
    probability_maps(output, rows, title=title)
