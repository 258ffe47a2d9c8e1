"""The scenes of a suite: where they lie, and making those that are not there yet."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable
from pathlib import Path

from zoo.bench.suite.settings import SceneSet
from zoo.data.built_in import BuiltIn
from zoo.data.make import check_request, make_dataset
from zoo.data.source import Split
from zoo.errors import DataError
from zoo.files import temporary_prefix
from zoo.provenance import hash_config


def folder_of(name: str, scenes: SceneSet, *, output: Path) -> Path:
    """Returns where the scenes lie; other numbers, sizes or seeds are another folder."""
    if scenes.folder is not None:
        return Path(scenes.folder)
    asked = {("of_scenes" if key == "seed" else key): value for key, value in scenes.model_dump().items()}
    return output / "data" / f"{name}-{hash_config(asked)[:8]}"


def counts_of(scenes: SceneSet) -> dict[Split, int]:
    """Returns how many scenes each split gets."""
    counts: dict[Split, int] = {"train": scenes.train, "validation": scenes.validation, "test": scenes.test}
    return {split: count for split, count in counts.items() if count}


def check_scenes(scenes: SceneSet, *, file: str, path: str) -> None:
    """Refuses scenes that cannot be made.

    Raises:
        DataError: naming the place in the suite file.
    """
    if scenes.recipe is None:
        return
    try:
        recipe_of(scenes)
    except DataError as error:
        raise DataError(f"{file}: {path}: {error}") from None


def recipe_of(scenes: SceneSet) -> BuiltIn:
    """Returns the recipe of scenes that can be made.

    Raises:
        DataError: if they cannot be made so.
    """
    assert scenes.recipe is not None
    return check_request(
        scenes.recipe,
        num_scenes=counts_of(scenes),
        image_size=scenes.image_size,
        num_views=scenes.views,
        seed=scenes.seed,
        device="cpu",
    )


def make_scenes(scenes: SceneSet, *, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Makes a recipe's scenes unless they are there; a folder appears when it is complete.

    Raises:
        DataError, DiskFullError: as ``make_dataset``.
    """
    if scenes.recipe is None or folder.exists():
        return
    if folder.parent.is_dir():
        # Left by a killed process that was writing this folder; a suite's folder belongs to one runner at a time.
        for unfinished in folder.parent.glob(f"{glob.escape(temporary_prefix(folder))}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
    make_dataset(
        scenes.recipe,
        folder=folder,
        num_scenes=counts_of(scenes),
        image_size=scenes.image_size,
        num_views=scenes.views,
        seed=scenes.seed,
        progress=progress,
    )
