"""Opening a folder of scenes, whichever of the two formats it has, and telling what is in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from zoo.data.deepmind import PUBLISHED, DeepMindScenes, first_image_size
from zoo.data.deepmind_index import FILE_PATTERN, FolderIndex, index_folder, split_folders
from zoo.data.requirements import DataRequirements
from zoo.data.source import SPLITS, ExtraShape, Split
from zoo.data.store import SceneStore, describe
from zoo.data.store import verify as verify_store
from zoo.data.store_format import META_NAME, read_meta
from zoo.data.tfrecord import BadRecord, OnBadRecord
from zoo.errors import DataError

FolderKind = Literal["store", "tfrecord"]
Source = SceneStore | DeepMindScenes

_CAMERA_NAMES = ("x", "y", "z", "yaw", "pitch")
_FRAMING_BYTES = 16  # of a record beside its data
_SAMPLED_SCENES = 1000  # of a split of TFRecords, spread evenly
_BATCH = 4096  # scenes whose cameras are in memory at a time
_TOTAL = re.compile(r"-of-(\d+)\.tfrecord$")


def kind_of(folder: str | os.PathLike[str]) -> FolderKind:
    """Returns the format of a folder of scenes.

    Raises:
        DataError: if it is neither, saying what was looked for.
    """
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: there is no such folder")
    if (Path(folder) / META_NAME).is_file():
        return "store"
    if split_folders(folder):
        return "tfrecord"
    places = ", ".join(f"{split}/{FILE_PATTERN}" for split in SPLITS)
    raise DataError(f"{folder}: holds no scenes: neither {META_NAME} (a scene store) nor any of {places} (TFRecords)")


class FolderShape(NamedTuple):
    """Sizes and arrays of the scenes of a folder; a :class:`zoo.data.requirements.SceneShape`."""

    image_size: int
    extras: Mapping[str, ExtraShape]


def probe_shape(folder: str | os.PathLike[str]) -> FolderShape:
    """Returns the shape of a folder's scenes from ``meta.json`` or the first TFRecord, without indexing the folder.

    Raises:
        DataError: if the folder holds no scenes, or its first record is damaged.
    """
    if kind_of(folder) == "store":
        meta = read_meta(folder)
        return FolderShape(meta.image_size, {name: extra.shape_of() for name, extra in meta.extras.items()})
    return FolderShape(first_image_size(next(iter(split_folders(folder).values()))[0]), {})


def _check_requirements(
    folder: str | os.PathLike[str], requirements: DataRequirements | None, *, on_bad_record: OnBadRecord
) -> None:
    """Refuses a folder early. Under ``skip`` the first record may be a damaged or unusual one and decides nothing."""
    if requirements is not None and (on_bad_record == "raise" or kind_of(folder) == "store"):
        requirements.check(probe_shape(folder), folder=folder)


def open_scenes(
    folder: str | os.PathLike[str],
    split: Split,
    *,
    on_bad_record: OnBadRecord = "raise",
    requirements: DataRequirements | None = None,
) -> Source:
    """Opens one split of a scene store or of a set of TFRecords.

    Args:
        folder: the store, or ``<root>/<set>``.
        split: ``train``, ``validation`` or ``test``.
        on_bad_record: see :mod:`zoo.data.deepmind`; a store has no records to skip.
        requirements: what the scenes must have; checked before TFRecords are indexed, which takes long.

    Raises:
        DataError: if the folder holds no scenes, has no such split or is damaged.
        ConfigError: if the scenes do not have what is required.
    """
    _check_requirements(folder, requirements, on_bad_record=on_bad_record)
    if kind_of(folder) == "store":
        return SceneStore(folder, split)
    source = DeepMindScenes(folder, split, on_bad_record=on_bad_record)
    if requirements is not None:
        requirements.check(source, folder=folder)
    return source


def open_splits(
    folder: str | os.PathLike[str],
    *,
    on_bad_record: OnBadRecord = "raise",
    requirements: DataRequirements | None = None,
) -> dict[Split, Source]:
    """Opens every split that a folder has, indexing it once; otherwise as :func:`open_scenes`."""
    _check_requirements(folder, requirements, on_bad_record=on_bad_record)
    if kind_of(folder) == "store":
        present = read_meta(folder).splits
        return {split: SceneStore(folder, split) for split in SPLITS if split in present}
    index = index_folder(folder, on_bad_record=on_bad_record)
    sources: dict[Split, Source] = {
        split: DeepMindScenes(folder, split, on_bad_record=on_bad_record, index=index)
        for split in SPLITS
        if split in index.splits
    }
    if requirements is not None:
        for source in sources.values():
            requirements.check(source, folder=folder)
    return sources


def _camera_ranges(source: Source) -> tuple[dict[str, Any], list[BadRecord]]:
    """Returns the least and the largest value of every coordinate, and the records that could not be read for it."""
    bad: list[BadRecord] = []
    # Cameras of a store lie together in one file; those of TFRecords lie among the images, so only some are read.
    sample = _SAMPLED_SCENES if isinstance(source, DeepMindScenes) else source.num_scenes
    batch = 1 if isinstance(source, DeepMindScenes) else _BATCH
    chosen = np.unique(np.linspace(0, source.num_scenes - 1, num=min(sample, source.num_scenes), dtype=np.int64))
    least, largest, count = np.full(5, np.inf), np.full(5, -np.inf), 0
    for first in range(0, len(chosen), batch):
        scenes = chosen[first : first + batch]
        try:
            cameras = source.read_cameras(scenes)
        except DataError as error:
            if not isinstance(source, DeepMindScenes):
                raise
            bad.append(BadRecord(*source.place_of(int(scenes[0])), str(error)))
            continue
        least = np.minimum(least, cameras.min(axis=(0, 1)))
        largest = np.maximum(largest, cameras.max(axis=(0, 1)))
        count += len(scenes)
    bounds = zip(_CAMERA_NAMES, least.tolist(), largest.tolist(), strict=True)
    return {"cameras": {name: [low, high] for name, low, high in bounds}, "cameras_from_scenes": count}, bad


def _missing_files(index: FolderIndex) -> list[str]:
    """Says where there are fewer or more files than the names of the files, or the publication, promise."""
    published = PUBLISHED.get(index.name)
    promised = {"train": published.num_train_files, "test": published.num_test_files} if published else {}
    warnings: list[str] = []
    for split, facts in index.splits.items():
        if not facts.files[0].startswith(f"{split}/"):
            continue  # a validation split that lies in the files of train
        totals = {int(match[1]) for name in facts.files if (match := _TOTAL.search(name))}
        if split in promised:
            totals.add(promised[split])
        here = len(facts.files)
        warnings.extend(f"{split}: {here} of {total} files are here" for total in sorted(totals - {here}))
    return warnings


def _unlike_published(sources: Mapping[Split, Source]) -> list[str]:
    """Says where views or pixels are not as published."""
    warnings: list[str] = []
    for split, source in sources.items():
        published = PUBLISHED.get(source.name)
        if published is not None and source.image_size != published.image_size:
            warnings.append(f"{split}: images have {source.image_size} pixels, published were {published.image_size}")
        if published is not None and source.num_views != published.num_views:
            warnings.append(f"{split}: scenes have {source.num_views} views, published were {published.num_views}")
    return warnings


def _describe_tfrecords(folder: str | os.PathLike[str], index: FolderIndex, source: Source) -> dict[str, Any]:
    splits = {
        split: {
            "num_scenes": len(facts.records),
            "num_files": len(facts.files),
            "bytes": int(facts.records[:, 3].sum()) + _FRAMING_BYTES * len(facts.records),
        }
        for split, facts in index.splits.items()
    }
    return {
        "kind": "tfrecord",
        "name": index.name,
        "image_size": source.image_size,
        "num_views": source.num_views,
        "revision": index.revision,
        "provenance": {"folder": Path(folder).absolute().name},
        "splits": splits,
        "bytes": sum(facts["bytes"] for facts in splits.values()),
    }


def inspect_scenes(folder: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
    """Tells what is in a folder of scenes.

    Args:
        folder: a store, or ``<root>/<set>`` with TFRecords.
        verify: read everything: the SHA-256 of every file of a store, every record of a set.

    Returns:
        ``kind``, ``name``, ``image_size`` (pixels), ``num_views``, ``revision``, ``provenance``, ``bytes``,
        ``extras`` (name -> ``dtype``, ``shape`` and ``per_view``), ``verified``, ``warnings`` (sentences), ``skipped`` (damaged records with file, number and reason; without
        ``verify`` only those that were met), and ``splits``: of each ``num_scenes``, ``num_files``, ``bytes``,
        ``cameras`` (coordinate -> least and largest value; the unit of length of the set, and radians) and
        ``cameras_from_scenes``, the number of scenes those were taken from.

    Raises:
        DataError: if the folder holds no scenes or its first scenes cannot be read; with ``verify``, if a file of a
            store is damaged (a damaged record is listed under ``skipped`` instead).
    """
    skipped: list[BadRecord] = []
    warnings: list[str] = []
    sources: dict[Split, Source] = {}
    if kind_of(folder) == "store":
        facts = describe(folder)
        if verify:
            verify_store(folder)
        sources.update(open_splits(folder))
    else:
        index = index_folder(folder, on_bad_record="skip")
        for split in index.splits:
            mode: OnBadRecord = "skip" if verify else "raise"
            records = DeepMindScenes(folder, split, on_bad_record=mode, index=index)
            skipped.extend(records.skipped)
            sources[split] = records
        facts = _describe_tfrecords(folder, index, next(iter(sources.values())))
        warnings = _missing_files(index) + _unlike_published(sources)
    for split, source in sources.items():
        ranges, bad = _camera_ranges(source)
        skipped.extend(bad)
        facts["splits"][split].update(ranges, num_scenes=source.num_scenes)
    facts["splits"] = {split: facts["splits"][split] for split in SPLITS if split in facts["splits"]}
    extras = {name: extra._asdict() for source in sources.values() for name, extra in source.extras.items()}
    return {
        **facts,
        "extras": extras,
        "verified": verify,
        "warnings": warnings,
        "skipped": [bad._asdict() for bad in skipped],
    }
