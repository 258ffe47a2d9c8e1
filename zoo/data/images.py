"""Decoding, encoding and resizing images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from zoo.errors import DataError

_FORMATS = ("JPEG", "PNG")
_LARGEST = 4096  # pixels


def decode_image(data: bytes, *, origin: str, image_size: int | None = None) -> np.ndarray:
    """Decodes the bytes of a square JPEG or PNG, [H, W, 3] uint8.

    Raises:
        DataError: naming ``origin``, if it cannot be decoded, is not square or has not the ``image_size`` asked for.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            # Before decoding: the size is in the header, and a damaged one could announce gigabytes.
            if width != height or height > _LARGEST or image_size not in (None, height):
                expected = f"a square of at most {_LARGEST}" if image_size is None else f"{image_size} x {image_size}"
                raise DataError(f"{origin}: the image is {width} x {height} pixels, expected {expected}")
            # Converting copies even where there is nothing to convert.
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except DataError:
        raise
    except Exception as error:  # Pillow's parsers raise anything from KeyError to SyntaxError
        raise DataError(f"{origin}: cannot be decoded as {' or '.join(_FORMATS)}: {error}") from error


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
