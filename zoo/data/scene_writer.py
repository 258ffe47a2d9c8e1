"""The part that writers of scene stores and of TFRecords share: checked scenes, and a folder that is written whole."""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import SPLITS, ExtraShape, Split, check_numbers
from zoo.errors import DataError, did_you_mean
from zoo.files import writing_directory

_TOLERANCE = 1e-4  # radians by which rounded angles may exceed their range


class SceneArrays(NamedTuple):
    """n scenes with V views."""

    frames: np.ndarray  # [n, V, H, W, 3] uint8
    cameras: np.ndarray  # [n, V, 5] float32
    extras: dict[str, np.ndarray]  # name -> [n, V, ...] of views or [n, ...] of scenes
    factors: list[dict[str, Any]] | None = None  # of n scenes; None: they have none


class SplitWriter(Protocol):
    """Writes the scenes of one split."""

    def append(self, scenes: SceneArrays) -> None:
        """Writes scenes."""

    def complete(self) -> Any:
        """Finishes the files."""

    def close(self) -> None:
        """Closes the files that are still open; a full disk is reported by the write that failed, not by closing."""


class SceneWriter(ABC):
    """A context manager that writes a folder of scenes under a temporary name and renames it when it is complete.

    ``folder`` must not exist; None as ``image_size`` or ``num_views`` takes those of the first scenes.

    Raises:
        DataError: if the folder exists.
        DiskFullError: from :meth:`add` or at the end of the block, if the disk is full or read-only; nothing is left.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        image_size: int | None,
        num_views: int | None,
        extras: Mapping[str, ExtraShape],
    ) -> None:
        self._folder = Path(folder)
        self._image_size, self._num_views, self._extras = image_size, num_views, dict(extras)
        self._writers: dict[Split, SplitWriter] = {}
        self._has_factors: bool | None = None  # None before the first scene
        self._temporary: Path | None = None
        self._stack, self._open_files = contextlib.ExitStack(), contextlib.ExitStack()
        if os.path.lexists(self._folder):
            raise DataError(f"{self._folder}: exists already; a data set is never overwritten")

    @abstractmethod
    def _open_split(self, folder: Path, split: Split) -> SplitWriter:
        """Begins a split in the temporary folder."""

    def _complete(self, folder: Path) -> None:
        for writer in self._writers.values():
            writer.complete()

    def add(
        self,
        split: Split,
        frames: np.ndarray | Sequence[Any],
        cameras: np.ndarray | Sequence[Any],
        extras: Mapping[str, Any] | None = None,
        factors: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Appends one scene or several to a split.

        Args:
            split: ``train``, ``validation`` or ``test``.
            frames: [V, H, W, 3] or [n, V, H, W, 3] uint8; an array or a list of arrays.
            cameras: [V, 5] or [n, V, 5]: x, y, z in scene units, yaw and pitch in radians; stored as float32.
            extras: name -> array of every extra, with a leading axis of scenes where ``frames`` has one.
            factors: the factor documents of the n scenes, as JSON values; of all scenes of a folder or of none.

        Raises:
            DataError: if a shape or type is wrong, a value is not finite or an angle is not in radians; nothing of
                this call is then written.
        """
        assert self._temporary is not None, "add() is called inside the with block"
        if split not in SPLITS:
            raise DataError(f"split: {split!r} is unknown{did_you_mean(split, SPLITS)}")
        scenes = self._checked(frames, cameras, extras or {})
        if factors is not None:
            scenes = scenes._replace(factors=[dict(document) for document in factors])
        if len(scenes.frames):
            self._check_factors(scenes)
            self._num_views, self._image_size = scenes.frames.shape[1:3]
            if split not in self._writers:
                self._writers[split] = self._open_split(self._temporary, split)
                self._open_files.callback(self._writers[split].close)
            self._writers[split].append(scenes)

    def _checked(self, frames: Any, cameras: Any, extras: Mapping[str, Any]) -> SceneArrays:
        arrays = {"frames": frames, "cameras": cameras, **{f"extras.{name}": array for name, array in extras.items()}}
        arrays = {name: _as_array(name, values) for name, values in arrays.items()}
        if arrays["frames"].ndim == 4:
            arrays = {name: array[None] for name, array in arrays.items()}
        for name in sorted(set(self._extras) ^ set(extras)):
            raise DataError(f"extras: {name!r} is {'missing' if name in self._extras else 'not declared'}")
        shape = arrays["frames"].shape if arrays["frames"].ndim == 5 else (1, 0, 0)
        lead = (shape[0], self._num_views or shape[1])
        size = shape[2] if self._image_size is None else self._image_size
        expected = {"frames": ("uint8", (*lead, size, size, 3)), "cameras": ("float32", (*lead, CAMERA_WIDTH))}
        for name, extra in self._extras.items():
            expected[f"extras.{name}"] = (extra.dtype, (*(lead if extra.per_view else lead[:1]), *extra.shape))
        if arrays["cameras"].dtype.kind in "fiu":
            arrays["cameras"] = arrays["cameras"].astype(np.float32, copy=False)
        for name, (dtype, wanted) in expected.items():
            array = arrays[name]
            if array.dtype != np.dtype(dtype):
                raise DataError(f"{name}: the type is {array.dtype}, expected {dtype}")
            if array.shape != wanted:
                raise DataError(f"{name}: the shape is {array.shape}, expected {wanted}")
            if name == "cameras":
                check_numbers(array, kind="cameras", origin=name)
                _check_angles(array)
            elif dtype == "float32":
                check_numbers(array, kind="values", origin=name)
        return SceneArrays(arrays["frames"], arrays["cameras"], {name: arrays[f"extras.{name}"] for name in extras})

    def _check_factors(self, scenes: SceneArrays) -> None:
        has_factors = scenes.factors is not None
        if scenes.factors is not None and len(scenes.factors) != len(scenes.frames):
            raise DataError(
                f"factors: found {len(scenes.factors)} documents, expected {len(scenes.frames)}, one per scene"
            )
        if self._has_factors not in (None, has_factors):
            raise DataError(f"factors: are {'given' if has_factors else 'missing'}, unlike for the scenes before")
        self._has_factors = has_factors

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with writing_directory(self._folder) as self._temporary, self._open_files:
            yield
            if not self._writers:
                raise DataError(f"{self._folder}: is not written, because no scene was added")
            self._complete(self._temporary)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._writing())
        return self

    def __exit__(self, *raised: Any) -> bool | None:
        return self._stack.__exit__(*raised)


def _check_angles(cameras: np.ndarray) -> None:
    yaw, pitch = np.abs(cameras[..., 3:]).reshape(-1, 2).max(0, initial=0.0).tolist()
    if yaw > 2.0 * math.pi + _TOLERANCE or pitch > math.pi / 2.0 + _TOLERANCE:
        raise DataError(
            f"cameras: found a yaw of {yaw:.4g} and a pitch of {pitch:.4g}; expected radians, at most "
            f"{2.0 * math.pi:.4f} and {math.pi / 2.0:.4f} either way (numpy.radians converts degrees)"
        )


def _as_array(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: is no array: {error}") from error
