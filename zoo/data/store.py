"""Scenes on disk as memory-mapped arrays; :mod:`zoo.data.store_format` describes the files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.source import ExtraShape, Split, check_indices, check_numbers
from zoo.data.store_format import HEADER_SIZE, check_file, file_name, layout_of, read_meta, shard_name
from zoo.errors import DataError

_BLOCK_BYTES = 1 << 24  # read at a time when values are checked
_LARGEST_CHECKED = 1 << 30  # bytes of an extra; reading a larger one would make opening slow


class SceneStore:
    """One split of a scene store: a :class:`zoo.data.source.SceneSource` over memory-mapped files.

    Opening reads all cameras and float32 extras once and checks that they are finite and within bounds. Files are mapped
    when they are first read; an unpickled copy (a worker of a data loader) maps its own and checks nothing again.

    Raises:
        DataError: if the store is not valid, has no such split, a file is missing or truncated, or a camera or value is
            not finite.
    """

    def __init__(self, folder: str | os.PathLike[str], split: Split) -> None:
        meta = read_meta(folder)
        if split not in meta.splits:
            raise DataError(f"{folder}: has no split {split!r}; there are {', '.join(sorted(meta.splits))}")
        self.name: str = meta.name
        self.split: Split = split
        self.revision: str = meta.revision
        self.num_scenes: int = meta.splits[split].num_scenes
        self.num_views: int = meta.num_views
        self.image_size: int = meta.image_size
        self.extras: Mapping[str, ExtraShape] = meta.extra_shapes
        self._scenes_per_shard = meta.splits[split].scenes_per_shard
        self._folder = Path(folder)
        self._layout = layout_of(meta, split)
        self._maps: dict[str, np.ndarray] = {}
        self._shards: dict[int, np.ndarray] = {}  # the shards of images among the maps
        for name, (dtype, shape) in self._layout.items():
            check_file(self._folder / name, dtype, shape)
        self.camera_range = self._check_contents()  # [2, 5]: smallest and largest value of every coordinate

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_shards": {}}

    def _blocks(self, name: str) -> Iterator[np.ndarray]:
        """Yields the rows of a file, some megabytes at a time; in this way a map of it stays out of memory."""
        rows = self._map(name)
        step = max(1, _BLOCK_BYTES // max(1, rows[:1].nbytes))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]

    def _check_contents(self) -> np.ndarray:
        ranges: list[np.ndarray] = []
        cameras = file_name(self.split, "cameras")
        for block in self._blocks(cameras):
            check_numbers(block, kind="cameras", origin=f"{self._folder / cameras}")
            ranges.append(np.stack([block.min((0, 1)), block.max((0, 1))]))
        for name, extra in self.extras.items():
            file = file_name(self.split, f"extra-{name}")
            if extra.dtype == "float32" and (self._folder / file).stat().st_size <= _LARGEST_CHECKED:
                for block in self._blocks(file):
                    check_numbers(block, kind="values", origin=f"{self._folder / file}")
        return np.stack([np.min(ranges, axis=(0, 1)), np.max(ranges, axis=(0, 1))]).astype(np.float64)

    def _map(self, name: str) -> np.ndarray:
        if name not in self._maps:
            dtype, shape = self._layout[name]
            path = self._folder / name
            if 0 in shape:  # nothing to map: data without images
                self._maps[name] = np.empty(shape, dtype=dtype)
                return self._maps[name]
            try:
                mapped = np.memmap(path, dtype=dtype, mode="r", offset=HEADER_SIZE, shape=shape)
            except (OSError, ValueError) as error:
                raise DataError(f"{path}: cannot be mapped: {error}") from error
            # A plain array over the same pages: indexing it costs a third of what indexing a np.memmap does.
            self._maps[name] = mapped.view(np.ndarray)
        return self._maps[name]

    def _shard(self, number: int) -> np.ndarray:
        if number not in self._shards:
            self._shards[number] = self._map(shard_name(self.split, number))
        return self._shards[number]

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`zoo.data.source.SceneSource.read`; returns copies.

        Raises:
            DataError: if an index is out of range or a file cannot be mapped.
        """
        scenes, views = check_indices(self, scenes, views, origin=f"{self._folder}")
        frames = np.empty((*views.shape, self.image_size, self.image_size, 3), dtype=np.uint8)
        per_shard = self._scenes_per_shard
        for i, scene in enumerate(scenes.tolist()):
            # One copy, straight into place; "clip" spares NumPy a buffer, the indices are checked above.
            self._shard(scene // per_shard)[scene % per_shard].take(views[i], axis=0, out=frames[i], mode="clip")
        cameras = self._map(file_name(self.split, "cameras"))[scenes[:, None], views]
        return frames, cameras.astype(np.float32, copy=False)

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """See :meth:`zoo.data.source.SceneSource.read_extras`; raises as :meth:`read`."""
        scenes, views = check_indices(self, scenes, views, origin=f"{self._folder}")
        index = {True: (scenes[:, None], views), False: (scenes,)}
        return {
            name: self._map(file_name(self.split, f"extra-{name}"))[index[extra.per_view]]
            for name, extra in self.extras.items()
        }

    def read_cameras(self, scenes: np.ndarray) -> np.ndarray:
        """Reads all cameras of some scenes [B] without their images, [B, V, 5] float32; raises as :meth:`read`."""
        scenes, _ = check_indices(self, scenes, None, origin=f"{self._folder}")
        return self._map(file_name(self.split, "cameras"))[scenes].astype(np.float32, copy=False)
