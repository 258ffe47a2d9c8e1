"""A report on a folder of scenes: sizes, ranges of the cameras, missing files and damage."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from zoo.data.camera import CAMERA_FIELDS
from zoo.data.deepmind import DeepMindScenes, FolderIndex, index_folder
from zoo.data.factor_lines import FactorLines, factor_file_name
from zoo.data.factors.parsing import parse_factors
from zoo.data.opening import Source, kind_of, open_splits
from zoo.data.source import SPLITS, Split
from zoo.data.store import check_file, layout_of, read_meta
from zoo.data.tfrecord import BadRecord, OnBadRecord
from zoo.errors import DataError
from zoo.files import reading, sha256_of

_FRAMING_BYTES = 16  # of a record beside its data
_SAMPLED_SCENES = 1000  # of a split of TFRecords, spread evenly
_TOTAL = re.compile(r"-of-(\d+)\.tfrecord$")


class PublishedSet(NamedTuple):
    """Published sizes of a set; reading does not use them."""

    image_size: int
    num_views: int
    num_train_files: int
    num_test_files: int


PUBLISHED = MappingProxyType(
    {
        "jaco": PublishedSet(64, 11, 3600, 400),
        "mazes": PublishedSet(84, 300, 1080, 120),
        "rooms_free_camera_with_object_rotations": PublishedSet(128, 10, 2034, 226),
        "rooms_ring_camera": PublishedSet(64, 10, 2160, 240),
        "rooms_free_camera_no_object_rotations": PublishedSet(64, 10, 2160, 240),
        "shepard_metzler_5_parts": PublishedSet(64, 15, 900, 100),
        "shepard_metzler_7_parts": PublishedSet(64, 15, 900, 100),
    }
)


def verify_store(folder: str | os.PathLike[str]) -> int:
    """Compares every file's SHA-256 with ``meta.json`` and reads all factors; returns the number of files.

    Raises:
        DataError: naming the first file that is damaged, and the scene and the field of factors that are not valid.
    """
    meta = read_meta(folder)
    layouts = {split: layout_of(meta, split) for split in sorted(meta.splits)}
    for split, layout in layouts.items():
        for name, (dtype, shape) in layout.items():
            check_file(Path(folder) / name, dtype, shape)
            _check_digest(Path(folder) / name, expected=meta.splits[split].files[name])
    factors = meta.factors or {}
    for split in layouts if factors else ():
        path = Path(folder) / factor_file_name(split)
        _check_digest(path, expected=factors[factor_file_name(split)])
        lines = FactorLines(path, num_scenes=meta.splits[split].num_scenes)
        for scene, document in enumerate(lines.iterate(range(meta.splits[split].num_scenes))):
            parse_factors(document, origin=f"{path}: scene {scene}")
    return sum(map(len, layouts.values())) + len(factors)


def _check_digest(path: Path, *, expected: str) -> None:
    with reading(path, error=DataError):
        found = sha256_of(path)
    if found != expected:
        raise DataError(f"{path}: SHA-256 is {found}, expected {expected}; the file is damaged")


def _sampled_camera_range(source: DeepMindScenes) -> tuple[np.ndarray, int, list[BadRecord]]:
    """Returns the camera range [2, 5] of some scenes, their number, and the damaged records among them."""
    bad: list[BadRecord] = []
    cameras: list[np.ndarray] = []
    count = min(_SAMPLED_SCENES, source.num_scenes)
    for scene in np.unique(np.linspace(0, source.num_scenes - 1, num=count, dtype=np.int64)):
        try:
            cameras.append(source.read_cameras(np.array([scene]))[0])
        except DataError as error:
            bad.append(BadRecord(*source.place_of(int(scene)), str(error)))
    return np.stack([np.min(cameras, (0, 1)), np.max(cameras, (0, 1))]), len(cameras), bad


def _warnings(index: FolderIndex, sources: Mapping[Split, Source]) -> list[str]:
    """Returns a warning for every split whose files, views or pixels are not as file names say or as published."""
    published = PUBLISHED.get(index.name)
    missing: list[str] = []
    unlike: list[str] = []
    for split, facts in index.splits.items():
        totals = {int(match[1]) for name in facts.files if (match := _TOTAL.search(name))}
        if published and split != "validation":
            totals.add(published.num_train_files if split == "train" else published.num_test_files)
        here = len(facts.files)
        if facts.files[0].startswith(f"{split}/"):  # not a validation split that lies in the files of train
            missing.extend(f"{split}: {here} of {total} files are present" for total in sorted(totals - {here}))
        source = sources[split]
        if published and source.image_size != published.image_size:
            unlike.append(f"{split}: images have {source.image_size} pixels, published were {published.image_size}")
        if published and source.num_views != published.num_views:
            unlike.append(f"{split}: scenes have {source.num_views} views, published were {published.num_views}")
    return missing + unlike


def inspect_scenes(folder: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
    """Returns a report on a folder of scenes.

    Args:
        folder: a store, or ``<root>/<set>`` with TFRecords.
        verify: reads everything: the SHA-256 of every file of a store, every record of a set of TFRecords.

    Returns:
        - ``kind``, ``name``, ``image_size`` (pixels), ``num_views``, ``revision``, ``provenance``, ``bytes``, ``verified``
        - ``extras``: name -> ``dtype``, ``shape`` and ``per_view``
        - ``factors``: whether every scene has a factor document
        - ``splits``: split -> ``num_scenes``, ``num_files``, ``bytes``, ``cameras`` (coordinate -> smallest and largest
          value, in scene units and radians) and ``cameras_from_scenes``, the number of scenes that these come from
        - ``warnings``: sentences
        - ``skipped``: damaged records with file, number and reason; without ``verify`` only those among the scenes read

    Raises:
        DataError: if the folder holds no scenes or its first scenes cannot be read; if a store is damaged (a damaged
            record is listed under ``skipped`` instead).
    """
    skipped: list[BadRecord] = []
    warnings: list[str] = []
    sources: dict[Split, Source]
    sizes: dict[Split, tuple[int, int]] = {}  # number of files, bytes
    kind = kind_of(folder)
    if kind == "store":
        meta = read_meta(folder)
        if verify:
            verify_store(folder)
        sources, provenance, has_factors = open_splits(folder), meta.provenance, meta.factors is not None
        for split in sources:
            names = [*layout_of(meta, split), *([factor_file_name(split)] if has_factors else [])]
            paths = [Path(folder) / name for name in names]
            if missing := [path for path in paths if not path.is_file()]:
                raise DataError(f"{missing[0]}: is missing")
            sizes[split] = (len(paths), sum(path.stat().st_size for path in paths))
    else:
        index = index_folder(folder, on_bad_record="skip")
        mode: OnBadRecord = "skip" if verify else "raise"
        sources = {split: DeepMindScenes(folder, split, on_bad_record=mode, index=index) for split in index.splits}
        for split, facts in index.splits.items():
            sizes[split] = (len(facts.files), int((facts.records[:, 3] + _FRAMING_BYTES).sum()))
        has_factors = False
        provenance = {"folder": Path(folder).absolute().name}
        warnings = _warnings(index, sources)
    splits: dict[str, dict[str, Any]] = {}
    for split in (known for known in SPLITS if known in sources):
        source = sources[split]
        if isinstance(source, DeepMindScenes):
            camera_range, count, bad = _sampled_camera_range(source)
            skipped += [*source.skipped, *bad]
        else:
            camera_range, count = source.camera_range, source.num_scenes
        num_files, num_bytes = sizes[split]
        splits[split] = {
            "num_scenes": source.num_scenes,
            "num_files": num_files,
            "bytes": num_bytes,
            "cameras": dict(zip(CAMERA_FIELDS, camera_range.T.tolist(), strict=True)),
            "cameras_from_scenes": count,
        }
    first = next(iter(sources.values()))
    return {
        "kind": kind,
        "name": first.name,
        "image_size": first.image_size,
        "num_views": first.num_views,
        "revision": first.revision,
        "provenance": provenance,
        "splits": splits,
        "bytes": sum(facts["bytes"] for facts in splits.values()),
        "extras": {name: extra._asdict() for name, extra in first.extras.items()},
        "factors": has_factors,
        "verified": verify,
        "warnings": warnings,
        "skipped": [bad._asdict() for bad in skipped],
    }
