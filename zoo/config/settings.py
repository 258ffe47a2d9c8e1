"""Strict settings: a mapping from YAML or the command line becomes a typed, frozen object, or one clear error.

An unknown key, a missing key, a wrong type or a value out of range is a ``ConfigError`` that names
the file and the path within it. YAML is version 1.2 (``1e-3`` is a number, ``on`` is a string), loaded safely, with
duplicate keys, keys that are not strings, aliases, tags, other versions and oversized or deeply nested files refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from zoo.errors import ConfigError, did_you_mean
from zoo.files import reading

MAXIMUM_BYTES = 1 << 20
MAXIMUM_DEPTH = 32


class Settings(pydantic.BaseModel):
    """Base of all settings: strict types, unknown keys forbidden, frozen once made."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


SettingsType = TypeVar("SettingsType", bound=Settings)

# Bounds far above every published model, below which a mistyped number is an error and not hours of allocating.
Size = Annotated[int, pydantic.Field(ge=1, le=16_384)]  # of one layer: channels, heads, cells, words, bins
Depth = Annotated[int, pydantic.Field(ge=1, le=256)]  # of a whole model: steps, layers, blocks
Octaves = Annotated[int, pydantic.Field(ge=0, le=16)]  # of Fourier features: the highest is 2^13 radians per unit
LARGEST_SEED = 2**63 - 1


def one_of(names: Collection[str]) -> pydantic.AfterValidator:
    """Returns a validator of a name; its error lists the known names, or the similar ones."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"one of {', '.join(names)}{did_you_mean(name, names)}")
        return name

    return pydantic.AfterValidator(check)


def parse(
    settings_class: type[SettingsType], /, values: Mapping[str, Any], *, file: str, path: str = ""
) -> SettingsType:
    """Makes settings of what the user wrote in a ``file``, at a ``path`` within that file.

    Raises:
        ConfigError: naming file, path, what was found and what was expected.
    """
    try:
        return settings_class.model_validate(dict(values))
    except pydantic.ValidationError as error:
        raise ConfigError(explain(settings_class, error, file=file, path=path)) from None


def explain(
    settings_class: type[pydantic.BaseModel], error: pydantic.ValidationError, *, file: str, path: str = ""
) -> str:
    """Returns one sentence on the first key that pydantic refused: file, path, what was found and what was expected."""
    found_wrong = error.errors(include_url=False)
    # A misspelt key is reported instead of the missing key that was meant.
    unknown = [each for each in found_wrong if each["type"] == "extra_forbidden"]
    detail = (unknown or found_wrong)[0]
    keys = [str(part) for part in detail["loc"]]
    where = ".".join(([path] if path else []) + keys) or "top level"
    if detail["type"] == "extra_forbidden":
        known = _fields_at(settings_class, keys[:-1])
        return f"{file}: {where}: unknown key {keys[-1]!r}{did_you_mean(keys[-1], known)}"
    if detail["type"] == "missing":
        return f"{file}: {where}: this key is missing"
    found = detail["input"]
    reason = _reason_of(detail).removeprefix("Input should be ")
    return f"{file}: {where}: found {found!r} ({type(found).__name__}), expected {reason}"


def first_problem(error: pydantic.ValidationError, *, place: str = "") -> str:
    """Returns the first field, below ``place``, that pydantic refused and why, on one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, ((place,) if place else ()) + first["loc"]))
    found = f", found {first['input']!r}" if first["type"] == "literal_error" else ""  # such as another version
    return f"{where}: {_reason_of(first)}{found}" if where else _reason_of(first)


def _reason_of(detail: Mapping[str, Any]) -> str:
    """Returns the message of one of the errors of a pydantic.ValidationError, without pydantic's own prefix."""
    return str(detail["msg"]).removeprefix("Value error, ")


