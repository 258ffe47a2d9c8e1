"""Opening a folder of scenes in either format: a scene store or TFRecords."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from zoo.data.deepmind import FILE_PATTERN, DeepMindScenes, first_image_size, index_folder, split_folders
from zoo.data.source import SPLITS, DataRequirements, FolderShape, Split
from zoo.data.store import META_NAME, SceneStore, read_meta
from zoo.data.tfrecord import OnBadRecord
from zoo.errors import DataError

FolderKind = Literal["store", "tfrecord"]
Source = SceneStore | DeepMindScenes


def kind_of(folder: str | os.PathLike[str]) -> FolderKind:
    """Returns the format of a folder of scenes; raises DataError if it holds none."""
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: there is no such folder")
    if (Path(folder) / META_NAME).is_file():
        return "store"
    if split_folders(folder):
        return "tfrecord"
    places = ", ".join(f"{split}/{FILE_PATTERN}" for split in SPLITS)
    raise DataError(f"{folder}: holds no scenes: neither {META_NAME} (a scene store) nor any of {places} (TFRecords)")


def probe_shape(folder: str | os.PathLike[str]) -> FolderShape:
    """Returns the shape of a folder's scenes from ``meta.json`` or the first TFRecord, without indexing the folder."""
    if kind_of(folder) == "store":
        meta = read_meta(folder)
        return FolderShape(meta.image_size, meta.extra_shapes)
    return FolderShape(first_image_size(next(iter(split_folders(folder).values()))[0]), {})


def open_scenes(folder: str | os.PathLike[str], split: Split) -> Source:
    """Opens one split of a folder; raises DataError as :func:`open_splits`."""
    return open_splits(folder, only=(split,))[split]


def open_splits(
    folder: str | os.PathLike[str],
    *,
    only: Sequence[Split] | None = None,
    on_bad_record: OnBadRecord = "raise",
    requirements: DataRequirements | None = None,
) -> dict[Split, Source]:
    """Opens the splits of a scene store or of a set of TFRecords, which is indexed once.

    Args:
        folder: the store, or ``<root>/<set>``.
        only: the splits to open; None opens every split that the folder has.
        on_bad_record: see :mod:`zoo.data.deepmind`; a store has no records to skip.
        requirements: checked before TFRecords are indexed, which takes long.

    Raises:
        DataError: if the folder holds no scenes, lacks a split or is damaged.
        ConfigError: if the scenes do not meet the requirements.
    """
    is_store = kind_of(folder) == "store"
    # Under "skip" the first record may be an unusual one, so that the check comes after indexing only.
    if requirements is not None and (is_store or on_bad_record == "raise"):
        requirements.check(probe_shape(folder), folder=folder)
    index = None if is_store else index_folder(folder, on_bad_record=on_bad_record)
    present = read_meta(folder).splits if index is None else index.splits
    sources: dict[Split, Source] = {}
    for split in only or tuple(known for known in SPLITS if known in present):
        if index is None:
            sources[split] = SceneStore(folder, split)
        else:
            sources[split] = DeepMindScenes(folder, split, on_bad_record=on_bad_record, index=index)
        if requirements is not None:
            requirements.check(sources[split], folder=folder)
    return sources
