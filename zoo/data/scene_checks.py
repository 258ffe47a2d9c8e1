"""Checks of cameras and values, made when scenes are opened and before they are written."""

from __future__ import annotations

import numpy as np

from zoo.data.camera import CAMERA_FIELDS
from zoo.errors import DataError

LARGEST_CAMERA = 1e6  # scene units or radians; float32 poses beyond it have lost their meaning
LARGEST_VALUE = 1e15  # of float32 extras; squares stay finite


def check_cameras(cameras: np.ndarray, *, origin: str) -> None:
    """Checks that cameras [..., 5] are finite and within ``LARGEST_CAMERA``.

    Raises:
        DataError: naming ``origin``, the camera and the value found.
    """
    # One comparison, which NaN fails too.
    if (np.abs(cameras) <= LARGEST_CAMERA).all():
        return
    *place, field = np.argwhere(~(np.abs(cameras) <= LARGEST_CAMERA))[0].tolist()
    raise DataError(
        f"{origin}: the {CAMERA_FIELDS[field]} of camera {place} is {cameras[(*place, field)]:g}, expected a finite number "
        f"within {LARGEST_CAMERA:.0e}"
    )


def check_values(values: np.ndarray, *, origin: str) -> None:
    """Checks that float32 values of any shape are finite and within ``LARGEST_VALUE``.

    Raises:
        DataError: naming ``origin``, the place and the value found.
    """
    if (np.abs(values) <= LARGEST_VALUE).all():
        return
    place = np.argwhere(~(np.abs(values) <= LARGEST_VALUE))[0].tolist()
    raise DataError(
        f"{origin}: the value at {place} is {values[tuple(place)]:g}, expected a finite number within {LARGEST_VALUE:.0e}"
    )
