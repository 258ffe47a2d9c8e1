"""Files beside a result row, with its name: a strip of predictions, and the learning curve of its training.

They are small, so that rows in git can be drawn without runs and checkpoints. A row may lack them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.curves import Point
from zoo.files import write_text, writing_file

STRIP, CURVE = ".png", ".csv"
_ROW_NAME = re.compile(r"\d{8}T\d{6}Z-.+-(?P<id>[0-9a-f]{16})")
_COLUMNS = ("step", "seconds", "nelbo_excess")


class Strip(NamedTuple):
    """The first scenes of a split: the truth and its prediction, both [n, H, W, 3] uint8."""

    truth: np.ndarray
    predicted: np.ndarray


class Attachments(NamedTuple):
    """The files beside some rows, by the id of the row."""

    strips: Mapping[str, Path]
    curves: Mapping[str, Path]


NONE = Attachments(strips={}, curves={})


def find_attachments(places: Iterable[Path | str]) -> Attachments:
    """Returns the files beside the rows at or below some paths; what is neither a file nor a folder has none."""
    found: dict[str, dict[str, Path]] = {STRIP: {}, CURVE: {}}
    for place in map(Path, places):
        files = place.rglob("*") if place.is_dir() else place.parent.glob(f"{place.stem}.*") if place.is_file() else ()
        for path in sorted(files):
            if path.suffix in found and (name := _ROW_NAME.fullmatch(path.stem)):
                found[path.suffix].setdefault(name["id"], path)
    return Attachments(strips=found[STRIP], curves=found[CURVE])


def save_strip(strip: Strip, row: Path) -> Path:
    """Writes a strip beside the file of a row: the true images above, their predictions below, without gaps."""
    path = row.with_suffix(STRIP)
    lines = [np.concatenate(list(images), axis=1) for images in strip]
    with writing_file(path) as temporary:
        Image.fromarray(np.concatenate(lines)).save(temporary, optimize=True)
    return path


def load_strip(path: Path) -> Strip:
    """Reads a strip; raises ResultError if the file is not one."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ResultError(f"{path}: is not a whole PNG image") from error
    side = len(pixels) // 2
    if side == 0 or len(pixels) % 2 or pixels.shape[1] % side:
        raise ResultError(f"{path}: expected square images in two lines, found {pixels.shape[1]}x{len(pixels)} pixels")
    truth, predicted = (np.stack(np.split(line, pixels.shape[1] // side, axis=1)) for line in np.split(pixels, 2))
    return Strip(truth=truth, predicted=predicted)


def save_curve(points: Sequence[Point], row: Path) -> Path:
    """Writes a learning curve beside the file of a row."""
    path = row.with_suffix(CURVE)
    write_text(path, pd.DataFrame(points, columns=list(_COLUMNS)).to_csv(index=False, lineterminator="\n"))
    return path


def load_curve(path: Path) -> list[Point]:
    """Reads a learning curve; raises ResultError if the file is not one."""
    try:
        frame = pd.read_csv(io.BytesIO(path.read_bytes()))
        if tuple(frame.columns) != _COLUMNS or not np.isfinite(frame.to_numpy(dtype=float)).all():
            raise ValueError
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: expected finite numbers in the columns {', '.join(_COLUMNS)}") from error
    return [Point(int(step), float(seconds), float(value)) for step, seconds, value in frame.itertuples(index=False)]
