"""Converting scenes between a store and TFRecords, streamed and in order; writing the TFRecords, which other projects read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from zoo.data.deepmind import DeepMindScenes
from zoo.data.images import encode_jpeg, resize_images
from zoo.data.opening import FolderKind, Source, kind_of, open_splits
from zoo.data.scene_writer import SceneArrays, SceneWriter, SplitWriter
from zoo.data.source import Split, bytes_per_scene
from zoo.data.store import SceneStore
from zoo.data.store_writer import StoreWriter, store_name
from zoo.data.tfrecord import BadRecord, OnBadRecord, RecordWriter, serialise_example
from zoo.errors import DataError, did_you_mean
from zoo.files import check_free_space

JPEG_QUALITY = 95  # of 1 to 100
_JPEG_SHARE = 0.1  # of the bytes of raw images, the least to expect
_BATCH_BYTES = 1 << 26  # of images held in memory at a time


class _RecordFiles:
    """Writes the files of one split; they are renamed at the end, when their number is known."""

    def __init__(self, folder: Path, *, records_per_file: int) -> None:
        self._folder, self._records_per_file = folder, records_per_file
        self._files: list[RecordWriter] = []
        folder.mkdir()

    def append(self, scenes: SceneArrays) -> None:
        for images, cameras in zip(scenes.frames, scenes.cameras, strict=True):
            if not self._files or self._files[-1].num_records == self._records_per_file:
                if self._files:
                    self._files[-1].close()
                self._files.append(RecordWriter(self._folder / f"part-{len(self._files)}"))
            encoded = [encode_jpeg(image, quality=JPEG_QUALITY) for image in images]
            self._files[-1].write(serialise_example({"frames": encoded, "cameras": cameras}))

    def complete(self) -> None:
        total = str(len(self._files))
        for number, file in enumerate(self._files, start=1):
            file.close()
            # As published, such as 007-of-120.tfrecord.
            file.path.rename(self._folder / f"{number:0{len(total)}d}-of-{total}.tfrecord")

    def close(self) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()


class DeepMindWriter(SceneWriter):
    """Writes a set of TFRecord files; a context manager, see :class:`zoo.data.scene_writer.SceneWriter`.

    Scenes keep their order. Images are JPEG, so they change a little; cameras are exact. There are no extras.

    Raises:
        DataError: if the folder exists or an argument is not valid.
    """

    def __init__(self, folder: str | os.PathLike[str], *, records_per_file: int = 1000) -> None:
        super().__init__(folder, image_size=None, num_views=None, extras={})
        self._records_per_file = records_per_file
        if records_per_file < 1:
            raise DataError(f"records_per_file: {records_per_file} is not a positive number")

    def _open_split(self, folder: Path, split: Split) -> SplitWriter:
        return _RecordFiles(folder / split, records_per_file=self._records_per_file)


class ConversionReport(NamedTuple):
    """The numbers of scenes written and the records left out."""

    kind: FolderKind
    image_size: int
    num_views: int
    num_scenes: dict[Split, int]
    skipped: tuple[BadRecord, ...]


def _read(
    source: Source, scenes: np.ndarray, *, on_bad_record: OnBadRecord, skipped: list[BadRecord]
) -> list[SceneArrays]:
    """Reads whole scenes; under ``skip`` those that cannot be decoded are appended to ``skipped``."""
    views = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
    try:
        factors = source.read_factors(scenes) if isinstance(source, SceneStore) and source.has_factors else None
        return [SceneArrays(*source.read(scenes, views), source.read_extras(scenes, views), factors)]
    except DataError as error:
        if on_bad_record == "raise" or not isinstance(source, DeepMindScenes):
            raise
        if len(scenes) == 1:
            skipped.append(BadRecord(*source.place_of(int(scenes[0])), str(error)))
            return []
    # One by one, so that only the bad ones are lost.
    parts = np.split(scenes, len(scenes))
    return [good for part in parts for good in _read(source, part, on_bad_record=on_bad_record, skipped=skipped)]


def _writer(
    folder: str | os.PathLike[str], *, to: FolderKind, source: Source, image_size: int, provenance: dict[str, Any]
) -> SceneWriter:
    if to == "tfrecord":
        return DeepMindWriter(folder)
    return StoreWriter(
        folder,
        name=store_name(source.name),
        image_size=image_size,
        num_views=source.num_views,
        provenance=provenance,
        extras=source.extras,
    )


def convert(
    source_folder: str | os.PathLike[str],
    target_folder: str | os.PathLike[str],
    *,
    to: FolderKind,
    image_size: int | None = None,
    max_scenes: int | None = None,
    on_bad_record: OnBadRecord = "raise",
    progress: Callable[[int, int], None] | None = None,
) -> ConversionReport:
    """Writes all splits of a folder of scenes in the other format, or in the same with other sizes.

    The validation split that is cut out of a published train split becomes a split of its own. Images change a little
    in TFRecords, which hold JPEG; cameras do not change. A store keeps the factors of its scenes; TFRecords have no room
    for them.

    Args:
        source_folder: a store, or ``<root>/<set>`` with TFRecords.
        target_folder: to write; it must not exist.
        to: the format to write.
        image_size: height and width of the images written, in pixels; None keeps them. See
            :func:`zoo.data.images.resize_images`.
        max_scenes: of every split, the first ones; None takes all.
        on_bad_record: ``skip`` leaves damaged records out and lists them in the report.
        progress: called with the scenes read and the scenes in all.

    Raises:
        DataError: if the source cannot be read, the target exists, an argument is not valid or the format has no room
            for the scenes' extras; nothing is left then.
        DiskFullError: if the disk is full or read-only; nothing is left.
    """
    if to not in get_args(FolderKind):
        raise DataError(f"to: {to!r} is unknown{did_you_mean(to, get_args(FolderKind))}")
    if os.path.lexists(target_folder):
        raise DataError(f"{target_folder}: exists already; a scene set is never overwritten")
    for label, value in (("image_size", image_size), ("max_scenes", max_scenes)):
        if value is not None and value < 1:
            raise DataError(f"{label}: {value} is not a positive number")
    sources = open_splits(source_folder, on_bad_record=on_bad_record)
    first = next(iter(sources.values()))
    if first.extras and to == "tfrecord":
        raise DataError(
            f"{source_folder}: has {', '.join(sorted(first.extras))}, for which DeepMind's format has no room"
        )
    if image_size is not None and ("map" in first.extras or not first.image_size):
        raise DataError(f"image_size: the images of {source_folder} cannot be resized; make the data set at that size")
    size = image_size or first.image_size
    counts = {split: min(source.num_scenes, max_scenes or source.num_scenes) for split, source in sources.items()}
    # TFRecords hold JPEG, a few times smaller; how much depends on the images.
    share = 1.0 if to == "store" else _JPEG_SHARE
    num_bytes = sum(counts.values()) * bytes_per_scene(first.extras, image_size=size, num_views=first.num_views)
    check_free_space(target_folder, num_bytes=int(share * num_bytes))
    resampling = "none" if first.image_size == size else "area" if first.image_size % size == 0 else "lanczos"
    provenance = {
        "converted_from": {"kind": kind_of(source_folder), "name": first.name, "revision": first.revision},
        "image_size": {"source": first.image_size, "resampling": resampling},
        "max_scenes": max_scenes,
        "on_bad_record": on_bad_record,
    }
    skipped = [bad for source in sources.values() if isinstance(source, DeepMindScenes) for bad in source.skipped]
    written = dict.fromkeys(sources, 0)
    done, total = 0, sum(counts.values())
    with _writer(target_folder, to=to, source=first, image_size=size, provenance=provenance) as writer:
        for split, source in sources.items():
            batch = max(1, _BATCH_BYTES // max(1, source.num_views * source.image_size**2 * 3))
            for start in range(0, counts[split], batch):
                scenes = np.arange(start, min(start + batch, counts[split]))
                for part in _read(source, scenes, on_bad_record=on_bad_record, skipped=skipped):
                    factors = part.factors if to == "store" else None
                    writer.add(split, resize_images(part.frames, image_size=size), part.cameras, part.extras, factors)
                    written[split] += len(part.frames)
                done += len(scenes)
                if progress is not None:
                    progress(done, total)
    return ConversionReport(to, size, first.num_views, written, tuple(skipped))
