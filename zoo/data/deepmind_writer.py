"""Writing scenes in the format of DeepMind's ``gqn-datasets``, which other projects read."""

import contextlib
import os
from pathlib import Path

from zoo.data.images import encode_jpeg
from zoo.data.scene_writer import SceneArrays, SceneWriter, SplitWriter
from zoo.data.source import Split
from zoo.data.tfrecord import RecordWriter, serialise_example
from zoo.errors import DataError

JPEG_QUALITY = 95


class _SplitWriter:
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
        return _SplitWriter(folder / split, records_per_file=self._records_per_file)
