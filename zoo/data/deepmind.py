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

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.images import decode_image
from zoo.data.source import SPLITS, ExtraShape, Split, check_indices, check_numbers
from zoo.data.tfrecord import BadRecord, OnBadRecord, index_records, parse_example, read_record
from zoo.errors import DataError

FILE_PATTERN = "*.tfrecord"
VALIDATION_EVERY = 20


class SplitIndex(NamedTuple):
    """The records of one split, in order of file name."""

    files: tuple[str, ...]  # relative to the folder
    records: np.ndarray  # [n, 4] int64: which of the files, number in that file, offset, length
    bad: tuple[BadRecord, ...]  # files whose rest is left out


class FolderIndex(NamedTuple):
    """The records of a whole set."""

    name: str
    revision: str
    splits: dict[Split, SplitIndex]


def split_folders(folder: str | os.PathLike[str]) -> dict[Split, list[Path]]:
    """Returns the sub-folders named after a split that hold TFRecord files, with those files in order of name."""
    found = {split: sorted((Path(folder) / split).glob(FILE_PATTERN)) for split in SPLITS}
    return {split: files for split, files in found.items() if files}


def index_folder(folder: str | os.PathLike[str], *, on_bad_record: OnBadRecord = "raise") -> FolderIndex:
    """Indexes every file of a set ``<root>/<set>`` and cuts the validation split out of train if the set has none.

    The revision is a digest over names and sizes of all files and, for every record, place, length and stored checksum
    of the data: it changes with the contents, and costs one pass over the headers.

    Raises:
        DataError: if there are no TFRecord files or, under ``raise``, one of them is truncated or empty; ``skip`` lists
            those instead.
    """
    folder = Path(folder)
    present = split_folders(folder)
    if not present:
        raise DataError(f"{folder}: has no train/{FILE_PATTERN} and no test/{FILE_PATTERN}")
    digest = hashlib.sha256()
    splits: dict[Split, SplitIndex] = {}
    for split, files in present.items():
        names = tuple(file.relative_to(folder).as_posix() for file in files)
        rows: list[np.ndarray] = []
        bad: list[BadRecord] = []
        for number, file in enumerate(files):
            index = index_records(file, on_bad_record=on_bad_record)
            problem = index.bad
            if problem is None and not len(index.offsets):
                # No shard was published empty, so this one is incomplete.
                problem = BadRecord(str(file), 0, f"{file}: has no records")
                if on_bad_record == "raise":
                    raise DataError(problem.reason)
            if problem is not None:
                bad.append(problem)
            count = np.arange(len(index.offsets))
            rows.append(np.stack([np.full_like(count, number), count, index.offsets, index.lengths], axis=1))
            table = hashlib.sha256()
            for column in (index.offsets.astype("<i8"), index.lengths.astype("<i8"), index.checksums.astype("<u4")):
                table.update(column.tobytes())
            digest.update(json.dumps([names[number], file.stat().st_size, table.hexdigest()]).encode())
        splits[split] = SplitIndex(names, np.concatenate(rows).astype(np.int64), tuple(bad))
    if "train" in splits and "validation" not in splits:
        train = splits["train"]
        held_out = np.arange(len(train.records)) % VALIDATION_EVERY == VALIDATION_EVERY - 1
        if held_out.any():
            splits["train"] = train._replace(records=train.records[~held_out])
            splits["validation"] = SplitIndex(train.files, train.records[held_out], ())
    return FolderIndex(folder.absolute().name, digest.hexdigest()[:16], splits)


class _Scene(NamedTuple):
    origin: str  # file and record, for the message of an error
    frames: Sequence[bytes]  # V encoded images
    cameras: np.ndarray  # [V, 5] float32

    def image(self, view: int, *, image_size: int | None = None) -> np.ndarray:
        """Returns the image of a view, [H, W, 3] uint8."""
        return decode_image(self.frames[view], origin=f"{self.origin}: frame {view}", image_size=image_size)


def _parse_record(data: bytes, *, origin: str) -> _Scene:
    """Returns the scene of a record, everything but its images checked."""
    features = parse_example(data, kinds={"frames": "bytes_list", "cameras": "float_list"}, origin=origin)
    frames, cameras = features["frames"], np.array(features["cameras"], dtype=np.float32)
    if not len(frames):
        raise DataError(f"{origin}: has no frames")
    if len(cameras) != CAMERA_WIDTH * len(frames):
        raise DataError(
            f"{origin}: {len(cameras)} camera numbers for {len(frames)} frames, expected {CAMERA_WIDTH} per frame"
        )
    cameras = cameras.reshape(-1, CAMERA_WIDTH)
    check_numbers(cameras, kind="cameras", origin=origin)
    return _Scene(origin, frames, cameras)


def first_image_size(file: Path) -> int:
    """Returns the height and width in pixels of the first image of a TFRecord file; raises DataError if it is damaged."""
    return len(_parse_record(read_record(file), origin=f"{file}: record 0").image(0))


class DeepMindScenes:
    """One split of a DeepMind set: a :class:`zoo.data.source.SceneSource` that decodes only the views asked for.

    ``folder`` is ``<root>/<set>``, whose name is that of the set, and ``index`` its index if it has been made already.

    Attributes:
        skipped: the records that were left out, with reasons; empty under ``on_bad_record="raise"``.

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
        """See :meth:`zoo.data.source.SceneSource.read`; raises DataError also if an index is out of range."""
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
        """Reads all cameras of some scenes [B] without decoding their images, [B, V, 5] float32; raises as :meth:`read`."""
        scenes, _ = check_indices(self, scenes, None, origin=f"{self._folder}")
        cameras = [self._usual_scene(scene).cameras for scene in scenes.tolist()]
        return np.array(cameras, dtype=np.float32).reshape(-1, self.num_views, CAMERA_WIDTH)
