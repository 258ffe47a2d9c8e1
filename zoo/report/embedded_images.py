"""Images inside the page, as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.style import svg_of

PATTERN = "sheet*.png"
MAX_BYTES = 8 * 2**20
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_PIXELS_PER_INCH = 96


class EmbeddedImage(NamedTuple):
    """An image with its size in CSS pixels."""

    name: str
    address: str
    width: int
    height: int


def find_sheets(paths: Iterable[Path]) -> list[Path]:
    """Returns the prediction sheets (``sheet*.png``) at or below the folders among ``paths``, each once, by name."""
    found = {
        sheet.resolve(): sheet for path in map(Path, paths) if path.is_dir() for sheet in sorted(path.rglob(PATTERN))
    }
    return sorted(found.values(), key=lambda sheet: (sheet.name, str(sheet)))


def embed_file(path: Path) -> EmbeddedImage:
    """Reads an image file.

    Raises:
        ResultError: if it is missing, damaged, larger than 8 MiB, or neither PNG, JPEG nor WebP.
    """
    path = Path(path)
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    if len(contents) > MAX_BYTES:
        raise ResultError(f"{path}: has {len(contents)} bytes, expected at most {MAX_BYTES}")
    try:
        with Image.open(BytesIO(contents), formats=tuple(_TYPES)) as image:
            image.load()
            kind, (width, height) = str(image.format), image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ResultError(f"{path}: is not a whole image in PNG, JPEG or WebP") from error
    return EmbeddedImage(path.stem, data_uri(_TYPES[kind], contents), width, height)


def embed_figure(figure: Figure, *, name: str) -> EmbeddedImage:
    """Returns a chart as SVG with a transparent background."""
    width, height = (round(_PIXELS_PER_INCH * inches) for inches in figure.get_size_inches())
    return EmbeddedImage(name, data_uri("image/svg+xml", svg_of(figure)), width, height)


def data_uri(media_type: str, contents: bytes) -> str:
    """Returns the address of contents that are part of the page."""
    return f"data:{media_type};base64,{base64.b64encode(contents).decode('ascii')}"
