"""``gqn-zoo data make | import | show | inspect | convert | episodes``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zoo.cli import data_import, screen
from zoo.cli.data_make import make
from zoo.cli.options import Json, OnBadRecord, command
from zoo.cli.screen import data_size
from zoo.errors import DataError

app = typer.Typer(
    help="Make, import, draw, inspect and convert data sets; write a suite's episodes.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Argument(help="Folder of scenes: a scene store, or a folder with train/*.tfrecord.")]

app.command("make")(command(make))


app.command("import")(data_import.run)


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
    lines = [f"{facts['name']}@{facts['revision']} ({facts['kind']}): {content} per scene, {data_size(facts['bytes'])}"]
    for name, extra in facts["extras"].items():
        shape = "x".join(str(length) for length in extra["shape"]) or "1"
        lines.append(f"  {name}: {shape} {extra['dtype']} per {'view' if extra['per_view'] else 'scene'}")
    lines.append(f"  factors: {'of every scene, in <split>/factors.jsonl' if facts['factors'] else 'none'}")
    for split, values in facts["splits"].items():
        lines.append(
            f"  {split}: {values['num_scenes']} scenes in {values['num_files']} file(s), {data_size(values['bytes'])}"
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
