"""Writing scenes in the format of DeepMind's ``gqn-datasets``, so that other projects can read them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from zoo.data.images import encode_jpeg
from zoo.data.scene_arrays import checked_scenes
from zoo.data.source import Split
from zoo.data.tf_example import serialise_example
from zoo.data.tfrecord import RecordWriter
from zoo.errors import DataError
from zoo.files import writing_directory


def file_name(number: int, *, total: int) -> str:
    """Returns the published name of file ``number`` (from 1) of ``total``, such as ``007-of-120.tfrecord``."""
    width = len(str(total))
    return f"{number:0{width}d}-of-{total:0{width}d}.tfrecord"


class _SplitWriter:
    """Writes the files of one split under passing names; how many there are is known at the end only."""

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

    def finish(self) -> None:
        if self._file is not None:
            self._file.close()
        for number, part in enumerate(self._parts, start=1):
            part.rename(self._folder / file_name(number, total=len(self._parts)))

    def abandon(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk is reported by the write that failed, not by closing
                self._file.close()


class DeepMindWriter:
    """Writes a set of TFRecord files, whole or not at all; use it as a context manager.

    Scenes keep their order; images are JPEG, so they come back nearly, not exactly, equal. Cameras are exact.

    Args:
        folder: ``<root>/<set>``, where the set will be; it must not exist.
        records_per_file: scenes in a file.
        jpeg_quality: 1 to 100.

    Raises:
        DataError: if the folder exists or an argument is not valid.
        DiskFullError: at the end of the block or from :meth:`add`, if the disk is full or read-only; nothing is left.
    """

    def __init__(self, folder: str | os.PathLike[str], *, records_per_file: int = 1000, jpeg_quality: int = 95) -> None:
        self._folder = Path(folder)
        self._records_per_file, self._jpeg_quality = records_per_file, jpeg_quality
        self._shape: tuple[int, int] | None = None
        self._writers: dict[Split, _SplitWriter] = {}
        self._temporary: Path | None = None
        self._stack = contextlib.ExitStack()
        if os.path.lexists(self._folder):
            raise DataError(f"{self._folder}: exists already; a scene set is never overwritten")
        if records_per_file < 1:
            raise DataError(f"records_per_file: {records_per_file} is not a positive number")
        if not 1 <= jpeg_quality <= 100:
            raise DataError(f"jpeg_quality: {jpeg_quality} is not from 1 to 100")

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(writing_directory(self._folder))
        self._stack.push(self._finish)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def add(self, split: Split, frames: np.ndarray, cameras: np.ndarray) -> None:
        """Appends one scene or several to a split.

        Args:
            split: ``train``, ``validation`` or ``test``.
            frames: [V, H, W, 3] or [n, V, H, W, 3] uint8; V and H = W as in the first call.
            cameras: [V, 5] or [n, V, 5] float32: x, y, z, yaw, pitch.

        Raises:
            DataError: if a shape or type is wrong or a camera is not finite; nothing of this call is then written.
        """
        assert self._temporary is not None, "add() is called inside the with block"
        views, size = self._shape or (frames.shape[-4:-2] if frames.ndim in (4, 5) else (0, 0))
        frames, cameras = checked_scenes(split, frames=frames, cameras=cameras, num_views=views, image_size=size)
        if not len(frames):
            return
        self._shape = (views, size)
        if split not in self._writers:
            self._writers[split] = _SplitWriter(self._temporary / split, records_per_file=self._records_per_file)
        for images, places in zip(frames, cameras, strict=True):
            encoded = [encode_jpeg(image, quality=self._jpeg_quality) for image in images]
            self._writers[split].write(serialise_example({"frames": encoded, "cameras": places}))

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if not self._writers:
                    raise DataError(f"{self._folder}: is not written, because no scene was added")
                for writer in self._writers.values():
                    writer.finish()
        finally:
            for writer in self._writers.values():
                writer.abandon()
