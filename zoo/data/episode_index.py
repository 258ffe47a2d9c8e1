"""Episode indices: which views of every scene are targets and context at evaluation.

An index is a text file with one line per scene, in the order of the split: the scene's views in random order. The first Q
of a line are the targets, the next N the context. A committed index fixes the episodes of our suites even if a library
changes its random numbers; without one the order is drawn by the seed.
"""

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
    views (DataError if it is damaged); else they are drawn.
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
    """Reads an index, [num_scenes, n] int64, n at most ``num_views``; DataError names the line if it is damaged."""
    try:
        order = np.loadtxt(path, dtype=np.int64, ndmin=2, encoding="ascii")
    except ValueError as error:
        raise DataError(f"{path}: {str(error).split(';')[0]}") from error
    if len(order) != num_scenes:
        raise DataError(f"{path}: found {len(order)} scenes, expected {num_scenes}")
    sorted_order = np.sort(order, axis=1)
    wrong = (order < 0).any(1) | (order >= num_views).any(1) | (np.diff(sorted_order) == 0).any(1)
    if wrong.any():
        number = int(wrong.argmax())
        found = " ".join(map(str, order[number]))[:60]
        raise DataError(
            f"{path}: scene {number + 1}: expected different numbers of views below {num_views}, found {found!r}"
        )
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
