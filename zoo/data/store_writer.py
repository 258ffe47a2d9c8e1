"""Writing a scene store: scenes are streamed into shards, so that a split never has to fit into memory."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from pydantic import ValidationError

from zoo.data.scene_arrays import check_extras, checked_scenes
from zoo.data.source import ExtraShape, Split
from zoo.data.store_format import (
    CAMERA_WIDTH,
    CAMERAS_TYPE,
    FRAMES_TYPE,
    META_NAME,
    ExtraMeta,
    SplitMeta,
    StoreMeta,
    extra_name,
    first_problem,
    header_of,
    revision_of,
    shard_name,
)
from zoo.errors import DataError
from zoo.files import sha256_of, writing_directory


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

    def close(self) -> str:
        """Completes the file and returns its SHA-256."""
        self._file.seek(0)
        self._file.write(header_of(self._dtype, (self.rows, *self._row)))
        self._file.close()
        return sha256_of(self._path)

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # a full disk is reported by the write that failed, not by closing
            self._file.close()


class _SplitWriter:
    """Streams the scenes of one split into its shards."""

    def __init__(
        self,
        folder: Path,
        split: Split,
        *,
        image_size: int,
        num_views: int,
        extras: Mapping[str, ExtraShape],
        scenes_per_shard: int,
    ) -> None:
        self._folder, self._split, self._scenes_per_shard = folder, split, scenes_per_shard
        self._row = (num_views, image_size, image_size, 3)
        self._hashes: dict[str, str] = {}
        self._shard: _ArrayFile | None = None
        camera_row = (num_views, CAMERA_WIDTH)
        self._cameras = _ArrayFile(folder / split / "cameras.npy", dtype=CAMERAS_TYPE, row=camera_row)
        self._extras = {
            name: _ArrayFile(
                folder / extra_name(split, name),
                dtype=np.dtype(extra.dtype).newbyteorder("<"),
                row=((num_views, *extra.shape) if extra.per_view else extra.shape),
            )
            for name, extra in extras.items()
        }

    def append(self, frames: np.ndarray, cameras: np.ndarray, extras: Mapping[str, np.ndarray]) -> None:
        for name, file in self._extras.items():
            file.append(extras[name])
        while len(frames):
            if self._shard is None:
                path = self._folder / shard_name(self._split, len(self._hashes))
                self._shard = _ArrayFile(path, dtype=FRAMES_TYPE, row=self._row)
            room = self._scenes_per_shard - self._shard.rows
            self._shard.append(frames[:room])
            self._cameras.append(cameras[:room])
            frames, cameras = frames[room:], cameras[room:]
            if self._shard.rows == self._scenes_per_shard:
                self._close_shard()

    def _close_shard(self) -> None:
        if self._shard is not None:
            # Hashed as soon as it is full, while the pages are still in memory.
            self._hashes[shard_name(self._split, len(self._hashes))] = self._shard.close()
            self._shard = None

    def finish(self) -> SplitMeta:
        self._close_shard()
        num_scenes = self._cameras.rows
        self._hashes[f"{self._split}/cameras.npy"] = self._cameras.close()
        for name, file in self._extras.items():
            self._hashes[extra_name(self._split, name)] = file.close()
        return SplitMeta(num_scenes=num_scenes, scenes_per_shard=self._scenes_per_shard, files=self._hashes)

    def abandon(self) -> None:
        files: Iterable[_ArrayFile | None] = (self._cameras, self._shard, *self._extras.values())
        for file in files:
            if file is not None:
                file.abandon()


class StoreWriter:
    """Writes a scene store, whole or not at all; use it as a context manager.

    Args:
        folder: where the store will be; it must not exist.
        name: of the data set: lower-case letters, digits, ``.``, ``_`` and ``-``.
        image_size: height and width of a image, in pixels.
        num_views: images of every scene.
        provenance: where the scenes come from (recipe, version and seed, or the set converted), as JSON values.
        extras: name -> what else every scene has.
        scenes_per_shard: scenes in a file of images.

    Raises:
        DataError: if the folder exists or an argument is not valid.
        DiskFullError: at the end of the block or from :meth:`add`, if the disk is full or read-only; nothing is left.
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
        self._folder = Path(folder)
        self._extras = dict(extras or {})
        self._scenes_per_shard = scenes_per_shard
        self._writers: dict[Split, _SplitWriter] = {}
        self._temporary: Path | None = None
        self._stack = contextlib.ExitStack()
        if os.path.lexists(self._folder):
            raise DataError(f"{self._folder}: exists already; a scene store is never overwritten")
        if scenes_per_shard < 1:
            raise DataError(f"scenes_per_shard: {scenes_per_shard} is not a positive number")
        try:
            self._meta = StoreMeta(
                schema_version=1,
                name=name,
                image_size=image_size,
                num_views=num_views,
                extras={
                    key: ExtraMeta(dtype=extra.dtype, shape=list(extra.shape), per_view=extra.per_view)  # type: ignore[arg-type]
                    for key, extra in self._extras.items()
                },
                provenance=json.loads(json.dumps(dict(provenance), allow_nan=False)),
                splits={},
                revision="",
            )
        except ValidationError as error:
            raise DataError(f"{self._folder}: {first_problem(error)}") from error
        except (TypeError, ValueError) as error:
            raise DataError(f"{self._folder}: provenance: cannot be written as JSON: {error}") from error

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(writing_directory(self._folder))
        self._stack.push(self._finish)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def add(
        self,
        split: Split,
        frames: np.ndarray,
        cameras: np.ndarray,
        extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Appends one scene or several to a split.

        Args:
            split: ``train``, ``validation`` or ``test``.
            frames: [V, H, W, 3] or [n, V, H, W, 3] uint8.
            cameras: [V, 5] or [n, V, 5] float32: x, y, z, yaw, pitch.
            extras: name -> array of every extra, with a leading axis of scenes where ``frames`` has one.

        Raises:
            DataError: if a shape or type is wrong or a camera is not finite; nothing of this call is then written.
        """
        assert self._temporary is not None, "add() is called inside the with block"
        size, views = self._meta.image_size, self._meta.num_views
        single = frames.ndim == 4
        frames, cameras = checked_scenes(split, frames=frames, cameras=cameras, num_views=views, image_size=size)
        arrays = {name: array[None] if single else array for name, array in (extras or {}).items()}
        check_extras(self._extras, arrays, num_scenes=len(frames), num_views=views)
        if not len(frames):
            return
        if split not in self._writers:
            self._writers[split] = _SplitWriter(
                self._temporary,
                split,
                image_size=size,
                num_views=views,
                extras=self._extras,
                scenes_per_shard=self._scenes_per_shard,
            )
        self._writers[split].append(frames, cameras, arrays)

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write_meta()
        finally:
            for writer in self._writers.values():
                writer.abandon()

    def _write_meta(self) -> None:
        assert self._temporary is not None
        if not self._writers:
            raise DataError(f"{self._folder}: is not written, because no scene was added")
        splits = {split: writer.finish() for split, writer in self._writers.items()}
        revision = revision_of(image_size=self._meta.image_size, num_views=self._meta.num_views, splits=splits)
        meta = self._meta.model_copy(update={"splits": splits, "revision": revision})
        text = json.dumps(meta.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
        (self._temporary / META_NAME).write_text(text, encoding="utf-8")
