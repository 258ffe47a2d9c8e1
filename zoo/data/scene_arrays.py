"""The check that both writers make of scenes before they write them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.data.source import SPLITS, ExtraShape
from zoo.errors import DataError, did_you_mean


def checked_scenes(
    split: str, *, frames: np.ndarray, cameras: np.ndarray, num_views: int, image_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns scenes with a leading axis, after checking that they can be written to a split.

    Args:
        split: where they will go.
        frames: [V, H, W, 3] or [n, V, H, W, 3] uint8.
        cameras: [V, 5] or [n, V, 5] float32.
        num_views: V.
        image_size: H and W.

    Returns:
        frames [n, V, H, W, 3] and cameras [n, V, 5].

    Raises:
        DataError: if the split is unknown, a shape or type is wrong or a camera is not finite.
    """
    if split not in SPLITS:
        raise DataError(f"split: {split!r} is unknown{did_you_mean(split, SPLITS)}")
    if frames.ndim == 4:
        frames, cameras = frames[None], cameras[None]
    num_scenes = len(frames) if frames.ndim else 1
    for label, array, dtype, row in (
        ("frames", frames, np.uint8, (num_views, image_size, image_size, 3)),
        ("cameras", cameras, np.float32, (num_views, 5)),
    ):
        if array.dtype != dtype:
            raise DataError(f"{label}: the type is {array.dtype}, expected {np.dtype(dtype).name}")
        if array.shape != (num_scenes, *row):
            raise DataError(f"{label}: the shape is {array.shape}, expected {(num_scenes, *row)}")
    if not np.isfinite(cameras).all():
        raise DataError("cameras: a value is not finite")
    return frames, cameras


def check_extras(
    expected: Mapping[str, ExtraShape], found: Mapping[str, np.ndarray], *, num_scenes: int, num_views: int
) -> None:
    """Checks what else is written of ``num_scenes`` scenes.

    Raises:
        DataError: if one is missing or unknown, or its shape or type is wrong, or a value is not finite.
    """
    for name in sorted(set(expected) ^ set(found)):
        raise DataError(f"extras: {name!r} is {'missing' if name in expected else 'not declared'}")
    for name, extra in expected.items():
        array = found[name]
        shape = (num_scenes, num_views, *extra.shape) if extra.per_view else (num_scenes, *extra.shape)
        if array.dtype != np.dtype(extra.dtype):
            raise DataError(f"extras.{name}: the type is {array.dtype}, expected {extra.dtype}")
        if array.shape != shape:
            raise DataError(f"extras.{name}: the shape is {array.shape}, expected {shape}")
        if extra.dtype == "float32" and not np.isfinite(array).all():
            raise DataError(f"extras.{name}: a value is not finite")
