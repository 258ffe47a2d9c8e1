"""``gqn-zoo data import``: images with cameras become the scenes of a store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zoo.cli import screen
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.data.captures.importing import CaptureFolder, ImportedScene, ImportOptions


def run(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="[SPLIT=]FOLDER",
            help="One scene each: a folder with transforms.json, with transforms_train.json, or with a COLMAP model and "
            "a folder images. train=FOLDER, validation=FOLDER and test=FOLDER name the split of one folder.",
        ),
    ],
    target: Annotated[Path, typer.Option("-o", "--output", help="Store to write; it must not exist.")],
    image_size: Annotated[int, typer.Option(min=1, max=4096, help="Height and width of the images, pixels.")] = 64,
    views: Annotated[
        int | None,
        typer.Option(min=1, help="Images per scene, evenly spaced in file order; default: the smallest number."),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test", "files"],
        typer.Option(
            help="Split of folders that are given without one; files: a scene of every split that the files of a folder name "
            "(transforms_train.json, _val, _test, or train_filenames, val_filenames, test_filenames of transforms.json)."
        ),
    ] = "test",
    up: Annotated[
        Literal["x", "y", "z", "-x", "-y", "-z", "auto"] | None,
        typer.Option(help="Axis of the world that points up; auto: level on average. Default: z, for COLMAP -y."),
    ] = None,
    centre: Annotated[
        str, typer.Option(metavar="X,Y,Z|auto", help="Point of the world that becomes the origin; auto: what all see.")
    ] = "auto",
    scale: Annotated[
        float | None, typer.Option(help="Scene units per world unit; default: from --radius, or 1 with --centre X,Y,Z.")
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            help="Mean distance of cameras from the origin, scene units; default: 3.26, as in rooms_ring_camera."
        ),
    ] = None,
    max_roll: Annotated[float, typer.Option(min=0, max=180, help="Largest roll to remove, degrees.")] = 20.0,
    fill: Annotated[
        Literal["edge", "white", "black"] | None,
        typer.Option(help="What is seen beyond images that do not cover 50 degrees; default: refuse them."),
    ] = None,
) -> None:
    """Import images with cameras of nerfstudio, NeRF-synthetic or COLMAP; every folder becomes one scene, or one of every split."""
    from zoo.data.captures.importing import ImportOptions, import_captures

    options = ImportOptions(
        image_size=image_size,
        views=views,
        split=split,
        up=up,
        centre=parse_centre(centre),
        scale=scale,
        radius=radius,
        max_roll=max_roll,
        fill=fill,
    )
    with screen.progress_bar("importing", unit="images") as progress:
        scenes = import_captures([parse_folder(text) for text in folders], target, options=options, progress=progress)
    for scene in scenes:
        typer.echo(_describe(scene, options=options))
    splits = list(dict.fromkeys(scene.split for scene in scenes))
    typer.echo(
        f"{target}: {len(scenes)} scene(s) of {len(scenes[0].images)} views at {image_size} pixels in the split"
        f"{'s' if len(splits) > 1 else ''} {', '.join(splits)}. Next: gqn-zoo data show {target} --split {splits[-1]} "
        "-o sheet.png"
    )


def parse_folder(text: str) -> Path | CaptureFolder:
    """Parses ``FOLDER`` or ``SPLIT=FOLDER``; a folder whose name has a prefix of a split itself is taken as it is."""
    from zoo.data.captures.importing import CaptureFolder
    from zoo.data.source import SPLITS

    split = next((each for each in SPLITS if text.startswith(f"{each}=")), None)
    if split is None or Path(text).is_dir():
        return Path(text)
    return CaptureFolder(Path(text.removeprefix(f"{split}=")), split)


def parse_centre(text: str) -> tuple[float, float, float] | None:
    """Parses ``x,y,z``; ``auto`` is None.

    Raises:
        ConfigError: if it is neither.
    """
    if text == "auto":
        return None
    try:
        x, y, z = map(float, text.split(","))
    except ValueError:
        x = y = z = math.nan
    if not all(map(math.isfinite, (x, y, z))):
        raise ConfigError(f"--centre: found {text!r}, expected auto or three numbers, for example 0,0,0.5")
    return x, y, z


def _describe(scene: ImportedScene, *, options: ImportOptions) -> str:
    """Returns sentences on how the images of one folder were mapped."""
    from zoo.data.camera import FIELD_OF_VIEW_DEGREES

    capture, alignment = scene.capture, scene.alignment
    smallest, largest = scene.fields_of_view
    field = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    centre = ", ".join(f"{coordinate:.4g}" for coordinate in alignment.centre)
    direction = "perpendicular to the rows of all images" if alignment.up == "auto" else alignment.up
    lines = [
        f"{capture.folder}{f', split {scene.split}' * (scene.num_images < len(capture.images))}: {capture.format} "
        f"({', '.join(capture.files)}), {len(scene.images)} of "
        f"{scene.num_images} images, evenly spaced in file order.",
        f"Up in its world is {direction}. Its point ({centre}) is the origin, and 1 of its units is "
        f"{alignment.scale:.4g} scene units.",
        f"The field of view was resampled from {field} to {FIELD_OF_VIEW_DEGREES:g} x {FIELD_OF_VIEW_DEGREES:g} degrees; "
        f"the largest roll removed is {scene.largest_roll:.2f} degrees.",
    ]
    if scene.num_filled:
        lines.append(f"{scene.num_filled} image(s) do not cover it; the rest is filled with {options.fill}.")
    if scene.num_transparent:
        lines.append(f"Transparent pixels of {scene.num_transparent} image(s) were composited on white.")
    return "\n  ".join(lines)