def flatten(settings: pydantic.BaseModel, *, prefix: str) -> Iterator[tuple[str, Any, str]]:
    """Yields dotted key, value and meaning of every setting, nested ones included."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, pydantic.BaseModel):
            yield from flatten(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.description or ""


def _fields_at(settings_class: type[pydantic.BaseModel], keys: list[str]) -> list[str]:
    """Returns the names of the fields of the settings that lie at ``keys`` below ``settings_class``."""
    current: Any = settings_class
    for key in keys:
        fields = getattr(current, "model_fields", {})
        # Of a list or mapping the key is that of an entry, whose type is the last argument.
        current = fields[key].annotation if key in fields else [None, *get_args(current)][-1]
        if isinstance(current, UnionType):
            current = next((part for part in get_args(current) if hasattr(part, "model_fields")), None)
    return list(getattr(current, "model_fields", ()))


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file whose top level is a mapping; raises ConfigError for what is refused (see the module)."""
    path = Path(path)
    try:
        with reading(path, error=ConfigError):
            if path.stat().st_size > MAXIMUM_BYTES:
                raise ConfigError(f"{path}: has {path.stat().st_size} bytes, expected at most {MAXIMUM_BYTES}")
            text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not a text file in UTF-8") from None
    value = parse_yaml(text, file=str(path))
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: top level: found {type(value).__name__}, expected a mapping of keys to values")
    return value


def parse_yaml(text: str, /, *, file: str) -> Any:
    """Parses one YAML 1.2 document safely; raises ConfigError with ``file`` and the line."""
    try:
        _refuse_what_is_not_plain(text, file=file)
        value = YAML(typ="safe", pure=True).load(text)
        _refuse_odd_keys(value, file=file)
        return value
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = (getattr(error, "problem", None) or str(error)).splitlines()[0]
        kind = "" if isinstance(error, DuplicateKeyError) else "is not valid YAML: "
        raise ConfigError(f"{file}: {line}{kind}{problem}") from None
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: is not valid YAML: {error}") from None


def _refuse_what_is_not_plain(text: str, *, file: str) -> None:
    """Looks at the events of a text before anything is constructed from it."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise ConfigError(
                f"{file}: line {line}: YAML aliases (*name) are not allowed; use 'base:' to derive a variant"
            )
        if isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent) and event.tag is not None:
            raise ConfigError(f"{file}: line {line}: YAML tags ({event.tag}) are not allowed; write plain values")
        if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
            # Under 1.1 'on' would be a boolean and '1e-3' a string again.
            raise ConfigError(f"{file}: line {line}: found another version of YAML, expected 1.2")
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            depth += 1
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            depth -= 1
        if depth > MAXIMUM_DEPTH:
            raise ConfigError(f"{file}: is nested deeper than {MAXIMUM_DEPTH} levels")


def _refuse_odd_keys(value: Any, *, file: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"{file}: key {key!r}: found {type(key).__name__}, expected a word")
            _refuse_odd_keys(inner, file=file)
    elif isinstance(value, list):
        for inner in value:
            _refuse_odd_keys(inner, file=file)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any], /) -> dict[str, Any]:
    """Returns ``base`` with ``changes`` laid over it, mapping by mapping.

    A component (a mapping with ``use``) of another class replaces the base's whole mapping, with its settings.
    """
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            other_class = "use" in value and value["use"] != old.get("use")
            merged[key] = dict(value) if other_class else merge(old, value)
        else:
            merged[key] = value
    return merged


def parse_overrides(items: Iterable[str], /) -> dict[str, Any]:
    """Turns ``["core.steps=8", "training.beta.end=0.5"]`` into a nested mapping; values are YAML scalars or lists.

    Raises:
        ConfigError: if an item has no ``=``, or a part of its key is empty, or two items contradict each other.
    """
    tree: dict[str, Any] = {}
    for item in items:
        dotted, equals, text = item.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {item}: expected key=value, for example core.steps=8")
        place = tree
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {item}: {key!r} was set to a value by an earlier --set")
        if keys[-1] in place:
            raise ConfigError(f"--set {item}: {dotted!r} is set twice")
        place[keys[-1]] = parse_yaml(text, file=f"--set {item}")
    return tree
