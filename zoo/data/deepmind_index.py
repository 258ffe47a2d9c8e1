"""The index of a DeepMind set: file, offset and length of every record, from the headers alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.source import SPLITS, Split
from zoo.data.tfrecord import BadRecord, OnBadRecord, RecordIndex, index_records
from zoo.errors import DataError

FILE_PATTERN = "*.tfrecord"
VALIDATION_EVERY = 20


class SplitIndex(NamedTuple):
    """The records of one split, in order of file name."""

    files: tuple[str, ...]  # relative to the folder
    records: np.ndarray  # [n, 4] int64: which of the files, number in that file, offset, length
    bad: tuple[BadRecord, ...]  # files whose rest is left out


class FolderIndex(NamedTuple):
    """The records of a whole set."""

    name: str
    revision: str
    splits: dict[Split, SplitIndex]


def split_folders(folder: str | os.PathLike[str]) -> dict[Split, list[Path]]:
    """Returns the sub-folders named after a split that hold TFRecord files, with those files in order of name."""
    found = {split: sorted((Path(folder) / split).glob(FILE_PATTERN)) for split in SPLITS}
    return {split: files for split, files in found.items() if files}


def _index_files(
    folder: Path, files: list[Path], *, on_bad_record: OnBadRecord
) -> tuple[SplitIndex, list[RecordIndex]]:
    indices: list[RecordIndex] = []
    bad: list[BadRecord] = []
    rows: list[np.ndarray] = []
    for number, file in enumerate(files):
        index = index_records(file, on_bad_record=on_bad_record)
        problem = index.bad
        if problem is None and not len(index.offsets):
            # No shard was published empty, so this one is incomplete.
            problem = BadRecord(str(file), 0, f"{file}: has no records")
            if on_bad_record == "raise":
                raise DataError(problem.reason)
        if problem is not None:
            bad.append(problem)
        count = np.arange(len(index.offsets))
        rows.append(np.stack([np.full_like(count, number), count, index.offsets, index.lengths], axis=1))
        indices.append(index)
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    return SplitIndex(names, np.concatenate(rows).astype(np.int64), tuple(bad)), indices


def index_folder(folder: str | os.PathLike[str], *, on_bad_record: OnBadRecord = "raise") -> FolderIndex:
    """Indexes every file of a set ``<root>/<set>`` and cuts the validation split out of train if the set has none.

    The revision is a digest over names and sizes of all files and, for every record, place, length and stored checksum
    of the data: it changes with the contents, and costs one pass over the headers.

    Raises:
        DataError: if there are no TFRecord files or, under ``raise``, one of them is truncated or empty; ``skip`` lists
            those instead.
    """
    folder = Path(folder)
    present = split_folders(folder)
    if not present:
        raise DataError(f"{folder}: has no train/{FILE_PATTERN} and no test/{FILE_PATTERN}")
    digest = hashlib.sha256()
    splits: dict[Split, SplitIndex] = {}
    for split, files in present.items():
        splits[split], indices = _index_files(folder, files, on_bad_record=on_bad_record)
        for name, file, index in zip(splits[split].files, files, indices, strict=True):
            table = hashlib.sha256()
            for column in (index.offsets.astype("<i8"), index.lengths.astype("<i8"), index.checksums.astype("<u4")):
                table.update(column.tobytes())
            digest.update(json.dumps([name, file.stat().st_size, table.hexdigest()]).encode())
    if "train" in splits and "validation" not in splits:
        train = splits["train"]
        held_out = np.arange(len(train.records)) % VALIDATION_EVERY == VALIDATION_EVERY - 1
        if held_out.any():
            splits["train"] = train._replace(records=train.records[~held_out])
            splits["validation"] = SplitIndex(train.files, train.records[held_out], ())
    return FolderIndex(folder.absolute().name, digest.hexdigest()[:16], splits)
