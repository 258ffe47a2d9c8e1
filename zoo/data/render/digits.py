"""Handwritten digits for the sides of a cube: the 1797 images that come with scikit-learn, so nothing is downloaded.

They are those of the test set of Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, 1998 (UCI): 8 x 8
pixels, 0 to 16. Each belongs to one split by the hash of its number, so that a digit seen in training never appears in
validation or test.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from zoo.data.built_in import split_of
from zoo.data.render.faces import FACE_SIZE
from zoo.data.source import Split
from zoo.errors import DataError

NUM_LABELS = 10
DIGIT_SIZE = 8
FULL_INK = 16.0

# The part of a face, each way, that the 8 pixels of a digit span.
SPAN = 0.86
# Interpolated grey levels between these become a stroke with a smooth but narrow rim.
THIN, THICK = 0.18, 0.78


class Digits(NamedTuple):
    """Images and labels."""

    pixels: np.ndarray  # [1797, 8, 8] float64, 0 to 1: row 0 at the top
    labels: np.ndarray  # [1797] int64


@functools.cache
def handwritten_digits() -> Digits:
    """Returns all digits.

    Raises:
        DataError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digit_cube: takes its digits from scikit-learn, which is not installed") from error
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.reshape(-1, DIGIT_SIZE, DIGIT_SIZE) / FULL_INK
    return Digits(pixels, labels.astype(np.int64))


def split_of_digit(index: int) -> Split:
    """Returns the split that a digit belongs to."""
    return split_of(f"handwritten digit {index}")


@functools.cache
def digits_of(split: Split) -> Mapping[int, tuple[int, ...]]:
    """Returns label -> the digits of a split with that label, by number."""
    labels = handwritten_digits().labels
    own = [index for index in range(len(labels)) if split_of_digit(index) == split]
    return {label: tuple(index for index in own if labels[index] == label) for label in range(NUM_LABELS)}


def _weights() -> np.ndarray:
    """Returns how much each of 8 pixels counts at the places of a row of a face, [FACE_SIZE, 8].

    Catmull-Rom interpolation between pixel centres; there is no ink beyond the image.
    """
    places = ((np.arange(FACE_SIZE) + 0.5) / FACE_SIZE - 0.5) / SPAN + 0.5
    offset = np.abs(places[:, None] * DIGIT_SIZE - 0.5 - np.arange(DIGIT_SIZE))
    near = 1.5 * offset**3 - 2.5 * offset**2 + 1.0
    far = -0.5 * offset**3 + 2.5 * offset**2 - 4.0 * offset + 2.0
    return np.where(offset < 1.0, near, np.where(offset < 2.0, far, 0.0))


@functools.cache
def face_image(index: int) -> bytes:
    """Returns a digit as an image for the side of a box, see ``zoo.data.render.faces``."""
    weights = _weights()
    smooth = weights @ handwritten_digits().pixels[index] @ weights.T
    amount = ((smooth - THIN) / (THICK - THIN)).clip(0.0, 1.0)
    return np.round(amount * amount * (3.0 - 2.0 * amount) * 255.0).astype(np.uint8).tobytes()
