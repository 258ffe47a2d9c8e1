"""Decoding, encoding and resizing images."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from zoo.errors import DataError

_FORMATS = ("JPEG", "PNG")
_LARGEST = 4096  # pixels
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


class Photograph(NamedTuple):
    """A decoded image file of any shape."""

    pixels: Image.Image  # RGB
    has_transparency: bool  # some pixels were transparent; they are composited on white


@contextlib.contextmanager
def _decoding(file: str | os.PathLike[str] | io.BytesIO, *, origin: str) -> Iterator[Image.Image]:
    """Opens an image; whatever Pillow raises or warns of within the block becomes a DataError that names ``origin``."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of images above its limit of pixels, and refuses twice as many.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                yield image
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{origin}: this image is missing") from error
    except Exception as error:  # Pillow's parsers raise anything from KeyError to SyntaxError
        raise DataError(f"{origin}: cannot be decoded as {' or '.join(_FORMATS)}: {error}") from error


def decode_image(data: bytes, *, origin: str, image_size: int | None = None) -> np.ndarray:
    """Decodes the bytes of a square JPEG or PNG, [H, W, 3] uint8.

    Raises:
        DataError: naming ``origin``, if it cannot be decoded, is not square or has not the ``image_size`` asked for.
    """
    with _decoding(io.BytesIO(data), origin=origin) as image:
        width, height = image.size
        # Before decoding: the size is in the header, and a damaged one could announce gigabytes.
        if width != height or height > _LARGEST or image_size not in (None, height):
            expected = f"a square of at most {_LARGEST}" if image_size is None else f"{image_size} x {image_size}"
            raise DataError(f"{origin}: the image is {width} x {height} pixels, expected {expected}")
        # Converting copies even where there is nothing to convert.
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def photograph_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Reads width and height of a JPEG or PNG file from its header, pixels; raises as :func:`read_photograph`."""
    with _decoding(path, origin=str(path)) as image:
        return image.size


def read_photograph(path: str | os.PathLike[str]) -> Photograph:
    """Decodes a JPEG or PNG file of any shape; transparent pixels are composited on white.

    The orientation that a camera noted in the file is ignored, as calibrations refer to the stored pixels.

    Raises:
        DataError: naming the file, if it is missing, damaged, cut off, not of 8 bits per channel or larger than
            Pillow's limit against decompression bombs.
    """
    with _decoding(path, origin=str(path)) as image:
        if image.mode not in _EIGHT_BIT_MODES:
            raise DataError(f"{path}: has pixels of mode {image.mode}, expected 8 bits per channel")
        if not image.has_transparency_data:
            return Photograph(image.convert("RGB"), False)
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        transparent = layer.getchannel("A").getextrema() != (255, 255)
        return Photograph(Image.alpha_composite(white, layer).convert("RGB"), transparent)


def encode_jpeg(image: np.ndarray, *, quality: int) -> bytes:
    """Encodes an image [H, W, 3] uint8 as JPEG with full color resolution; ``quality`` is 1 to 100."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def resize_images(images: np.ndarray, *, image_size: int) -> np.ndarray:
    """Resizes square images [..., H, H, 3] to [..., image_size, image_size, 3], all uint8.

    Where the new size divides the old one every new pixel is the mean of the pixels that it covers, rounded to the
    nearest (half up); otherwise Pillow's Lanczos filter is used, which averages too when it makes an image smaller.
    """
    *lead, old, _, channels = images.shape
    if old == image_size:
        return images
    if old % image_size == 0:
        factor = old // image_size
        blocks = images.reshape(*lead, image_size, factor, image_size, factor, channels)
        area = factor * factor
        means = (blocks.sum(axis=(-4, -2), dtype=np.uint32) + area // 2) // area
        return means.astype(np.uint8)
    flat = images.reshape(-1, old, old, channels)
    resized = np.empty((len(flat), image_size, image_size, channels), dtype=np.uint8)
    for i, image in enumerate(flat):
        resized[i] = np.asarray(Image.fromarray(image).resize((image_size, image_size), Image.Resampling.LANCZOS))
    return resized.reshape(*lead, image_size, image_size, channels)
