"""Reading factor documents: one from plain values, several from a file of JSON, JSON lines or YAML."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from zoo.config.settings import MAXIMUM_BYTES, explain, parse_yaml
from zoo.data.factors.arm_factors import ArmFactors
from zoo.data.factors.block_factors import ShepardMetzlerFactors
from zoo.data.factors.cube_factors import CubeFactors
from zoo.data.factors.maze_factors import MazeFactors
from zoo.data.factors.room_factors import RoomFactors
from zoo.data.factors.scene_factors import SceneFactors
from zoo.data.factors.terrain_factors import TerrainFactors
from zoo.errors import ConfigError, DataError, did_you_mean
from zoo.files import load_json, reading

_CLASSES = (RoomFactors, ShepardMetzlerFactors, CubeFactors, ArmFactors, MazeFactors, TerrainFactors)
KINDS: Mapping[str, type[SceneFactors]] = MappingProxyType(
    {factors.model_fields["kind"].default: factors for factors in _CLASSES}
)
SUFFIXES = (".jsonl", ".json", ".yaml", ".yml")


@contextlib.contextmanager
def naming(origin: str) -> Iterator[None]:
    """Begins the message of a DataError of the block with ``origin``, for example the file and the index of the scene."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{origin}: {error}") from None


def parse_factors(document: Any, *, origin: str) -> SceneFactors:
    """Makes factors of plain values.

    Args:
        document: a mapping of the fields of one of ``KINDS``.
        origin: begins every error, for example the file and the index of the scene.

    Raises:
        DataError: naming the origin, the field, what was found and what was expected.
    """
    if not isinstance(document, Mapping):
        raise DataError(f"{origin}: found {type(document).__name__}, expected a mapping of the factors of one scene")
    if "kind" not in document:
        raise DataError(f"{origin}: kind: this key is missing; expected one of {', '.join(KINDS)}")
    kind = document["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise DataError(
            f"{origin}: kind: found {kind!r}, expected one of {', '.join(KINDS)}{did_you_mean(str(kind), KINDS)}"
        )
    try:
        # From JSON, in which a list may stand for a tuple and 1 for 1.0, and nothing else is converted.
        text = json.dumps(document, allow_nan=False)
        factors = KINDS[kind].model_validate_json(text)
    except ValidationError as error:
        raise DataError(explain(KINDS[kind], error, file=origin)) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{origin}: holds a value that JSON has no form for: {error}") from None
    with naming(origin):
        factors.check()
    return factors


def read_factor_file(path: str | os.PathLike[str]) -> list[SceneFactors]:
    """Reads the factors of scenes: one document per line of ``.jsonl``, a list or one document in ``.json`` or ``.yaml``.

    Raises:
        DataError: naming file, scene (counted from 0), field, what was found and what was expected.
    """
    path = Path(path)
    documents = _documents(path)
    if not documents:
        raise DataError(f"{path}: lists no scene")
    return [parse_factors(item, origin=f"{path}: scene {index}") for index, item in enumerate(documents)]


def _documents(path: Path) -> list[Any]:
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: the name ends in {path.suffix!r}, expected one of {', '.join(SUFFIXES)}")
    try:
        with reading(path, error=DataError):
            text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not a text file in UTF-8") from None
    if path.suffix == ".jsonl":
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        return [_parse_json(line, origin=f"{path}: line {number}") for number, line in lines]
    value = _parse_json(text, origin=str(path)) if path.suffix == ".json" else _parse_yaml(text, path=path)
    return value if isinstance(value, list) else [value]


def _parse_yaml(text: str, *, path: Path) -> Any:
    if len(text) > MAXIMUM_BYTES:
        raise DataError(f"{path}: has {len(text)} characters, expected at most {MAXIMUM_BYTES}; use JSON lines")
    try:
        return parse_yaml(text, file=str(path))
    except ConfigError as error:
        raise DataError(str(error)) from None


def _parse_json(text: str, *, origin: str) -> Any:
    try:
        return load_json(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: is not valid JSON: {error}") from None
