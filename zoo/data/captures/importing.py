"""Recognising captures by the files of their folders, and writing them as the scenes of a store."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from zoo.data.camera import FIELD_OF_VIEW_DEGREES
from zoo.data.captures.alignment import Alignment, align, align_cameras
from zoo.data.captures.capture import Capture, FieldOfView, PosedImage, UpAxis
from zoo.data.captures.colmap import MODEL_FOLDERS, read_colmap_binary, read_colmap_text
from zoo.data.captures.reprojection import Fill, covers, reproject
from zoo.data.captures.transforms import NERFSTUDIO_FILE, SYNTHETIC_FILES, read_transforms
from zoo.data.images import read_photograph
from zoo.data.source import SPLITS, Split, bytes_per_scene
from zoo.data.store_writer import StoreWriter, store_name
from zoo.errors import DataError
from zoo.files import check_free_space


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How captures become scenes; see :func:`zoo.data.captures.alignment.align` for the last four."""

    image_size: int = 64  # height and width of the images written, pixels
    views: int | None = None  # of every scene, evenly spaced in file order; None is the smallest number of a folder
    split: Split | Literal["files"] = "test"  # files: as those of a folder say, which becomes a scene of every split
    max_roll: float = 20.0  # degrees that are removed from an image
    fill: Fill | None = None  # what is seen beyond an image; None refuses images that do not cover the field of view
    up: UpAxis | None = None
    centre: tuple[float, float, float] | None = None
    scale: float | None = None
    radius: float | None = None


class CaptureFolder(NamedTuple):
    """A folder whose images all go to one split."""

    folder: Path
    split: Split


class ImportedScene(NamedTuple):
    """How the images of one folder, or those of one split in it, were mapped."""

    capture: Capture
    split: Split
    num_images: int  # of the folder and split
    alignment: Alignment
    images: tuple[PosedImage, ...]  # the V taken, in file order
    cameras: np.ndarray  # [V, 5] float64
    rolls: np.ndarray  # [V], radians, which are removed
    num_filled: int  # images that do not cover the field of view
    num_transparent: int = 0  # images composited on white, which are known when the pixels are read

    @property
    def largest_roll(self) -> float:
        """The largest angle by which an image is turned, degrees."""
        return math.degrees(np.abs(self.rolls).max())

    @property
    def fields_of_view(self) -> tuple[FieldOfView, FieldOfView]:
        """The smallest and the largest of the images taken."""
        fields = sorted(image.intrinsics.field_of_view for image in self.images)
        return fields[0], fields[-1]


class _Part(NamedTuple):
    """The images of a capture that become one scene."""

    capture: Capture
    split: Split
    indices: np.ndarray  # of the images


