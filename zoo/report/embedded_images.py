"""Images that travel inside the page, as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from zoo.errors import ResultError

PATTERN = "sheet*.png"
MAX_BYTES = 8 * 2**20
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


class EmbeddedImage(NamedTuple):
    """One image with its size in pixels."""

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


def embed(path: Path) -> EmbeddedImage:
    """Reads a image whole.

    Raises:
        ResultError: if it is missing, damaged, larger than 8 MiB, or neither PNG, JPEG nor WebP.
    """
    path = Path(path)
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    if len(contents) > MAX_BYTES:
        raise ResultError(f"{path}: has {len(contents)} bytes, expected at most {MAX_BYTES} of a image in a page")
    try:
        with Image.open(BytesIO(contents), formats=tuple(_TYPES)) as image:
            image.load()
            kind, (width, height) = str(image.format), image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ResultError(f"{path}: is not a whole image in PNG, JPEG or WebP") from error
    address = f"data:{_TYPES[kind]};base64,{base64.b64encode(contents).decode('ascii')}"
    return EmbeddedImage(name=path.stem, address=address, width=width, height=height)
