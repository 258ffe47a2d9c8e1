"""The scenes of a suite: built-in recipes, made once below the output folder, or folders that exist."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from zoo.config.settings import Settings
from zoo.data.built_in import BuiltIn
from zoo.data.make import check_request, make_dataset
from zoo.data.opening import kind_of
from zoo.data.source import Split
from zoo.errors import DataError
from zoo.files import temporary_prefix
from zoo.provenance import hash_config

_Count = Field(default=0, ge=0, le=10**9, description="scenes")


class SceneSet(Settings):
    """Scenes to train and measure on: a built-in recipe, made when it is needed, or a folder."""

    recipe: str | None = Field(default=None, description="a built-in data set")
    folder: str | None = Field(
        default=None,
        description="a scene store or TFRecords, instead of a recipe; a relative path starts at the suite file's folder "
        "and stays below it",
    )
    image_size: int = Field(default=64, ge=0, le=4096, description="height and width, pixels; unused by functions")
    views: int | None = Field(default=None, ge=1, le=10**4, description="per scene; null: as many as published")
    train: int = _Count
    validation: int = _Count
    test: int = _Count
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="another seed gives other scenes")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.recipe is None) == (self.folder is None):
            raise ValueError("either recipe or folder")
        if self.recipe is not None and not (self.train and self.test):
            raise ValueError("numbers of scenes for train and test beside recipe")
        return self

    @property
    def counts(self) -> dict[Split, int]:
        """Scenes of each split that is made."""
        counts: dict[Split, int] = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: count for split, count in counts.items() if count}

    def at_most(self, scenes: int) -> SceneSet:
        """Returns the same recipe with at most so many scenes in each split."""
        return self.model_copy(update={split: min(count, scenes) for split, count in self.counts.items()})

    def checked(self, *, file: Path, place: str) -> SceneSet:
        """Returns the same scenes with an absolute folder; raises DataError if they neither exist nor can be made.

        Relative folders start at the folder of the suite's ``file``; ``place`` is the key in it.
        """
        try:
            if self.folder is None:
                self.built_in()
                return self
            root = file.absolute().parent
            folder = root / self.folder
            if not Path(self.folder).is_absolute() and not folder.resolve().is_relative_to(root.resolve()):
                raise DataError(
                    f"folder: found {self.folder!r}, expected a path below the suite file's folder, or an absolute path"
                )
            kind_of(folder)
        except DataError as error:
            raise DataError(f"{file}: {place}: {error}") from None
        except ValueError as error:  # a name with a null character
            raise DataError(f"{file}: {place}: folder: found {self.folder!r}, expected a path: {error}") from None
        return self.model_copy(update={"folder": str(folder)})

    def built_in(self) -> BuiltIn:
        """Returns the recipe of scenes that are made; raises DataError if they cannot be made."""
        assert self.recipe is not None
        return check_request(
            self.recipe,
            num_scenes=self.counts,
            image_size=self.image_size,
            num_views=self.views,
            seed=self.seed,
            device="cpu",
        )

    def directory(self, name: str, *, output: Path) -> Path:
        """Returns the folder of the scenes; other numbers, sizes or seeds have another folder."""
        if self.folder is not None:
            return Path(self.folder)
        asked = {("of_scenes" if key == "seed" else key): value for key, value in self.model_dump().items()}
        return output / "data" / f"{name}-{hash_config(asked)[:8]}"

    def make(self, directory: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Makes a recipe's scenes unless they exist; the directory appears when it is complete.

        Raises:
            ConfigError, DataError, DiskFullError: if the scenes cannot be made or do not fit on the disk.
        """
        if self.recipe is None or directory.exists():
            return
        if directory.parent.is_dir():
            # Left by a killed process; the output folder belongs to one runner at a time.
            for unfinished in directory.parent.glob(f"{glob.escape(temporary_prefix(directory))}*"):
                shutil.rmtree(unfinished, ignore_errors=True)
        make_dataset(
            self.recipe,
            folder=directory,
            num_scenes=self.counts,
            image_size=self.image_size,
            num_views=self.views,
            seed=self.seed,
            progress=progress,
        )
