"""Reading COLMAP models as text: ``cameras.txt`` and ``images.txt``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from zoo.data.captures.capture import Capture
from zoo.data.captures.colmap import ColmapCamera, ColmapImage, build_capture
from zoo.errors import DataError

_NORM_TOLERANCE = 1e-3  # by which the length of a quaternion may differ from 1
_NUM_IMAGE_FIELDS = 10


def read_colmap_text(folder: Path, *, model: Path) -> Capture:
    """Reads a model whose text files lie in the folder ``model``.

    Raises:
        DataError: naming file, line, found and expected; see also :func:`zoo.data.captures.colmap.build_capture`.
    """
    return build_capture(
        folder,
        model=model,
        format_name="COLMAP text",
        cameras=_read_cameras(model / "cameras.txt"),
        images=_read_images(model / "images.txt"),
    )


def _lines(path: Path) -> list[tuple[str, str]]:
    """Returns the lines of a file without comments, each with its place for messages."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing, expected beside the other text files of the model") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text: {error}") from error
    lines = ((f"{path}: line {number}", line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(place, line) for place, line in lines if not line.startswith("#")]


def _read_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for place, line in _lines(path):
        if line:
            try:
                number, model, width, height, *parameters = line.split()
                cameras[int(number)] = ColmapCamera(model, int(width), int(height), tuple(map(float, parameters)))
            except ValueError as error:
                expected = "CAMERA_ID MODEL WIDTH HEIGHT PARAMS"
                raise DataError(f"{place}: found {line[:80]!r}, expected {expected}") from error
    return cameras


def _read_images(path: Path) -> Iterator[ColmapImage]:
    """Yields the images; each has a line of its own and one with its points, which may be empty."""
    lines = iter(_lines(path))
    for place, line in lines:
        if not line:
            continue
        yield _image(line, place=place)
        place, points = next(lines, (place, ""))
        if len(points.split()) % 3:
            raise DataError(f"{place}: found {points[:80]!r}, expected X Y POINT3D_ID of every point, or an empty line")


def _image(line: str, *, place: str) -> ColmapImage:
    fields = line.split(maxsplit=_NUM_IMAGE_FIELDS - 1)
    try:
        pose = np.array(fields[1:8], dtype=np.float64)
        camera, name = int(fields[8]), fields[9]
    except (ValueError, IndexError) as error:
        expected = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
        raise DataError(f"{place}: found {line[:80]!r}, expected {expected}") from error
    length = float(np.linalg.norm(pose[:4]))
    if not (np.isfinite(pose).all() and abs(length - 1.0) < _NORM_TOLERANCE):
        raise DataError(f"{place}: the quaternion QW QX QY QZ has length {length:g}, expected 1 and finite numbers")
    return ColmapImage(name, camera, Rotation.from_quat(pose[:4], scalar_first=True).as_matrix(), pose[4:])
