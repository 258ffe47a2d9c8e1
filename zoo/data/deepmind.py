"""DeepMind's ``gqn-datasets``, read from the published TFRecord files.

A set is a folder ``<root>/<set>/`` with ``train/*.tfrecord`` and ``test/*.tfrecord``. A record is one scene as a
``tf.train.Example``: ``frames``, a list of V JPEG (or PNG) strings, and ``cameras``, V x 5 floats in one flat list: x,
y, z, yaw, pitch, which are passed through unchanged. Number of views and image size are read from the data.

**Validation.** The published sets have no validation split. Unless the folder has a ``validation/`` of its own, every
20th record of train, counted over its files in order of name, is the validation split and is left out of train.

**Damaged records.** Under ``on_bad_record="raise"`` opening reads headers only, and a damaged record raises when it is
read. Under ``"skip"`` opening reads every record of the split (checksums, message, cameras, and the image of its
first view); damaged ones are left out of ``num_scenes`` and listed in ``skipped``, so that indices never shift while
reading. So are scenes with another number of views or image size than most. An image that passes its
checksum and yet cannot be decoded raises when it is read, also under ``"skip"``, unless it is the first of its scene.
Which records are validation does not depend on ``on_bad_record``.

Source: Eslami et al. 2018, and ``data_reader.py`` of https://github.com/google-deepmind/gqn-datasets.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.deepmind_index import FolderIndex, index_folder
from zoo.data.images import decode_image
from zoo.data.source import ExtraShape, Split, check_cameras, check_indices
from zoo.data.tf_example import Example
from zoo.data.tfrecord import BadRecord, OnBadRecord, read_record
from zoo.errors import DataError


class PublishedSet(NamedTuple):
    """Published sizes of a set, with which inspection compares the data; reading does not use them."""

    image_size: int
    num_views: int
    num_train_files: int
    num_test_files: int


PUBLISHED = MappingProxyType(
    {
        "jaco": PublishedSet(64, 11, 3600, 400),
        "mazes": PublishedSet(84, 300, 1080, 120),
        "rooms_free_camera_with_object_rotations": PublishedSet(128, 10, 2034, 226),
        "rooms_ring_camera": PublishedSet(64, 10, 2160, 240),
        "rooms_free_camera_no_object_rotations": PublishedSet(64, 10, 2160, 240),
        "shepard_metzler_5_parts": PublishedSet(64, 15, 900, 100),
        "shepard_metzler_7_parts": PublishedSet(64, 15, 900, 100),
    }
)


class _Scene(NamedTuple):
    origin: str  # file and record, for the message of an error
    frames: Sequence[bytes]  # V encoded images
    cameras: np.ndarray  # [V, 5] float32

    def image(self, view: int, *, image_size: int | None = None) -> np.ndarray:
        """Returns the image of a view, [H, W, 3] uint8."""
        return decode_image(self.frames[view], origin=f"{self.origin}: frame {view}", image_size=image_size)


def _parse_record(data: bytes, *, origin: str) -> _Scene:
    """Checks a record, except its images.

    Raises:
        DataError: if it is not a scene.
    """
    example = Example(data, origin=origin)
    frames, cameras = example.bytes_list("frames"), example.float_list("cameras")
    if not len(frames):
        raise DataError(f"{origin}: has no frames")
    if len(cameras) != CAMERA_WIDTH * len(frames):
        raise DataError(
            f"{origin}: {len(cameras)} camera numbers for {len(frames)} frames, expected {CAMERA_WIDTH} per frame"
        )
    cameras = cameras.reshape(-1, CAMERA_WIDTH)
    check_cameras(cameras, origin=origin)
    return _Scene(origin, frames, cameras)


def first_image_size(file: Path) -> int:
    """Returns the height and width in pixels of the first image of a TFRecord file, from its first record alone.

    Raises:
        DataError: if the record is damaged.
    """
    return len(_parse_record(read_record(file), origin=f"{file}: record 0").image(0))


class DeepMindScenes:
    """One split of a DeepMind set: a :class:`zoo.data.source.SceneSource` that decodes only the views asked for.

    Attributes:
        skipped: the records that were left out, with reasons; empty under ``on_bad_record="raise"``.

    Args:
        folder: ``<root>/<set>``; its name is the name of the set.
        split: ``train``, ``validation`` or ``test``.
        on_bad_record: see the top of this file.
        index: of the folder, if it has been made already.

    Raises:
        DataError: if there is no such split, a file cannot be indexed, or the first scene cannot be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        split: Split,
        *,
        on_bad_record: OnBadRecord = "raise",
        index: FolderIndex | None = None,
    ) -> None:
        if index is None:
            index = index_folder(folder, on_bad_record=on_bad_record)
        if split not in index.splits:
            raise DataError(f"{folder}: has no split {split!r}; there are {', '.join(index.splits)}")
        self.name: str = index.name
        self.split: Split = split
        self.revision: str = index.revision
        self.skipped: tuple[BadRecord, ...] = index.splits[split].bad
        self._folder = Path(folder)
        self._files = index.splits[split].files
        self._records = index.splits[split].records
        if on_bad_record == "skip":
            self._leave_out_bad_records()
        if not len(self._records):
            why = f"; first: {self.skipped[0].reason}" if self.skipped else ""
            raise DataError(f"{folder}: split {split!r} has no readable record{why}")
        self.num_scenes: int = len(self._records)
        self.extras: Mapping[str, ExtraShape] = {}
        first = self._scene(0)
        self.num_views: int = len(first.frames)
        self.image_size: int = len(first.image(0))

    def _path(self, scene: int) -> Path:
        return self._folder / self._files[self._records[scene, 0]]

    def _scene(self, scene: int) -> _Scene:
        _, record, offset, length = self._records[scene].tolist()
        path = self._path(scene)
        data = read_record(path, record=record, offset=offset, length=length)
        return _parse_record(data, origin=f"{path}: record {record} at byte {offset}")

    def _leave_out_bad_records(self) -> None:
        shapes: dict[int, tuple[int, int]] = {}
        reasons: dict[int, str] = {}
        for scene in range(len(self._records)):
            try:
                found = self._scene(scene)
                shapes[scene] = (len(found.frames), len(found.image(0)))
            except DataError as error:
                reasons[scene] = str(error)
        # The first record may be an unusual one, so the shape of the set is that of most records.
        (usual, _), *_ = Counter(shapes.values()).most_common(1) or [((0, 0), 0)]
        for scene, (views, size) in shapes.items():
            if (views, size) != usual:
                path, record = self.place_of(scene)
                reasons[scene] = (
                    f"{path}: record {record}: {views} views of {size} pixels, most have {usual[0]} of {usual[1]}"
                )
        bad = [BadRecord(*self.place_of(scene), reasons[scene]) for scene in sorted(reasons)]
        self.skipped = (*self.skipped, *bad)
        self._records = np.delete(self._records, sorted(reasons), axis=0)

    def place_of(self, scene: int) -> tuple[str, int]:
        """Returns the file of a scene, and the number of its record in that file."""
        return str(self._path(scene)), int(self._records[scene, 1])

    def _usual_scene(self, scene: int) -> _Scene:
        found = self._scene(scene)
        if len(found.frames) != self.num_views:
            raise DataError(f"{found.origin}: has {len(found.frames)} frames, the other scenes have {self.num_views}")
        return found

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads some views of some scenes; see :meth:`zoo.data.source.SceneSource.read`.

        Raises:
            DataError: if an index is out of range or a record is damaged; the message names the file and the record.
        """
        scenes, views = check_indices(self, scenes, views, origin=f"{self._folder}")
        frames = np.empty((*views.shape, self.image_size, self.image_size, 3), dtype=np.uint8)
        cameras = np.empty((*views.shape, CAMERA_WIDTH), dtype=np.float32)
        for i, scene in enumerate(scenes.tolist()):
            found = self._usual_scene(scene)
            cameras[i] = found.cameras[views[i]]
            for j, view in enumerate(views[i].tolist()):
                frames[i, j] = found.image(view, image_size=self.image_size)
        return frames, cameras

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Returns nothing: the records hold images and cameras only."""
        return {}

    def read_cameras(self, scenes: np.ndarray) -> np.ndarray:
        """Reads all cameras of some scenes [B] without decoding their images, [B, V, 5] float32.

        Raises:
            DataError: as :meth:`read`.
        """
        scenes, _ = check_indices(self, scenes, None, origin=f"{self._folder}")
        cameras = np.empty((len(scenes), self.num_views, CAMERA_WIDTH), dtype=np.float32)
        for i, scene in enumerate(scenes.tolist()):
            cameras[i] = self._usual_scene(scene).cameras
        return cameras
