"""Scenes on disk as memory-mapped arrays; :mod:`zoo.data.store_format` describes the files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.source import SPLITS, ExtraShape, Split
from zoo.data.store_format import HEADER_SIZE, check_file, extra_name, layout_of, read_meta, shard_name
from zoo.data.store_writer import StoreWriter
from zoo.errors import DataError
from zoo.files import sha256_of

__all__ = ["SceneStore", "StoreWriter", "describe", "verify"]


class SceneStore:
    """One split of a scene store: a :class:`zoo.data.source.SceneSource` over memory-mapped files.

    Files are mapped when they are first read, and an unpickled copy (a worker of a data loader) maps its own.

    Args:
        folder: the store.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: if the store is not valid, has no such split, or a file is missing or truncated.
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
        self.extras: Mapping[str, ExtraShape] = {name: extra.shape_of() for name, extra in meta.extras.items()}
        self._scenes_per_shard = meta.splits[split].scenes_per_shard
        self._folder = Path(folder)
        self._layout = layout_of(meta, split)
        self._maps: dict[str, np.ndarray] = {}
        self._shards: dict[int, np.ndarray] = {}  # the images among the maps: looked up for every scene read
        for name, (dtype, shape) in self._layout.items():
            check_file(self._folder / name, dtype, shape)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_shards": {}}

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

    def _check_range(self, label: str, indices: np.ndarray, limit: int) -> None:
        wrong = indices[(indices < 0) | (indices >= limit)]
        if wrong.size:
            raise DataError(f"{self._folder}: {self.split}: {label} {wrong[0]} is not one of the {limit} there are")

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads some views of some scenes; see :meth:`zoo.data.source.SceneSource.read`.

        Args:
            scenes: [B] integers.
            views: [B, N] integers.

        Returns:
            frames [B, N, H, W, 3] uint8 and cameras [B, N, 5] float32, copies both.

        Raises:
            DataError: if an index is out of range or a file cannot be mapped.
        """
        scenes, views = np.asarray(scenes), np.asarray(views)
        assert scenes.ndim == 1 and views.ndim == 2 and len(scenes) == len(views), "scenes [B], views [B, N]"
        self._check_range("scene", scenes, self.num_scenes)
        self._check_range("view", views, self.num_views)
        frames = np.empty((*views.shape, self.image_size, self.image_size, 3), dtype=np.uint8)
        per_shard = self._scenes_per_shard
        for i, scene in enumerate(scenes.tolist()):
            # One copy, straight into place; "clip" spares NumPy a buffer, the indices are checked above.
            self._shard(scene // per_shard)[scene % per_shard].take(views[i], axis=0, out=frames[i], mode="clip")
        cameras = self._map(f"{self.split}/cameras.npy")[scenes[:, None], views]
        return frames, cameras.astype(np.float32, copy=False)

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Reads what else is known of some scenes; see :meth:`zoo.data.source.SceneSource.read_extras`.

        Args:
            scenes: [B] integers.
            views: [B, N] integers.

        Raises:
            DataError: if an index is out of range or a file cannot be mapped.
        """
        scenes, views = np.asarray(scenes), np.asarray(views)
        self._check_range("scene", scenes, self.num_scenes)
        self._check_range("view", views, self.num_views)
        index = {True: (scenes[:, None], views), False: (scenes,)}
        return {
            name: self._map(extra_name(self.split, name))[index[extra.per_view]] for name, extra in self.extras.items()
        }

    def read_cameras(self, scenes: np.ndarray) -> np.ndarray:
        """Reads all cameras of some scenes, without their images.

        Args:
            scenes: [B] integers.

        Returns:
            [B, V, 5] float32.

        Raises:
            DataError: if an index is out of range or the file cannot be mapped.
        """
        scenes = np.asarray(scenes)
        self._check_range("scene", scenes, self.num_scenes)
        return self._map(f"{self.split}/cameras.npy")[scenes].astype(np.float32, copy=False)


def verify(folder: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> int:
    """Compares the SHA-256 of every file of a store with ``meta.json``.

    Args:
        folder: the store.
        progress: called with the files done and the files in all, after each.

    Returns:
        The number of files, all of them sound.

    Raises:
        DataError: naming the first file that is missing, truncated or damaged.
    """
    meta = read_meta(folder)
    files = [(split, name) for split in sorted(meta.splits) for name in layout_of(meta, split)]
    for done, (split, name) in enumerate(files, start=1):
        path = Path(folder) / name
        check_file(path, *layout_of(meta, split)[name])
        found, expected = sha256_of(path), meta.splits[split].files[name]
        if found != expected:
            raise DataError(f"{path}: SHA-256 is {found}, expected {expected}; the file is damaged")
        if progress is not None:
            progress(done, len(files))
    return len(files)


def describe(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what a store says of itself: name, sizes, provenance, revision, and scenes, shards and bytes a split."""
    meta = read_meta(folder)
    splits: dict[str, dict[str, int]] = {}
    for split in (known for known in SPLITS if known in meta.splits):
        layout = layout_of(meta, split)
        for name, (dtype, shape) in layout.items():
            check_file(Path(folder) / name, dtype, shape)
        size = sum((Path(folder) / name).stat().st_size for name in layout)
        splits[split] = {"num_scenes": meta.splits[split].num_scenes, "num_files": len(layout), "bytes": size}
    return {
        "kind": "store",
        "name": meta.name,
        "image_size": meta.image_size,
        "num_views": meta.num_views,
        "revision": meta.revision,
        "provenance": meta.provenance,
        "splits": splits,
        "bytes": sum(facts["bytes"] for facts in splits.values()),
    }
