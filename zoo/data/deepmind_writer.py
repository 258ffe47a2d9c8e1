"""Writing scenes in the format of DeepMind's ``gqn-datasets``, which other projects read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.images import encode_jpeg
from zoo.data.scene_writer import SceneWriter, prepare_scenes
from zoo.data.source import Split
from zoo.data.tf_example import serialise_example
from zoo.data.tfrecord import RecordWriter
from zoo.errors import DataError


def file_name(number: int, *, total: int) -> str:
    """Returns the published name of file ``number`` (from 1) of ``total``, such as ``007-of-120.tfrecord``."""
    width = len(str(total))
    return f"{number:0{width}d}-of-{total:0{width}d}.tfrecord"


class _SplitWriter:
    """Writes the files of one split; they are renamed at the end, when their number is known."""

    def __init__(self, folder: Path, *, records_per_file: int) -> None:
        self._folder, self._records_per_file = folder, records_per_file
        self._parts: list[Path] = []
        self._file: RecordWriter | None = None
        folder.mkdir()

    def write(self, data: bytes) -> None:
        if self._file is not None and self._file.num_records == self._records_per_file:
            self._file.close()
            self._file = None
        if self._file is None:
            self._parts.append(self._folder / f"part-{len(self._parts)}")
            self._file = RecordWriter(self._parts[-1])
        self._file.write(data)

    def complete(self) -> None:
        if self._file is not None:
            self._file.close()
        for number, part in enumerate(self._parts, start=1):
            part.rename(self._folder / file_name(number, total=len(self._parts)))

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk is reported by the write that failed, not by closing
                self._file.close()


class DeepMindWriter(SceneWriter):
    """Writes a set of TFRecord files, whole or not at all; a context manager.

    Scenes keep their order. Images are JPEG, so they change a little; cameras are exact.

    Args:
        folder: ``<root>/<set>``, where the set will be; it must not exist.
        records_per_file: scenes in a file.
        jpeg_quality: 1 to 100.

    Raises:
        DataError: if the folder exists or an argument is not valid.
        DiskFullError: at the end of the block or from :meth:`add`, if the disk is full or read-only; nothing is left.
    """

    def __init__(self, folder: str | os.PathLike[str], *, records_per_file: int = 1000, jpeg_quality: int = 95) -> None:
        super().__init__(folder)
        self._records_per_file, self._jpeg_quality = records_per_file, jpeg_quality
        self._shape: tuple[int | None, int | None] = (None, None)
        self._writers: dict[Split, _SplitWriter] = {}
        if records_per_file < 1:
            raise DataError(f"records_per_file: {records_per_file} is not a positive number")
        if not 1 <= jpeg_quality <= 100:
            raise DataError(f"jpeg_quality: {jpeg_quality} is not from 1 to 100")

    def add(
        self,
        split: Split,
        frames: np.ndarray | Sequence[Any],
        cameras: np.ndarray | Sequence[Any],
        extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Appends scenes without extras, all of one size; see :meth:`zoo.data.scene_writer.SceneWriter.add`."""
        folder, (views, size) = self._open_folder, self._shape
        scenes = prepare_scenes(
            split, frames=frames, cameras=cameras, extras=extras, num_views=views, image_size=size, extra_shapes={}
        )
        if not len(scenes.frames):
            return
        self._shape = scenes.frames.shape[1:3]
        if split not in self._writers:
            self._writers[split] = _SplitWriter(folder / split, records_per_file=self._records_per_file)
        for images, places in zip(scenes.frames, scenes.cameras, strict=True):
            encoded = [encode_jpeg(image, quality=self._jpeg_quality) for image in images]
            self._writers[split].write(serialise_example({"frames": encoded, "cameras": places}))

    def _complete(self) -> None:
        if not self._writers:
            raise DataError(f"{self._folder}: is not written, because no scene was added")
        for writer in self._writers.values():
            writer.complete()

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
