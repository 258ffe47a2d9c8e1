"""The interface of a data set: one split with random access to single views; checks of what is read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from zoo.data.camera import CAMERA_FIELDS, CAMERA_WIDTH
from zoo.errors import ConfigError, DataError

LARGEST_CAMERA = 1e6  # scene units or radians; float32 poses beyond it have lost their meaning
LARGEST_VALUE = 1e15  # of float32 extras; squares stay finite

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


# Names of extras, as data sets write them and tasks read them.
CAPTIONS, MAP, MAP_CAMERA = "captions", "map", "map_camera"
INPUTS, VALUES, KERNEL = "inputs", "values", "kernel"


class ExtraShape(NamedTuple):
    """Type and shape of an array beside images and cameras: captions, a map, the values of a function."""

    dtype: str  # "uint8", "int64" or "float32"
    shape: tuple[int, ...]  # of one view or of one scene
    per_view: bool


def point_shapes(*, input_width: int, value_width: int) -> Mapping[str, ExtraShape]:
    """Returns the types and shapes of the points of a function; every point is a view."""
    return {
        INPUTS: ExtraShape("float32", (input_width,), per_view=True),
        VALUES: ExtraShape("float32", (value_width,), per_view=True),
    }


def map_shapes(image_size: int) -> Mapping[str, ExtraShape]:
    """Returns the types and shapes of a scene's map, an image, and of the camera that sees it."""
    return {
        MAP: ExtraShape("uint8", (image_size, image_size, 3), per_view=False),
        MAP_CAMERA: ExtraShape("float32", (CAMERA_WIDTH,), per_view=False),
    }


def bytes_per_scene(extras: Mapping[str, ExtraShape], *, image_size: int, num_views: int) -> int:
    """Returns the size of a scene's images, cameras and extras in memory and in a store."""
    size = num_views * (image_size**2 * 3 + CAMERA_WIDTH * 4)
    for extra in extras.values():
        size += math.prod(extra.shape) * np.dtype(extra.dtype).itemsize * (num_views if extra.per_view else 1)
    return size


class SceneSource(Protocol):
    """One split of a scene set with random access to single views."""

    name: str  # of the data set, for example ``shepard_metzler_5_parts``
    split: Split
    revision: str  # hexadecimal digest of the contents of the whole data set; part of every result row
    num_scenes: int  # in this split
    num_views: int  # images of every scene
    image_size: int  # height and width of the images, pixels; 0 for data without images
    extras: Mapping[str, ExtraShape]  # name -> another array of every scene

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads the views ``views`` [B, N] int64 of the scenes ``scenes`` [B] int64 of this split.

        Returns:
            frames [B, N, H, W, 3] uint8, and cameras [B, N, 5] float32 (x, y, z, yaw, pitch; radians).

        Raises:
            DataError: if a record is damaged; the message names the file and the record.
        """

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Reads the extras of some scenes, name -> [B, N, ...] of the views or [B, ...] of the scenes."""


def check_indices(
    source: SceneSource, scenes: np.ndarray, views: np.ndarray | None, *, origin: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices of scenes [B] and views [B, N] as arrays; without views, [B, 0].

    Raises:
        DataError: naming ``origin`` and the first index that is out of range.
    """
    scenes = np.asarray(scenes)
    views = np.zeros((len(scenes), 0), np.int64) if views is None else np.asarray(views)
    assert scenes.ndim == 1 and views.ndim == 2 and len(scenes) == len(views), "scenes [B], views [B, N]"
    for name, indices, count in (("scene", scenes, source.num_scenes), ("view", views, source.num_views)):
        if indices.size and not 0 <= indices.min() <= indices.max() < count:
            wrong = indices[(indices < 0) | (indices >= count)][0]
            raise DataError(f"{origin}: {source.split}: {name} {wrong} is out of range, expected 0 to {count - 1}")
    return scenes, views


def check_numbers(numbers: np.ndarray, *, kind: Literal["cameras", "values"], origin: str) -> None:
    """Checks that cameras [..., 5] are within ``LARGEST_CAMERA``, float32 values of any shape within ``LARGEST_VALUE``.

    Raises DataError naming ``origin``, and place and value of the first number that is not finite or too large.
    """
    limit = LARGEST_CAMERA if kind == "cameras" else LARGEST_VALUE
    # Comparisons with NaN are false, and the minimum of numbers with a NaN is NaN.
    if -limit <= numbers.min(initial=0.0) and numbers.max(initial=0.0) <= limit:
        return
    place = np.argwhere(~(np.abs(numbers) <= limit))[0].tolist()
    name = f"{CAMERA_FIELDS[place[-1]]} of camera {place[:-1]}" if kind == "cameras" else f"value at {place}"
    raise DataError(f"{origin}: the {name} is {numbers[tuple(place)]:g}, expected a finite number within {limit:.0e}")


class FolderShape(NamedTuple):
    """The image size and the extras of a folder of scenes that is not opened yet."""

    image_size: int  # height and width, pixels; 0 without images
    extras: Mapping[str, ExtraShape]


@dataclass(frozen=True, kw_only=True)
class DataRequirements:
    """The images and arrays that a variant's task reads of every scene."""

    variant: str
    size: str
    task: str
    image_size: int  # height and width, pixels; 0 for a task without images
    extras: Mapping[str, ExtraShape]  # a size of 0 in a shape accepts any size

    def check(self, scenes: SceneSource | FolderShape, *, folder: str | os.PathLike[str]) -> None:
        """Checks that scenes have every array that the task reads, and images of the variant's size.

        Raises:
            ConfigError: with the size or shape found and expected.
        """
        reads = f"task {self.task!r} of {self.variant!r} reads"
        for name, expected in self.extras.items():
            found = scenes.extras.get(name)
            if found is None:
                raise ConfigError(f"{folder}: has no {name}, which {reads}")
            alike = (found.dtype, found.per_view, len(found.shape)) == (
                expected.dtype,
                expected.per_view,
                len(expected.shape),
            )
            if not alike or any(size not in (0, here) for size, here in zip(expected.shape, found.shape, strict=True)):
                raise ConfigError(
                    f"{folder}: its {name} are {found.dtype} {list(found.shape)}, but {reads} {expected.dtype} "
                    f"{list(expected.shape)}"
                )
        if scenes.image_size == self.image_size:
            return
        if not scenes.image_size:
            raise ConfigError(
                f"{folder}: has no images but {', '.join(sorted(scenes.extras)) or 'cameras'}; expected images "
                f"of {self.image_size} pixels, which {reads}"
            )
        images = f"{folder}: has images of {scenes.image_size} pixels, but"
        if not self.image_size:
            raise ConfigError(f"{images} {reads} data without images")
        raise ConfigError(
            f"{images} {self.variant!r} at size {self.size!r} reads {self.image_size}; use data of {self.image_size} "
            f"pixels, or train with --set image_size={scenes.image_size} or another --size"
        )