def read_capture(folder: str | os.PathLike[str]) -> Capture:
    """Reads a folder in the first format that it has files of.

    In this order: ``transforms.json`` (nerfstudio), ``transforms_train.json``, ``_val`` and ``_test`` (NeRF-synthetic,
    joined), ``cameras.txt`` and ``images.txt`` (COLMAP), ``cameras.bin`` and ``images.bin`` (COLMAP). A COLMAP model may
    lie in any of ``MODEL_FOLDERS``; text is preferred.

    Raises:
        DataError: if the folder is missing or has no such files, or from the reader of the format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder, expected one with the images and cameras of a scene")
    if (folder / NERFSTUDIO_FILE).is_file():
        return read_transforms(folder, names=(NERFSTUDIO_FILE,), format_name="nerfstudio")
    if present := tuple(name for name in SYNTHETIC_FILES if (folder / name).is_file()):
        return read_transforms(folder, names=present, format_name="NeRF-synthetic")
    for suffix, read in ((".txt", read_colmap_text), (".bin", read_colmap_binary)):
        for place in MODEL_FOLDERS:
            if (folder / place / f"images{suffix}").is_file():
                return read(folder, model=folder / place)
    raise DataError(
        f"{folder}: has neither {NERFSTUDIO_FILE} nor {SYNTHETIC_FILES[0]} nor a COLMAP model (images.txt or images.bin "
        "in it, in sparse or in sparse/0)"
    )


def import_captures(
    folders: Sequence[str | os.PathLike[str] | CaptureFolder],
    target: str | os.PathLike[str],
    *,
    options: ImportOptions,
    progress: Callable[[int, int], None] | None = None,
) -> list[ImportedScene]:
    """Writes every folder as one scene of a new store, or as one of every split that its files name; returns how.

    Args:
        folders: captures, see :func:`read_capture`; ``options.split`` is the split of those
            that are given without one.
        target: of the store; it must not exist.
        options: of all folders.
        progress: called with the images read and the images in all.

    Raises:
        DataError: if a folder cannot be read, an image is rolled too far or does not cover the field of view, an option
            is not valid or the target exists; nothing is left then.
        DiskFullError: if the disk is full or read-only; nothing is left.
    """
    if os.path.lexists(target):
        raise DataError(f"{target}: exists already; a scene set is never overwritten")
    if not 1 <= options.image_size <= 4096:
        raise DataError(f"image_size: found {options.image_size}, expected 1 to 4096 pixels")
    parts = [part for folder in folders for part in _parts_of(folder, options=options)]
    num_views = _number_of_views(parts, wanted=options.views)
    plans = [_plan(part, num_views=num_views, options=options) for part in parts]
    size = bytes_per_scene({}, image_size=options.image_size, num_views=num_views)
    check_free_space(target, num_bytes=len(plans) * size)
    scenes: list[ImportedScene] = []
    with StoreWriter(
        target,
        name=store_name(Path(target).absolute().name),
        image_size=options.image_size,
        num_views=num_views,
        provenance={
            "imported_with": asdict(options),
            "transparent_pixels": "composited on white",
            "scenes": [_provenance(plan) for plan in plans],
        },
    ) as writer:
        for plan in plans:
            frames, num_transparent = [], 0
            for image, roll in zip(plan.images, plan.rolls.tolist(), strict=True):
                photograph = read_photograph(image.path)
                num_transparent += photograph.has_transparency
                frames.append(
                    reproject(
                        photograph.pixels,
                        intrinsics=image.intrinsics,
                        roll=roll,
                        image_size=options.image_size,
                        fill=options.fill or "edge",
                    )
                )
                if progress is not None:
                    progress(len(scenes) * num_views + len(frames), len(plans) * num_views)
            writer.add(plan.split, frames, plan.cameras)
            scenes.append(plan._replace(num_transparent=num_transparent))
    return scenes


def _parts_of(folder: str | os.PathLike[str] | CaptureFolder, *, options: ImportOptions) -> list[_Part]:
    """Reads a folder and returns what becomes a scene of it: all images, or those of every split."""
    place, split = folder if isinstance(folder, CaptureFolder) else (folder, options.split)
    capture = read_capture(place)
    if split != "files":
        return [_Part(capture, split, np.arange(len(capture.images)))]
    for image in capture.images:
        if image.split is None:
            raise DataError(
                f"{image.path}: belongs to no split; --split files expects {', '.join(SYNTHETIC_FILES)}, or "
                f"train_filenames, val_filenames and test_filenames in {NERFSTUDIO_FILE}"
            )
    named = [image.split for image in capture.images]
    return [
        _Part(capture, each, np.array([index for index, name in enumerate(named) if name == each]))
        for each in SPLITS
        if each in named
    ]


def _number_of_views(parts: Sequence[_Part], *, wanted: int | None) -> int:
    smallest = min(parts, key=lambda part: len(part.indices))
    most = len(smallest.indices)
    if wanted is None:
        return most
    if not 1 <= wanted <= most:
        raise DataError(
            f"{smallest.capture.folder}: views: found {wanted}, expected 1 to {most}, its number of images"
            f"{f' of the split {smallest.split}' if most < len(smallest.capture.images) else ''}"
        )
    return wanted


def _plan(part: _Part, *, num_views: int, options: ImportOptions) -> ImportedScene:
    """Chooses and checks the images of a scene before their pixels are read; the world is aligned with all cameras."""
    capture = part.capture
    alignment = align(capture, up=options.up, centre=options.centre, scale=options.scale, radius=options.radius)
    aligned = align_cameras(capture, alignment)
    chosen = part.indices[np.arange(num_views) * len(part.indices) // num_views]
    images, rolls = tuple(capture.images[index] for index in chosen), aligned.rolls[chosen]
    num_filled = 0
    for image, roll in zip(images, rolls.tolist(), strict=True):
        if abs(math.degrees(roll)) > options.max_roll:
            raise DataError(
                f"{image.path}: is rolled by {math.degrees(roll):.1f} degrees with {alignment.up} up, expected at most "
                f"{options.max_roll:g} (--max-roll); --up names another axis"
            )
        if not covers(image.intrinsics, roll=roll):
            num_filled += 1
            if options.fill is None:
                raise DataError(
                    f"{image.path}: its field of view of {image.intrinsics.field_of_view} degrees, rolled by "
                    f"{math.degrees(roll):.1f}, does not cover the {FIELD_OF_VIEW_DEGREES:g} x {FIELD_OF_VIEW_DEGREES:g} "
                    "degrees round its optical axis that a scene's images show; --fill edge, white or black fills the rest"
                )
    return ImportedScene(
        capture, part.split, len(part.indices), alignment, images, aligned.cameras[chosen], rolls, num_filled
    )


def _provenance(scene: ImportedScene) -> dict[str, Any]:
    return {
        "folder": scene.capture.folder.absolute().name,
        "split": scene.split,
        "format": scene.capture.format,
        "files": list(scene.capture.files),
        "images": [os.path.relpath(image.path, scene.capture.folder) for image in scene.images],
        "up": scene.alignment.up,
        "rotation": scene.alignment.rotation.tolist(),
        "centre": scene.alignment.centre.tolist(),
        "scale": scene.alignment.scale,
        "largest_roll_degrees": scene.largest_roll,
        "fields_of_view_degrees": [list(field) for field in scene.fields_of_view],
        "num_filled": scene.num_filled,
    }
