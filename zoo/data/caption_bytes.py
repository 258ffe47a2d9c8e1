"""Captions as bytes: UTF-8, padded with zeros to one length, so that they lie in an array beside the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.errors import DataError

CAPTION_LENGTH = 256  # bytes


def encode_captions(captions: Sequence[str], length: int = CAPTION_LENGTH) -> np.ndarray:
    """Returns captions as [n, length] uint8, UTF-8 padded with zeros.

    Raises:
        DataError: if a caption is longer than ``length`` bytes or holds the character with code 0.
    """
    encoded = np.zeros((len(captions), length), np.uint8)
    for index, caption in enumerate(captions):
        data = caption.encode()
        if len(data) > length:
            raise DataError(f"captions[{index}]: takes {len(data)} bytes, expected at most {length}")
        if 0 in data:
            raise DataError(f"captions[{index}]: holds the character with code 0, which marks the end of a caption")
        encoded[index, : len(data)] = np.frombuffer(data, np.uint8)
    return encoded


def decode_caption(encoded: np.ndarray) -> str:
    """Returns the caption in [length] uint8, up to the first zero.

    Raises:
        DataError: if the array is not of that kind or the bytes are not UTF-8.
    """
    if encoded.ndim != 1 or encoded.dtype != np.uint8:
        raise DataError(f"caption: found {encoded.dtype} {list(encoded.shape)}, expected uint8 [length]")
    try:
        return encoded.tobytes().split(b"\0", 1)[0].decode()
    except UnicodeDecodeError as error:
        raise DataError(f"caption: is not UTF-8: {error}") from error
