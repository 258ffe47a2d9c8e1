"""The factors of one split of a scene store: a file of JSON lines, ``<split>/factors.jsonl``, one scene per line."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError
from zoo.files import reading


def factor_file_name(split: str) -> str:
    """Returns the name of the file of a split, relative to the store."""
    return f"{split}/factors.jsonl"


class FactorLines:
    """Random access to the lines of a file of factors, one per scene; they are found when the first one is read."""

    def __init__(self, path: Path, *, num_scenes: int) -> None:
        self._path, self._num_scenes = path, num_scenes

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        """The offset behind every line, [num_scenes + 1] int64; the first one is 0."""
        with reading(self._path, error=DataError):
            if not self._path.stat().st_size:
                raise DataError(f"{self._path}: is empty; the file is damaged")
            data = np.memmap(self._path, dtype=np.uint8, mode="r")
        ends = np.flatnonzero(data == ord("\n")) + 1
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
