"""What the writers of scene stores and of TFRecords share: checked arguments, and a folder that is written whole."""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import SPLITS, ExtraShape, Split, check_cameras, check_values
from zoo.errors import DataError, did_you_mean
from zoo.files import writing_directory

_TOLERANCE = 1e-4  # radians by which rounded angles may exceed their range


class SceneArrays(NamedTuple):
    """n scenes with V views."""

    frames: np.ndarray  # [n, V, H, W, 3] uint8
    cameras: np.ndarray  # [n, V, 5] float32
    extras: dict[str, np.ndarray]  # name -> [n, V, ...] of views or [n, ...] of scenes


class SceneWriter(ABC):
    """A context manager that writes a folder of scenes under a temporary name and renames it when it is complete."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._temporary: Path | None = None
        self._stack = contextlib.ExitStack()
        if os.path.lexists(self._folder):
            raise DataError(f"{self._folder}: exists already; a data set is never overwritten")

    @property
    def _open_folder(self) -> Path:
        """The folder that is being written."""
        assert self._temporary is not None, "add() is called inside the with block"
        return self._temporary

    @abstractmethod
    def add(
        self,
        split: Split,
        frames: np.ndarray | Sequence[Any],
        cameras: np.ndarray | Sequence[Any],
        extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Appends one scene or several to a split.

        Args:
            split: ``train``, ``validation`` or ``test``.
            frames: [V, H, W, 3] or [n, V, H, W, 3] uint8; an array or a list of arrays.
            cameras: [V, 5] or [n, V, 5]: x, y, z in scene units, yaw and pitch in radians; stored as float32.
            extras: name -> array of every extra, with a leading axis of scenes where ``frames`` has one.

        Raises:
            DataError: if a shape or type is wrong, a value is not finite or an angle is not in radians; nothing of
                this call is then written.
        """

    @abstractmethod
    def _complete(self) -> None:
        """Finishes the files; called when the block ends without an error."""

    @abstractmethod
    def _close(self) -> None:
        """Closes the files that are still open; called in any case."""

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(writing_directory(self._folder))
        self._stack.callback(self._close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is None:
            # Inside the stack, so that an error of the last writes removes the temporary folder too.
            with self._stack:
                self._complete()
            return None
        return self._stack.__exit__(kind, error, trace)


def _check_angles(cameras: np.ndarray) -> None:
    largest_yaw, largest_pitch = np.abs(cameras[..., 3:]).reshape(-1, 2).max(0, initial=0.0).tolist()
    if largest_yaw > 2.0 * math.pi + _TOLERANCE or largest_pitch > math.pi / 2.0 + _TOLERANCE:
        raise DataError(
            f"cameras: found a yaw of {largest_yaw:.4g} and a pitch of {largest_pitch:.4g}; expected radians, at most "
            f"{2.0 * math.pi:.4f} and {math.pi / 2.0:.4f} either way (numpy.radians converts degrees)"
        )


def _as_array(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: is no array: {error}") from error


def prepare_scenes(
    split: str,
    *,
    frames: np.ndarray | Sequence[Any],
    cameras: np.ndarray | Sequence[Any],
    extras: Mapping[str, Any] | None,
    num_views: int | None,
    image_size: int | None,
    extra_shapes: Mapping[str, ExtraShape],
) -> SceneArrays:
    """Returns scenes as arrays with a leading axis, after checking that they can be written to a split.

    Args:
        split: where they will go.
        frames: [V, H, W, 3] or [n, V, H, W, 3] uint8, an array or a sequence of arrays.
        cameras: [V, 5] or [n, V, 5] of any floating-point or integer type.
        extras: name -> array, with a leading axis of scenes where ``frames`` has one.
        num_views: V that is expected; None accepts any.
        image_size: H and W that are expected; None accepts any.
        extra_shapes: the extras that are expected.

    Raises:
        DataError: if the split is unknown, a shape or type is wrong, a value is not finite or an angle is not in
            radians.
    """
    if split not in SPLITS:
        raise DataError(f"split: {split!r} is unknown{did_you_mean(split, SPLITS)}")
    frames, cameras = _as_array("frames", frames), _as_array("cameras", cameras)
    arrays = {name: _as_array(f"extras.{name}", array) for name, array in (extras or {}).items()}
    if frames.ndim == 4:
        frames, cameras, arrays = frames[None], cameras[None], {name: array[None] for name, array in arrays.items()}
    if frames.dtype != np.uint8:
        raise DataError(f"frames: the type is {frames.dtype}, expected uint8 (0 to 255)")
    if cameras.dtype.kind not in "fiu":
        raise DataError(f"cameras: the type is {cameras.dtype}, expected float32")
    num_scenes, views, size = frames.shape[:3] if frames.ndim == 5 else (1, 0, 0)
    views, size = num_views or views, size if image_size is None else image_size
    shapes = {"frames": (num_scenes, views, size, size, 3), "cameras": (num_scenes, views, CAMERA_WIDTH)}
    for name in sorted(set(extra_shapes) ^ set(arrays)):
        raise DataError(f"extras: {name!r} is {'missing' if name in extra_shapes else 'not declared'}")
    for name, extra in extra_shapes.items():
        shapes[f"extras.{name}"] = (num_scenes, *((views,) if extra.per_view else ()), *extra.shape)
        if arrays[name].dtype != np.dtype(extra.dtype):
            raise DataError(f"extras.{name}: the type is {arrays[name].dtype}, expected {extra.dtype}")
    named = {"frames": frames, "cameras": cameras, **{f"extras.{name}": array for name, array in arrays.items()}}
    for name, array in named.items():
        if array.shape != shapes[name]:
            raise DataError(f"{name}: the shape is {array.shape}, expected {shapes[name]}")
    check_cameras(cameras, origin="cameras")
    _check_angles(cameras)
    for name, array in arrays.items():
        if array.dtype == np.float32:
            check_values(array, origin=f"extras.{name}")
    return SceneArrays(frames, cameras.astype(np.float32, copy=False), arrays)
