"""Captions as arrays beside the images: UTF-8 bytes, padded with zeros to one length."""

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
