"""Episode indices: which views of every scene are targets and context at evaluation.

An index is a text file with one line per scene, in the order of the split: the scene's views in random order. The first Q
of a line are the targets, the next N the context. A committed index fixes the episodes of our suites even if a library
changes its random numbers; without one the order is drawn by the seed.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from zoo.errors import DataError
from zoo.files import write_text

EVALUATION_STREAM = 3
_HEAD = "# views of every scene in the order in which they are drawn: the first Q are targets, the next N context\n"


def drawn_order(*, num_scenes: int, num_views: int, seed: int) -> np.ndarray:
    """Draws the order of the views of every scene, [num_scenes, num_views] int64."""
    return np.random.default_rng([seed, EVALUATION_STREAM]).random((num_scenes, num_views)).argsort(axis=1)


def view_order(*, num_scenes: int, num_views: int, seed: int, needed: int) -> np.ndarray:
    """Returns the first ``needed`` views of every scene's order, [num_scenes, needed] int64.

    They come from the committed index of these numbers of scenes and views and this seed, if there is one with enough
    views; else they are drawn.

    Raises:
        DataError: if the index is damaged.
    """
    folder = index_folder()
    path = folder / index_name(num_scenes=num_scenes, num_views=num_views, seed=seed) if folder else None
    if path is not None and path.is_file():
        order = read_index(path, num_scenes=num_scenes, num_views=num_views)
        if order.shape[1] >= needed:
            return order[:, :needed]
    return drawn_order(num_scenes=num_scenes, num_views=num_views, seed=seed)[:, :needed]


@functools.cache
def index_folder() -> Path | None:
    """Returns the folder of committed indices: ``benchmarks/episodes`` of a checkout, or inside the installed package."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parent.parent / "benchmarks" / "episodes", package / "episodes"):
        if candidate.is_dir():
            return candidate
    return None


def index_name(*, num_scenes: int, num_views: int, seed: int) -> str:
    """Returns the name of the file that holds the index of such a split."""
    return f"{num_scenes}-scenes-{num_views}-views-seed-{seed}.txt"


@functools.lru_cache(maxsize=8)
def read_index(path: Path, *, num_scenes: int, num_views: int) -> np.ndarray:
    """Reads an index, [num_scenes, n] int64, n at most ``num_views``.

    Raises:
        DataError: naming the file and the line, if it is damaged.
    """
    lines = [line for line in path.read_text(encoding="ascii", errors="replace").splitlines() if line[:1] != "#"]
    if len(lines) != num_scenes:
        raise DataError(f"{path}: found {len(lines)} scenes, expected {num_scenes}")
    rows: list[list[int]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or not all(word.isdecimal() and int(word) < num_views for word in words):
            raise DataError(f"{path}: scene {number}: expected numbers of views below {num_views}, found {line[:60]!r}")
        rows.append([int(word) for word in words])
        if len(set(rows[-1])) < len(words) or len(words) != len(rows[0]):
            raise DataError(f"{path}: scene {number}: expected {len(rows[0])} different views, found {line[:60]!r}")
    order = np.array(rows, dtype=np.int64)
    order.flags.writeable = False
    return order


def write_index(folder: Path, *, num_scenes: int, num_views: int, seed: int, needed: int) -> Path:
    """Writes the first ``needed`` views of every scene's drawn order; an existing index only grows.

    Raises:
        DataError: if the existing index does not begin with the drawn views.
        DiskFullError: if the file cannot be written.
    """
    path = folder / index_name(num_scenes=num_scenes, num_views=num_views, seed=seed)
    order = drawn_order(num_scenes=num_scenes, num_views=num_views, seed=seed)
    if path.is_file():
        known = read_index(path, num_scenes=num_scenes, num_views=num_views)
        if not np.array_equal(known, order[:, : known.shape[1]]):
            raise DataError(
                f"{path}: the existing index differs from the views that seed {seed} draws; delete it to write another"
            )
        needed = max(needed, known.shape[1])
    write_text(path, _HEAD + "".join(" ".join(map(str, line)) + "\n" for line in order[:, :needed].tolist()))
    read_index.cache_clear()
    return path
