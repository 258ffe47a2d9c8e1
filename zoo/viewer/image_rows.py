"""Images of a frame beside each other, enlarged so that single pixels can be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.figures.views import coloured
from zoo.viewer.rendering import Frame

TILE = 128  # height of an image, pixels, at least
GAP = 4  # white pixels between images
MOST_SAMPLES_SHOWN = 8
BLANK = np.full((TILE, TILE, 3), 128, np.uint8)


def truth_and_means(frame: Frame) -> np.ndarray:
    """Returns the truth, grey where it is not known, and the mean prediction of every model, [h, w, 3] uint8."""
    means = [model.mean for model in frame.models]
    unknown = np.full_like(means[0], 128) if means else BLANK
    return image_row([unknown if frame.truth is None else frame.truth, *means])


def samples_of(frame: Frame) -> np.ndarray:
    """Returns a row of samples for every model, [h, w, 3] uint8."""
    if not frame.models:
        return BLANK
    return image_column([image_row(model.samples[:MOST_SAMPLES_SHOWN]) for model in frame.models])


def spreads_of(frame: Frame) -> np.ndarray:
    """Returns the uncertainty of every model on one scale, black is 0, [h, w, 3] uint8."""
    if not frame.models:
        return BLANK
    most = largest_spread(frame)
    return image_row([coloured(model.spread / most) for model in frame.models])


def largest_spread(frame: Frame) -> float:
    """Returns the value of the lightest colour of :func:`spreads_of`."""
    return max(1e-6, *(float(model.spread.max()) for model in frame.models))


def image_row(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Puts images [H, W, 3] uint8 of one size beside each other, enlarged by a whole factor."""
    factor = max(1, -(-TILE // images[0].shape[0]))
    tiles = [image.repeat(factor, axis=0).repeat(factor, axis=1) for image in images]
    gap = np.full((tiles[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)][1:]
    return np.concatenate(parts, axis=1)


def image_column(images: Sequence[np.ndarray]) -> np.ndarray:
    """Puts images [h, w, 3] uint8 of one width below each other."""
    gap = np.full((GAP, images[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for image in images for part in (gap, image)][1:], axis=0)
