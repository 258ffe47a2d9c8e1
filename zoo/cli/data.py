"""``gqn-zoo data make | show | inspect | convert | episodes``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli import screen
from zoo.cli.options import Json, OnBadRecord, Seed
from zoo.errors import ConfigError, DataError
from zoo.files import check_free_space

if TYPE_CHECKING:
    from zoo.data.source import Split

app = typer.Typer(help="Make, draw, inspect and convert data sets; write a suite's episodes.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="Folder of scenes: a scene store, or a folder with train/*.tfrecord.")]


def _size(num_bytes: int) -> str:
    if num_bytes >= 1e10:
        return f"{num_bytes / 1e9:,.0f} GB"
    return f"{num_bytes / 1e6:.0f} MB" if num_bytes >= 1e7 else f"{num_bytes / 1e6:.2g} MB"


@app.command("make")
def make(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A built-in data set; gqn-zoo list --kind dataset lists them.")],
    folder: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; it must not exist.")],
    train: Annotated[int, typer.Option(help="Scenes of the training split.")] = 10_000,
    validation: Annotated[int, typer.Option(help="Scenes of the validation split.")] = 500,
    test: Annotated[int, typer.Option(help="Scenes of the test split.")] = 1000,
    image_size: Annotated[int, typer.Option(help="Height and width of the images, pixels.")] = 64,
    views: Annotated[
        int | None, typer.Option(min=1, help="Images per scene; default: as in the published data set.")
    ] = None,
    seed: Seed = 0,
    workers: Annotated[
        int | None, typer.Option("-j", "--workers", help="Processes; default: one per core, 0: none.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to render: cpu or cuda.")] = "cpu",
    hold_out: Annotated[
        list[str],
        typer.Option(
            metavar="FACTOR=VALUE,...",
            help="Keep objects with these values out of train and validation, in every even scene of test and in no odd "
            "one; for example shape=cone,colour=red. May be given several times.",
        ),
    ] = [],
    factors: Annotated[
        list[str],
        typer.Option(
            metavar="[SPLIT=]FILE",
            help="Render the scenes that this file lists (.jsonl, .json, .yaml) into a split, by default test, instead of "
            "drawing scenes. Once for each split.",
        ),
    ] = [],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the size and write nothing.")] = False,
) -> None:
    """Render a built-in data set. The same seed gives the same bytes; no scene is in two splits."""
    from zoo.data.make import check_request, make_dataset

    if factors:
        _check_alone(context, with_option="--factors", options=("train", "validation", "test", "hold_out", "dry_run"))
        _make_from_factors(
            name,
            files=_files_of_splits(factors),
            folder=folder,
            image_size=image_size,
            num_views=views,
            seed=seed,
            workers=workers,
            device=device,
        )
        return
    counts: dict[Split, int] = {"train": train, "validation": validation, "test": test}
    recipe = check_request(
        name,
        num_scenes=counts,
        image_size=image_size,
        num_views=views,
        seed=seed,
        device=device,
        hold_out=hold_out,
    )
    num_scenes = sum(counts.values())
    size = num_scenes * recipe.bytes_per_scene(image_size=image_size)
    if dry_run:
        check_free_space(folder, num_bytes=size)
        unit = "views" if recipe.has_images else "points"
        typer.echo(
            f"{name}: {num_scenes} scenes of {recipe.num_views} {unit}, {_size(size)} in {folder}. Nothing was written."
        )
        return
    with screen.progress_bar(f"rendering {name}", unit="scenes") as progress:
        make_dataset(
            name,
            folder=folder,
            num_scenes=counts,
            image_size=image_size,
            num_views=views,
            seed=seed,
            workers=workers,
            device=device,
            progress=progress,
            hold_out=hold_out,
        )
    typer.echo(f"{folder}: {num_scenes} scenes, {_size(size)}. Next: gqn-zoo data show {folder} -o sheet.png")


def _check_alone(context: typer.Context, *, with_option: str, options: Sequence[str]) -> None:
    """Refuses options that say nothing beside another one."""
    for name in options:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option}: cannot be combined with {with_option}, whose files decide which scenes are made"
            )


def _files_of_splits(items: Sequence[str]) -> dict[Split, Path]:
    """Returns split -> file of ``[SPLIT=]FILE``; a file without a split is for test."""
    from zoo.data.source import SPLITS

    files: dict[Split, Path] = {}
    for item in items:
        split = next((split for split in SPLITS if item.startswith(f"{split}=")), None)
        path = item if split is None else item.removeprefix(f"{split}=")
        split = split or "test"
        if split in files:
            raise ConfigError(f"--factors {item}: the split {split} has a file already, {files[split]}")
        files[split] = Path(path)
    return files


def _make_from_factors(name: str, *, files: Mapping[Split, Path], folder: Path, **options: Any) -> None:
    from zoo.data.inspection import inspect_scenes
    from zoo.data.make import make_from_factors

    with screen.progress_bar(f"rendering {name}", unit="scenes") as progress:
        make_from_factors(name, folder=folder, files=files, progress=progress, **options)
    facts = inspect_scenes(folder)
    counts = ", ".join(f"{split} {values['num_scenes']}" for split, values in facts["splits"].items())
    typer.echo(f"{folder}: {counts} scenes, {_size(facts['bytes'])}. Next: gqn-zoo data inspect {folder}")


@app.command("show")
def show(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", help="The image to write: .png, .jpg.")],
    split: Annotated[Literal["train", "validation", "test"], typer.Option("--split")] = "train",
    scenes: Annotated[int, typer.Option(min=1, help="Number of scenes, one per row.")] = 8,
    views: Annotated[int, typer.Option(min=1, help="Largest number of views per scene.")] = 10,
    first: Annotated[int, typer.Option(min=0, help="Index of the first scene.")] = 0,
) -> None:
    """Draw a contact sheet with one row per scene; functions are drawn as curves."""
    import numpy as np

    from zoo.data.opening import open_scenes
    from zoo.figures.functions import point_sheet
    from zoo.figures.sheets import contact_sheet

    source = open_scenes(folder, split)
    if first >= source.num_scenes:
        raise DataError(f"{folder}: --first {first}: the split {split} has {source.num_scenes} scenes")
    chosen = np.arange(first, min(first + scenes, source.num_scenes))
    everything = np.broadcast_to(np.arange(source.num_views), (len(chosen), source.num_views))
    title, labels = f"{source.name}, {split}", [str(index) for index in chosen]
    if source.image_size:
        frames, _ = source.read(chosen, everything)
        contact_sheet(output, frames=frames, title=title, scene_labels=labels, max_views=views)
    else:
        extras = source.read_extras(chosen, everything)
        if not {"inputs", "values"} <= set(extras):
            raise DataError(f"{folder}: has neither images nor points (inputs and values) to draw")
        point_sheet(output, inputs=extras["inputs"], values=extras["values"], title=title, labels=labels)
    typer.echo(str(output))


@app.command("inspect")
def inspect(
    folder: Folder,
    verify: Annotated[bool, typer.Option("--verify", help="Read everything and compare checksums.")] = False,
    as_json: Json = False,
) -> None:
    """Print splits, sizes, revision, ranges of the cameras and damage of a data set."""
    from zoo.data.inspection import inspect_scenes

    facts = inspect_scenes(folder, verify=verify)
    typer.echo(json.dumps(facts, indent=2) if as_json else "\n".join(_report(facts)))


def _report(facts: dict[str, Any]) -> list[str]:
    size, views = facts["image_size"], facts["num_views"]
    content = f"{views} views of {size} pixels" if size else f"{views} points"
    lines = [f"{facts['name']}@{facts['revision']} ({facts['kind']}): {content} per scene, {_size(facts['bytes'])}"]
    for name, extra in facts["extras"].items():
        shape = "x".join(str(length) for length in extra["shape"]) or "1"
        lines.append(f"  {name}: {shape} {extra['dtype']} per {'view' if extra['per_view'] else 'scene'}")
    lines.append(f"  factors: {'of every scene, in <split>/factors.jsonl' if facts['factors'] else 'none'}")
    for split, values in facts["splits"].items():
        lines.append(
            f"  {split}: {values['num_scenes']} scenes in {values['num_files']} file(s), {_size(values['bytes'])}"
        )
        if size:
            ranges = ", ".join(f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in values["cameras"].items())
            lines.append(f"    cameras of {values['cameras_from_scenes']} scenes: {ranges}")
    lines += [f"  warning: {sentence}" for sentence in facts["warnings"]]
    lines += [f"  damaged: {bad['reason']}" for bad in facts["skipped"]]
    lines.append("  all checksums match" if facts["verified"] else "  checksums not compared; --verify compares them")
    return lines


@app.command("convert")
def convert(
    source: Folder,
    target: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; it must not exist.")],
    to: Annotated[Literal["store", "tfrecord"], typer.Option(help="A scene store, or DeepMind's format.")] = "store",
    image_size: Annotated[int | None, typer.Option(help="Resize the images; default: keep their size.")] = None,
    max_scenes: Annotated[
        int | None, typer.Option(min=1, help="Only the first scenes of each split, at most this many.")
    ] = None,
    on_bad_record: OnBadRecord = "raise",
) -> None:
    """Convert between DeepMind's TFRecords and a scene store, which trains many times faster."""
    from zoo.data.convert import convert as convert_scenes

    with screen.progress_bar("converting", unit="scenes") as progress:
        report = convert_scenes(
            source,
            target,
            to=to,
            image_size=image_size,
            max_scenes=max_scenes,
            on_bad_record=on_bad_record,
            progress=progress,
        )
    counts = ", ".join(f"{split} {count}" for split, count in report.num_scenes.items())
    typer.echo(
        f"{target}: {counts} scenes of {report.num_views} views at {report.image_size} pixels; "
        f"{len(report.skipped)} damaged record(s) skipped"
    )
    for bad in report.skipped:
        typer.echo(f"  skipped: {bad.reason}")


@app.command("episodes")
def episodes(
    suite: Annotated[str, typer.Argument(help="A suite's name, or its file.")],
    folder: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the indices; a checkout reads benchmarks/episodes.")
    ],
) -> None:
    """Write which views a suite's test scenes are scored on: one index per number of scenes, views and seed."""
    from zoo.bench.suite.plan import write_episodes
    from zoo.bench.suite.settings import load_suite
    from zoo.registry.registry import default_registry

    for path in write_episodes(load_suite(suite), registry=default_registry(), folder=folder):
        typer.echo(path)
