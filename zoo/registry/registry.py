"""registry.yaml, ours and those of plug-ins -> validated variants.

Reading names imports neither torch nor any component; ``resolve`` imports the four parts of one variant, parses their
settings and refuses what does not fit together; ``build`` makes the model. Both live in ``zoo.registry.variant``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field, field_validator

from zoo.config.recipe import TrainingRecipe
from zoo.config.settings import Settings, load_yaml, merge, parse, parse_overrides
from zoo.errors import ConfigError, RegistryError, did_you_mean
from zoo.registry.components import KINDS
from zoo.registry.sources import RegistryFile, registry_files
from zoo.registry.variant import FULL, ComponentConfig, Reference, Variant

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
SMALLEST_IMAGE = 4  # pixels
CHANGEABLE = (*KINDS, "image_size", "training")


class Entry(Settings):
    """One variant as it stands in a registry file, after its ``base`` was laid under it."""

    title: str
    paper: str
    status: Literal["paper", "baseline", "extension"] = Field(description="what the variant is to the literature")
    task: dict[str, Any]
    encoder: dict[str, Any]
    core: dict[str, Any]
    likelihood: dict[str, Any]
    image_size: int = Field(ge=0, description="height and width of the images, pixels; 0 for data without images")
    training: TrainingRecipe
    reference: list[Reference] = Field(default=[])
    sizes: dict[str, dict[str, Any]] = Field(default={})

    @field_validator("image_size")
    @classmethod
    def _a_size_of_images(cls, image_size: int) -> int:
        if 0 < image_size < SMALLEST_IMAGE:
            raise ValueError(f"at least {SMALLEST_IMAGE} pixels, or 0 for data without images")
        return image_size


class Registry:
    """The variants of some registry files, read-only."""

    def __init__(self, files: Iterable[RegistryFile]) -> None:
        """Reads and validates the files.

        Raises:
            RegistryError: if a name is not valid or is given twice, or a ``base`` is unknown or goes in a circle.
            ConfigError: if a file or an entry is not valid.
        """
        self._entries: dict[str, tuple[Entry, str]] = {}
        for path, prefix in files:
            raw = load_yaml(path)
            unknown = sorted(set(raw) - {"version", "variants"})
            if unknown:
                raise ConfigError(
                    f"{path}: unknown key {unknown[0]!r}{did_you_mean(unknown[0], ['version', 'variants'])}"
                )
            if raw.get("version") != 1:
                raise ConfigError(f"{path}: version: found {raw.get('version')!r}, expected 1")
            variants = raw.get("variants")
            if not isinstance(variants, dict) or not variants:
                raise ConfigError(
                    f"{path}: variants: found {type(variants).__name__}, expected a mapping of names to variants"
                )
            for name in variants:
                if not isinstance(name, str) or not NAME.fullmatch(name):
                    raise RegistryError(
                        f"{path}: variants: {name!r} is not a name (lower-case letters, digits, '.', '_' and '-')"
                    )
                full_name = prefix + name
                if full_name in self._entries:
                    raise RegistryError(
                        f"{path}: variants.{name}: {full_name!r} is registered already, by {self._entries[full_name][1]}"
                    )
                complete = _with_base(name, variants, file=str(path))
                self._entries[full_name] = (parse(Entry, complete, file=str(path), path=f"variants.{name}"), str(path))

    def names(self, pattern: str = "*", *, exclude: str | None = None) -> list[str]:
        """Returns the sorted names that match a shell pattern (``gqn-*``) and not the other."""
        return sorted(
            name
            for name in self._entries
            if fnmatchcase(name, pattern) and not (exclude and fnmatchcase(name, exclude))
        )

    def entry(self, name: str) -> tuple[Entry, str]:
        """Returns a variant's entry and the file that it stands in.

        Raises:
            RegistryError: if there is no such variant; the nearest names are told.
        """
        if name not in self._entries:
            raise RegistryError(f"variant {name!r} is not registered{did_you_mean(name, self._entries)}")
        return self._entries[name]

    def variant(self, name: str, *, size: str = FULL, overrides: Iterable[str] = ()) -> Variant:
        """Returns a variant at a size, with ``key=value`` overrides laid over it.

        Raises:
            RegistryError: if there is no such variant or size.
            ConfigError: if an override is not valid.
        """
        entry, file = self.entry(name)
        values = {key: value for key, value in entry.model_dump().items() if key in CHANGEABLE}
        if size != FULL:
            if size not in entry.sizes:
                raise RegistryError(f"variant {name!r} has no size {size!r}{did_you_mean(size, [FULL, *entry.sizes])}")
            values = merge(values, _changes(entry.sizes[size], file=file, path=f"variants.{name}.sizes.{size}"))
        overrides = list(overrides)
        if overrides:
            values = merge(values, _changes(parse_overrides(overrides), file="--set", path=""))
            file = "--set " + " ".join(overrides)
        return _variant(values, entry=entry, name=name, size=size, file=file)


def _with_base(name: str, variants: Mapping[str, Any], *, file: str) -> dict[str, Any]:
    """Returns an entry with everything that it inherits, the nearest ancestor first."""
    chain: list[str] = []
    changes: list[Mapping[str, Any]] = []
    current: str | None = name
    while current is not None:
        if current in chain:
            raise RegistryError(f"{file}: variants.{name}: base goes in a circle: {' -> '.join([*chain, current])}")
        value = variants.get(current)
        if not isinstance(value, dict):
            if not chain:
                raise ConfigError(f"{file}: variants.{name}: found {type(value).__name__}, expected a mapping")
            raise RegistryError(
                f"{file}: variants.{chain[-1]}.base: there is no variant {current!r}{did_you_mean(current, variants)}"
            )
        chain.append(current)
        base = value.get("base")
        if base is not None and not isinstance(base, str):
            raise ConfigError(f"{file}: variants.{current}.base: found {base!r}, expected the name of a variant")
        # Published figures are those of one network; what derives from it has to earn its own.
        own = {"base"} if current == name else {"base", "reference"}
        changes.append({key: part for key, part in value.items() if key not in own})
        current = base
    merged: dict[str, Any] = {}
    for change in reversed(changes):
        merged = merge(merged, change)
    return merged


def _changes(changes: Mapping[str, Any], *, file: str, path: str) -> Mapping[str, Any]:
    for key in changes:
        if key not in CHANGEABLE:
            raise ConfigError(
                f"{file}: {path + '.' if path else ''}{key}: unknown key {key!r}{did_you_mean(str(key), CHANGEABLE)}"
            )
    return changes


def _variant(values: Mapping[str, Any], *, entry: Entry, name: str, size: str, file: str) -> Variant:
    parts = {kind: _component(values[kind], file=file, path=kind) for kind in KINDS}
    training = values["training"]
    if not isinstance(training, Mapping):
        raise ConfigError(f"{file}: training: found {type(training).__name__}, expected a mapping")
    image_size = values["image_size"]
    if (
        not isinstance(image_size, int)
        or isinstance(image_size, bool)
        or 0 < image_size < SMALLEST_IMAGE
        or image_size < 0
    ):
        raise ConfigError(
            f"{file}: image_size: found {image_size!r}, expected a whole number of pixels, at least {SMALLEST_IMAGE}, or 0 for data without images"
        )
    return Variant(
        name=name,
        size=size,
        title=entry.title,
        paper=entry.paper,
        status=entry.status,
        image_size=image_size,
        training=parse(TrainingRecipe, training, file=file, path="training"),
        reference=entry.reference,
        file=file,
        **parts,
    )


def _component(value: Any, *, file: str, path: str) -> ComponentConfig:
    if not isinstance(value, Mapping) or not isinstance(value.get("use"), str):
        raise ConfigError(f"{file}: {path}: found {value!r}, expected a mapping with 'use: name' and settings")
    settings = {key: setting for key, setting in value.items() if key != "use"}
    return parse(ComponentConfig, {"use": value["use"], "settings": settings}, file=file, path=path)


def variant_from_config(config: Mapping[str, Any], /, *, file: str) -> Variant:
    """Makes a variant of the plain values that ``Variant.config`` returned, for example of a run's ``config.yaml``.

    Raises:
        ConfigError: if a key is missing, unknown or of the wrong type.
    """
    expected = {"variant", "size", *CHANGEABLE}
    for key in sorted(expected - set(config)):
        raise ConfigError(f"{file}: {key}: this key is missing")
    for key in sorted(set(config) - expected):
        raise ConfigError(f"{file}: {key}: unknown key {key!r}{did_you_mean(key, expected)}")
    name, size = config["variant"], config["size"]
    if not isinstance(name, str) or not isinstance(size, str):
        raise ConfigError(f"{file}: variant: found {name!r} at size {size!r}, expected two names")
    known = default_registry()
    titles = known.entry(name)[0] if name in known.names() else None
    own = {key: config[key] for key in CHANGEABLE}
    entry = titles or parse(Entry, {"title": name, "paper": "", "status": "extension", **own}, file=file)
    return _variant(config, entry=entry, name=name, size=size, file=file)


@functools.lru_cache(maxsize=1)
def default_registry() -> Registry:
    """Returns our registry together with those of installed plug-ins, read once."""
    return Registry(registry_files())
