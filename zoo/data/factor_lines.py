"""The factors of one split of a scene store: a file of JSON lines, ``<split>/factors.jsonl``, one scene per line."""

from __future__ import annotations

import functools
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError
from zoo.files import sha256_of

_LINE_FEED = 10


def factor_file_name(split: str) -> str:
    """Returns the name of the file of a split, relative to the store."""
    return f"{split}/factors.jsonl"


class FactorWriter:
    """Appends factor documents to a new file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")

    def append(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Writes one line per scene."""
        for document in documents:
            self._file.write(json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n")

    def complete(self) -> str:
        """Completes the file and returns its SHA-256."""
        self._file.close()
        return sha256_of(self._path)

    def close(self) -> None:
        """Closes the file, complete or not."""
        self._file.close()


class FactorLines:
    """Random access to the lines of a file of factors, one per scene; they are found when the first one is read."""

    def __init__(self, path: Path, *, num_scenes: int) -> None:
        self._path, self._num_scenes = path, num_scenes

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        """The offset behind every line, [num_scenes + 1] int64; the first one is 0."""
        try:
            if not self._path.stat().st_size:
                raise DataError(f"{self._path}: is empty; the file is damaged")
            data = np.memmap(self._path, dtype=np.uint8, mode="r")
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror}") from error
        ends = np.flatnonzero(data == _LINE_FEED) + 1
        if len(ends) != self._num_scenes or ends[-1] != len(data):
            raise DataError(f"{self._path}: has {len(ends)} lines, expected {self._num_scenes}; the file is damaged")
        return np.concatenate([[0], ends])

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_num_scenes": self._num_scenes}

    def iterate(self, scenes: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Yields the documents of some scenes, whose indices are in range.

        Raises:
            DataError: if the file is missing or damaged.
        """
        ends = self._ends
        with self._path.open("rb") as file:
            for scene in scenes:
                file.seek(int(ends[scene]))
                line = file.read(int(ends[scene + 1] - ends[scene]))
                try:
                    document = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{self._path}: line {scene + 1}: is not JSON: {error}; it is damaged") from error
                yield document


def missing_factors(
    folder: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any],
    num_scenes: Mapping[str, int],
    image_size: int,
    num_views: int,
) -> DataError:
    """Returns the error for a store without factors: why it has none, and the command that makes it with them."""
    recipe = provenance.get("recipe")
    if not isinstance(recipe, str):
        return DataError(
            f"{folder}: has no scene factors: it was not rendered by a built-in data set; "
            "'gqn-zoo data make NAME -o FOLDER' writes scenes with factors"
        )
    if not image_size:
        return DataError(f"{folder}: has no scene factors: functions and pixels ({recipe}) have none")
    words = ["gqn-zoo", "data", "make", recipe, "-o", "FOLDER"]
    for split in ("train", "validation", "test"):
        words += [f"--{split}", str(num_scenes.get(split, 1))]
    words += ["--image-size", str(image_size), "--views", str(num_views), "--seed", str(provenance.get("seed", 0))]
    return DataError(
        f"{folder}: has no scene factors: it was made by an earlier version; '{shlex.join(words)}' makes the same scenes "
        "with factors"
    )
