"""``gqn-zoo data make``: draws scenes of a built-in data set, or renders those that files of factors list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoo.cli import screen
from zoo.cli.options import Seed
from zoo.cli.screen import data_size
from zoo.errors import ConfigError
from zoo.files import check_free_space

if TYPE_CHECKING:
    from zoo.data.source import Split


class SceneCounts(NamedTuple):
    """How many scenes are drawn, and which are not."""

    train: Annotated[int, typer.Option(help="Scenes of the training split.")] = 10_000
    validation: Annotated[int, typer.Option(help="Scenes of the validation split.")] = 500
    test: Annotated[int, typer.Option(help="Scenes of the test split.")] = 1000
    hold_out: Annotated[
        list[str],
        typer.Option(
            metavar="FACTOR=VALUE,...",
            help="Keep objects with these values out of train and validation, in every even scene of test and in no odd "
            "one; for example shape=cone,colour=red. May be given several times.",
        ),
    ] = []


class RenderOptions(NamedTuple):
    """How scenes are rendered."""

    image_size: Annotated[int, typer.Option(help="Height and width of the images, pixels.")] = 64
    views: Annotated[
        int | None, typer.Option(min=1, help="Images per scene; default: as in the published data set.")
    ] = None
    seed: Seed = 0
    workers: Annotated[
        int | None, typer.Option("-j", "--workers", help="Processes; default: one per core, 0: none.")
    ] = None
    device: Annotated[str, typer.Option(help="Where to render: cpu or cuda.")] = "cpu"

    def request(self) -> dict[str, Any]:
        """Returns the arguments of :mod:`zoo.data.make` that do not say how many processes render."""
        return {"image_size": self.image_size, "num_views": self.views, "seed": self.seed, "device": self.device}


def make(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A built-in data set; gqn-zoo list --kind dataset lists them.")],
    folder: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; it must not exist.")],
    counts: SceneCounts,
    rendering: RenderOptions,
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
    if factors:
        for field in (*SceneCounts._fields, "dry_run"):
            source = context.get_parameter_source(field)
            if source is not None and source.name == "COMMANDLINE":
                option = f"--{field.replace('_', '-')}"
                raise ConfigError(
                    f"{option}: cannot be combined with --factors, whose files decide which scenes are made"
                )
        _make_from_factors(name, files=_files_of_splits(factors), folder=folder, rendering=rendering)
    else:
        _draw(name, folder=folder, counts=counts, rendering=rendering, dry_run=dry_run)


def _draw(name: str, *, folder: Path, counts: SceneCounts, rendering: RenderOptions, dry_run: bool) -> None:
    from zoo.data.make import check_request, make_dataset

    wanted: dict[Split, int] = {"train": counts.train, "validation": counts.validation, "test": counts.test}
    options = rendering.request() | {"num_scenes": wanted, "hold_out": counts.hold_out}
    recipe = check_request(name, **options)
    num_scenes = sum(wanted.values())
    size = num_scenes * recipe.bytes_per_scene(image_size=rendering.image_size)
    if dry_run:
        check_free_space(folder, num_bytes=size)
        unit = "views" if recipe.has_images else "points"
        scenes = f"{num_scenes} scenes of {recipe.num_views} {unit}, {data_size(size)}"
        typer.echo(f"{name}: {scenes} in {folder}. Nothing was written.")
        return
    with screen.progress_bar(f"rendering {name}", unit="scenes") as progress:
        make_dataset(name, folder=folder, workers=rendering.workers, progress=progress, **options)
    typer.echo(f"{folder}: {num_scenes} scenes, {data_size(size)}. Next: gqn-zoo data show {folder} -o sheet.png")


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


def _make_from_factors(name: str, *, files: Mapping[Split, Path], folder: Path, rendering: RenderOptions) -> None:
    from zoo.data.inspection import inspect_scenes
    from zoo.data.make import make_dataset

    with screen.progress_bar(f"rendering {name}", unit="scenes") as progress:
        request = rendering.request()
        make_dataset(name, folder=folder, factor_files=files, workers=rendering.workers, progress=progress, **request)
    facts = inspect_scenes(folder)
    counts = ", ".join(f"{split} {values['num_scenes']}" for split, values in facts["splits"].items())
    typer.echo(f"{folder}: {counts} scenes, {data_size(facts['bytes'])}. Next: gqn-zoo data inspect {folder} --verify")
