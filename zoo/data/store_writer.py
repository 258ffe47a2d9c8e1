"""Writing a scene store: scenes are streamed into shards, so that a split never has to fit into memory."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydantic import ValidationError

from zoo.config.settings import first_problem
from zoo.data.factor_lines import factor_file_name
from zoo.data.scene_writer import SceneArrays, SceneWriter, SplitWriter
from zoo.data.source import ExtraShape, Split
from zoo.data.store import FRAMES_TYPE, META_NAME, ExtraMeta, SplitMeta, StoreMeta, header_of, row_layout, shard_name
from zoo.errors import DataError
from zoo.files import sha256_of


def store_name(text: str) -> str:
    """Returns a valid name of a store for the name of a folder, which may have any characters."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower())


class _ArrayFile:
    """An NPY file to which rows are appended; its header is completed when it is closed."""

    def __init__(self, path: Path, *, dtype: np.dtype[Any], row: tuple[int, ...]) -> None:
        self.rows = 0
        self._path, self._dtype, self._row = path, dtype, row
        path.parent.mkdir(exist_ok=True)
        self._file = path.open("xb")
        self._file.write(header_of(dtype, (0, *row)))

    def append(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)
        self.rows += len(rows)

    def complete(self) -> str:
        """Completes the file and returns its SHA-256."""
        self._file.seek(0)
        self._file.write(header_of(self._dtype, (self.rows, *self._row)))
        self._file.close()
        return sha256_of(self._path)

    def close(self) -> None:
        self._file.close()


class _SplitWriter:
    """Streams the scenes of one split into its shards."""

    def __init__(self, folder: Path, split: Split, *, meta: StoreMeta, scenes_per_shard: int) -> None:
        self._folder, self._split, self._scenes_per_shard = folder, split, scenes_per_shard
        self._frame_row = (meta.num_views, meta.image_size, meta.image_size, 3)
        self._extras = tuple(meta.extras)
        self._hashes: dict[str, str] = {}
        self._shard: _ArrayFile | None = None
        layout = row_layout(meta, split)  # cameras, then extras
        self._files = {name: _ArrayFile(folder / name, dtype=dtype, row=row) for name, (dtype, row) in layout.items()}
        self._factors: BinaryIO | None = None
        self.num_scenes = 0

    def append(self, scenes: SceneArrays) -> None:
        rows = (scenes.cameras, *(scenes.extras[name] for name in self._extras))
        for file, array in zip(self._files.values(), rows, strict=True):
            file.append(array)
        if scenes.factors is not None:
            if self._factors is None:
                self._factors = (self._folder / factor_file_name(self._split)).open("xb")
            lines = (json.dumps(document, separators=(",", ":"), allow_nan=False) for document in scenes.factors)
            self._factors.writelines(line.encode() + b"\n" for line in lines)
        self.num_scenes += len(scenes.frames)
        frames = scenes.frames
        while len(frames):
            if self._shard is None:
                path = self._folder / shard_name(self._split, len(self._hashes))
                self._shard = _ArrayFile(path, dtype=FRAMES_TYPE, row=self._frame_row)
            room = self._scenes_per_shard - self._shard.rows
            self._shard.append(frames[:room])
            frames = frames[room:]
            if self._shard.rows == self._scenes_per_shard:
                self._complete_shard()

    def _complete_shard(self) -> None:
        if self._shard is not None:
            # Hashed as soon as it is full, while the pages are still in memory.
            self._hashes[shard_name(self._split, len(self._hashes))] = self._shard.complete()
            self._shard = None

    def complete(self) -> tuple[SplitMeta, str | None]:
        """Completes all files; returns what ``meta.json`` says of the split, and the SHA-256 of the file of factors."""
        self._complete_shard()
        hashes = {**self._hashes, **{name: file.complete() for name, file in self._files.items()}}
        meta = SplitMeta(num_scenes=self.num_scenes, scenes_per_shard=self._scenes_per_shard, files=hashes)
        if self._factors is None:
            return meta, None
        self._factors.close()
        return meta, sha256_of(self._folder / factor_file_name(self._split))

    def close(self) -> None:
        for file in (self._factors, self._shard, *self._files.values()):
            if file is not None:
                with contextlib.suppress(OSError):  # a full disk is reported by the write that failed, not by closing
                    file.close()


class StoreWriter(SceneWriter):
    """Writes a scene store, whole or not at all; a context manager, see :class:`zoo.data.scene_writer.SceneWriter`.

    Args:
        folder: of the store; it must not exist.
        name: of the data set: lower-case letters, digits, ``.``, ``_`` and ``-``.
        image_size: height and width of the images, pixels; 0 for data without images.
        num_views: images of every scene.
        provenance: where the scenes come from (recipe, version and seed, or the set converted), as JSON values.
        extras: name -> type and shape of another array that every scene has.
        scenes_per_shard: scenes in a file of images.

    Raises:
        DataError: if the folder exists or an argument is not valid.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str,
        image_size: int,
        num_views: int,
        provenance: Mapping[str, Any],
        extras: Mapping[str, ExtraShape] | None = None,
        scenes_per_shard: int = 1024,
    ) -> None:
        super().__init__(folder, image_size=image_size, num_views=num_views, extras=extras or {})
        self._scenes_per_shard = scenes_per_shard
        if scenes_per_shard < 1:
            raise DataError(f"scenes_per_shard: {scenes_per_shard} is not a positive number")
        try:
            self._meta = StoreMeta(
                schema_version=1,
                name=name,
                image_size=image_size,
                num_views=num_views,
                extras={key: ExtraMeta(**extra._asdict()) for key, extra in self._extras.items()},
                provenance=json.loads(json.dumps(dict(provenance), allow_nan=False)),
                splits={},
                revision="",
            )
        except ValidationError as error:
            raise DataError(f"{self._folder}: {first_problem(error)}") from error
        except (TypeError, ValueError) as error:
            raise DataError(f"{self._folder}: provenance: cannot be written as JSON: {error}") from error

    def _open_split(self, folder: Path, split: Split) -> SplitWriter:
        return _SplitWriter(folder, split, meta=self._meta, scenes_per_shard=self._scenes_per_shard)

    def _complete(self, folder: Path) -> None:
        complete = {split: writer.complete() for split, writer in self._writers.items()}
        splits = {split: meta for split, (meta, _) in complete.items()}
        factors = {factor_file_name(split): digest for split, (_, digest) in complete.items() if digest} or None
        meta = self._meta.model_copy(update={"splits": splits, "factors": factors})
        meta = meta.model_copy(update={"revision": meta.contents_revision()})
        # Without factors the file is what earlier versions wrote.
        left_out = {"factors"} if factors is None else set()
        text = json.dumps(meta.model_dump(mode="json", exclude=left_out), indent=2, sort_keys=True) + "\n"
        (folder / META_NAME).write_text(text, encoding="utf-8")
