"""The scene store: memory-mapped arrays on disk, and ``meta.json``.

::

    <folder>/meta.json                    sizes, provenance, revision, and the SHA-256 of every file
    <folder>/<split>/frames-00000.npy     uint8 [n, V, H, W, 3]; n is scenes_per_shard, the last shard may be shorter
    <folder>/<split>/cameras.npy          float32 [num_scenes, V, 5]: x, y, z, yaw, pitch (radians)
    <folder>/<split>/extra-<name>.npy     [num_scenes, V, ...] of views or [num_scenes, ...] of scenes
    <folder>/<split>/factors.jsonl        the factors of built-in scenes, one JSON document per line

Memory-mapped NPY shards were the fastest of the formats tried for reading some views of random scenes, and NumPy reads
them. A store is written once, under a temporary name, and never changed. The factors say in words what the images show;
the revision depends on the arrays alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, JsonValue, StringConstraints, ValidationError

from zoo.config.settings import first_problem
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.factor_lines import FactorLines, factor_file_name
from zoo.data.source import SPLITS, ExtraShape, Split, check_indices, check_numbers
from zoo.errors import DataError
from zoo.files import reading
from zoo.provenance import Record

META_NAME = "meta.json"

Layout = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]
FRAMES_TYPE = np.dtype("|u1")
HEADER_SIZE = 128  # a multiple of 64, so that the mapped data is aligned; room for any shape that meta.json allows
_BLOCK_BYTES = 1 << 24  # read at a time when values are checked
_LARGEST_CHECKED = 1 << 30  # bytes of an extra; reading a larger one would make opening slow


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SplitMeta(Record):
    """One split; ``files`` maps names relative to the store to SHA-256 digits."""

    num_scenes: Annotated[int, Field(ge=1, le=2**40)]
    scenes_per_shard: Annotated[int, Field(ge=1, le=2**40)]
    files: dict[str, Digest]


class ExtraMeta(Record):
    """An extra; the fields are those of :class:`zoo.data.source.ExtraShape`."""

    dtype: Literal["uint8", "int64", "float32"]
    # With more axes the shape of a file might not fit into its header.
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=2**24)], ...], Field(max_length=3)]
    per_view: bool


class StoreMeta(Record):
    """The contents of ``meta.json``."""

    schema_version: Literal[1]
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]+$")]
    image_size: Annotated[int, Field(ge=0, le=2**16)]
    num_views: Annotated[int, Field(ge=1, le=2**20)]
    extras: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")], ExtraMeta] = Field(default={})
    provenance: dict[str, JsonValue]
    splits: dict[Split, SplitMeta]
    factors: dict[str, Digest] | None = None  # file of every split -> SHA-256; None: the scenes have none
    revision: str

    @property
    def extra_shapes(self) -> dict[str, ExtraShape]:
        """Types and shapes of the extras."""
        return {name: ExtraShape(**extra.model_dump()) for name, extra in self.extras.items()}

    def contents_revision(self) -> str:
        """Returns 16 hexadecimal digits that depend on images, cameras, extras and their shapes, and on nothing else."""
        facts: list[Any] = [self.image_size, self.num_views]
        for split, meta in sorted(self.splits.items()):
            facts.append([split, meta.num_scenes, meta.scenes_per_shard, sorted(meta.files.items())])
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def header_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Returns an NPY 1.0 header of constant size, so that the number of scenes can be filled in after the data."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape!r}, }}"
    body = text.encode("ascii").ljust(HEADER_SIZE - 11) + b"\n"
    assert len(body) == HEADER_SIZE - 10, "the shape does not fit into the header"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def file_name(split: str, array: str) -> str:
    """Returns the name of the file of an array, such as ``cameras``, relative to the store."""
    return f"{split}/{array}.npy"


def shard_name(split: str, shard: int) -> str:
    """Returns the name of a file of images, relative to the store."""
    return file_name(split, f"frames-{shard:05d}")


def layout_of(meta: StoreMeta, split: Split) -> Layout:
    """Returns relative file name -> type and shape of every file of a split: images, cameras, extras."""
    facts = meta.splits[split]
    layout: Layout = {}
    for shard, first in enumerate(range(0, facts.num_scenes, facts.scenes_per_shard)):
        count = min(facts.scenes_per_shard, facts.num_scenes - first)
        shape = (count, meta.num_views, meta.image_size, meta.image_size, 3)
        layout[shard_name(split, shard)] = (FRAMES_TYPE, shape)
    for name, (dtype, row) in row_layout(meta, split).items():
        layout[name] = (dtype, (facts.num_scenes, *row))
    return layout


def row_layout(meta: StoreMeta, split: Split) -> Layout:
    """Returns relative file name -> type and shape of a row, of the files with one row per scene: cameras and extras."""
    rows: Layout = {file_name(split, "cameras"): (np.dtype("<f4"), (meta.num_views, CAMERA_WIDTH))}
    for name, extra in meta.extras.items():
        views = (meta.num_views,) if extra.per_view else ()
        rows[file_name(split, f"extra-{name}")] = (np.dtype(extra.dtype).newbyteorder("<"), (*views, *extra.shape))
    return rows


def read_meta(folder: str | os.PathLike[str]) -> StoreMeta:
    """Reads ``meta.json`` and checks schema, revision and names of files; raises DataError if it is missing or wrong."""
    path = Path(folder) / META_NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{folder}: is not a scene store: {META_NAME} cannot be read ({error.strerror})") from error
    try:
        meta = StoreMeta.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}") from error
    if not meta.splits:
        raise DataError(f"{path}: splits: there is none")
    for split, facts in meta.splits.items():
        # Counted before the names are made, so that an absurd number of scenes makes no list of absurd length.
        expected = -(-facts.num_scenes // facts.scenes_per_shard) + 1 + len(meta.extras)
        if len(facts.files) != expected or set(facts.files) != set(layout_of(meta, split)):
            raise DataError(
                f"{path}: splits.{split}.files: are not the {expected} files that {facts.num_scenes} scenes in shards "
                f"of {facts.scenes_per_shard} need"
            )
    if meta.factors is not None and set(meta.factors) != set(map(factor_file_name, meta.splits)):
        raise DataError(f"{path}: factors: are not one file of every split")
    if meta.revision != meta.contents_revision():
        raise DataError(f"{path}: revision: is {meta.revision!r}, but the contents give {meta.contents_revision()!r}")
    return meta


def check_file(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Checks presence, size and header of a file without reading its data."""
    header = header_of(dtype, shape)
    expected = len(header) + dtype.itemsize * int(np.prod(shape, dtype=object))
    with reading(path, error=DataError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = file.read(len(header))
    if size != expected:
        raise DataError(f"{path}: has {size} bytes, expected {expected}; the file is damaged or incomplete")
    if found != header:
        raise DataError(f"{path}: its header does not say {dtype.name} {shape}, as {META_NAME} does")


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
        self._factors: FactorLines | None = None
        if meta.factors is not None:
            self._factors = FactorLines(self._folder / factor_file_name(split), num_scenes=self.num_scenes)
        self._layout = layout_of(meta, split)
        self._maps: dict[str, np.ndarray] = {}
        for name, (dtype, shape) in self._layout.items():
            check_file(self._folder / name, dtype, shape)
        self.camera_range = self._check_contents()  # [2, 5]: smallest and largest value of every coordinate

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

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
        if name in self._maps:
            return self._maps[name]
        dtype, shape = self._layout[name]
        if 0 in shape:  # nothing to map: data without images
            self._maps[name] = np.empty(shape, dtype=dtype)
            return self._maps[name]
        path = self._folder / name
        try:
            mapped = np.memmap(path, dtype=dtype, mode="r", offset=HEADER_SIZE, shape=shape)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be mapped: {error}") from error
        # A plain array over the same pages: indexing it costs a third of what indexing a np.memmap does.
        self._maps[name] = mapped.view(np.ndarray)
        return self._maps[name]

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`zoo.data.source.SceneSource.read`; returns copies.

        Raises:
            DataError: if an index is out of range or a file cannot be mapped.
        """
        scenes, views = check_indices(self, scenes, views, origin=f"{self._folder}")
        frames = np.empty((*views.shape, self.image_size, self.image_size, 3), dtype=np.uint8)
        for i, scene in enumerate(scenes.tolist()):
            shard, place = divmod(scene, self._scenes_per_shard)
            images = self._map(shard_name(self.split, shard))[place]
            # One copy, straight into place; "clip" spares NumPy a buffer, the indices are checked above.
            images.take(views[i], axis=0, out=frames[i], mode="clip")
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

    @property
    def has_factors(self) -> bool:
        """Whether the store holds the factors of its scenes."""
        return self._factors is not None

    def read_factors(self, scenes: np.ndarray) -> list[dict[str, Any]]:
        """Reads the factors of some scenes [B]: B documents of plain JSON values, see :mod:`zoo.data.factors`.

        Raises:
            DataError: if the store has none, with the command that makes them; if an index is out of range or the file
                is damaged.
        """
        scenes, _ = check_indices(self, scenes, None, origin=f"{self._folder}")
        if self._factors is None:
            raise _missing_factors(self._folder, read_meta(self._folder))
        return list(self._factors.iterate(scenes.tolist()))

    def read_cameras(self, scenes: np.ndarray) -> np.ndarray:
        """Reads all cameras of some scenes [B] without their images, [B, V, 5] float32; raises as :meth:`read`."""
        scenes, _ = check_indices(self, scenes, None, origin=f"{self._folder}")
        return self._map(file_name(self.split, "cameras"))[scenes].astype(np.float32, copy=False)


def _missing_factors(folder: Path, meta: StoreMeta) -> DataError:
    """Returns the error for a store without factors: why it has none, and the command that makes it with them."""
    recipe = meta.provenance.get("recipe")
    if not isinstance(recipe, str):
        return DataError(
            f"{folder}: has no scene factors: it was not rendered by a built-in data set; "
            "'gqn-zoo data make NAME -o FOLDER' writes scenes with factors"
        )
    if not meta.image_size:
        return DataError(f"{folder}: has no scene factors: functions and pixels ({recipe}) have none")
    words = ["gqn-zoo", "data", "make", recipe, "-o", "FOLDER"]
    for split in SPLITS:
        words += [f"--{split}", str(meta.splits[split].num_scenes if split in meta.splits else 1)]
    words += ["--image-size", str(meta.image_size), "--views", str(meta.num_views)]
    words += ["--seed", str(meta.provenance.get("seed", 0))]
    return DataError(
        f"{folder}: has no scene factors: it was made by an earlier version; '{shlex.join(words)}' makes the same scenes "
        "with factors"
    )
