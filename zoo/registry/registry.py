"""Registry files -> validated variants.

Reading names imports neither torch nor any component; ``zoo.registry.variant`` resolves a variant's components and builds
its model.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from zoo.config.recipe import TrainingRecipe
from zoo.config.settings import Settings, merge, parse, parse_overrides
from zoo.errors import ConfigError, RegistryError, ZooError, ZooWarning, did_you_mean
from zoo.registry.components import BESIDE, KINDS, Kind
from zoo.registry.sources import RegistryFile, plug_in_files, read_file, user_files
from zoo.registry.variant import FULL, SOURCES, ComponentConfig, ImageSize, Reference, Variant, component_sources

CHANGEABLE = (*KINDS, "image_size", "training")
NOT_INHERITED = frozenset(
    {"base", "paper", "status", "reference", "deviations"}
)  # a paper describes and measures its own network


class FileBeside(NamedTuple):
    """``./file.py:Class`` with the folder of the registry file that says so."""

    folder: str
    use: str


class Entry(Settings):
    """One variant of a registry file, complete with what it inherits from its ``base``."""

    title: str = Field(description="one line for lists")
    paper: str = Field(default="", description="authors, year, title and venue of its source")
    status: Literal["paper", "baseline", "extension"] = Field(
        default="extension", description="what the variant is to the literature"
    )
    task: dict[str, Any] = Field(description="use: NAME, and settings")
    encoder: dict[str, Any] = Field(description="use: NAME, and settings")
    core: dict[str, Any] = Field(description="use: NAME, and settings")
    likelihood: dict[str, Any] = Field(description="use: NAME, and settings")
    image_size: ImageSize
    training: TrainingRecipe = Field(description="the recipe")
    reference: list[Reference] = Field(default=[], description="what the paper reports")
    deviations: list[str] = Field(
        default=[], description="sentences about what differs from the paper, or what the paper leaves open"
    )
    sizes: dict[str, dict[str, Any]] = Field(
        default={}, description="name -> changes to components, image_size and training"
    )

    def use(self, kind: Kind) -> str:
        """Returns which component of a kind it uses, as written in the registry file."""
        found = getattr(self, kind).get("use")
        return found.use if isinstance(found, FileBeside) else str(found)


class Registry:
    """The variants of some registry files, read-only.

    Attributes:
        files: the files that were read, in their order.
        problems: a sentence for every file and entry that is not valid; such a variant is an error when asked for.
    """

    def __init__(self, files: Iterable[RegistryFile]) -> None:
        """Reads the files and validates their entries.

        Raises:
            RegistryError: if two files register the same name.
            ConfigError: if a required file is not valid.
        """
        self.files = tuple(files)
        self._unread: list[tuple[str, str]] = []  # prefix of the names in a file, and why it could not be read
        self._broken: dict[str, str] = {}
        self._entries: dict[str, tuple[Entry, str]] = {}
        raw: dict[str, tuple[Any, RegistryFile]] = {}
        for file in self.files:
            for name, value in self._variants_of(file).items():
                full_name = f"{file.prefix}{name}"
                if full_name in raw:
                    message = f"{file.path}: variants.{name}: {full_name!r} is registered already, by {raw[full_name][1].path}"
                    if not file.prefix:
                        raise RegistryError(message)
                    self._broken[full_name] = message
                raw[full_name] = (_located(value, str(file.path.parent)), file)
        for name, (_, file) in raw.items():
            try:
                entry = parse(Entry, _complete(name, raw), file=str(file.path), path=_place(name, file))
                self._entries[name] = (entry, str(file.path))
            except ZooError as error:
                self._broken.setdefault(name, str(error))
        for name in self._broken:
            self._entries.pop(name, None)

    def _variants_of(self, file: RegistryFile) -> Mapping[str, Any]:
        try:
            if file.problem:
                raise RegistryError(file.problem)
            return read_file(file.path)
        except ZooError as error:
            if file.required:
                raise
            self._unread.append((file.prefix, str(error)))
            return {}

    @property
    def problems(self) -> list[str]:
        """A sentence for every file and entry that is not valid."""
        return [*(problem for _, problem in self._unread), *self._broken.values()]

    def names(self, pattern: str = "*", *, exclude: str | None = None) -> list[str]:
        """Returns the sorted names that match a shell pattern (``gqn-*``) and not the other.

        Raises:
            RegistryError: if the pattern is the name of a variant whose entry is not valid.
        """
        if pattern in self._broken:
            raise RegistryError(self._broken[pattern])
        pattern, exclude = pattern.lower(), (exclude or "").lower()
        return sorted(
            name
            for name in self._entries
            if fnmatchcase(name.lower(), pattern) and not fnmatchcase(name.lower(), exclude)
        )

    def entry(self, name: str) -> tuple[Entry, str]:
        """Returns a variant's entry and the file that holds it.

        Raises:
            RegistryError: if there is no such variant, naming similar ones, or if its entry is not valid.
        """
        if name in self._entries:
            return self._entries[name]
        if name in self._broken:
            raise RegistryError(self._broken[name])
        if any(character in name for character in "*?["):
            matches = ", ".join(map(repr, self.names(name))) or "nothing"
            raise RegistryError(f"found the pattern {name!r}, expected the name of one variant; it matches {matches}")
        unread = [f"; not read: {problem}" for prefix, problem in self._unread if name.startswith(prefix)]
        raise RegistryError(f"variant {name!r} is not registered{did_you_mean(name, self._entries)}{''.join(unread)}")

    def variant(self, name: str, *, size: str = FULL, overrides: Iterable[str] = ()) -> Variant:
        """Returns a variant at a size, with ``key=value`` overrides applied.

        Raises:
            RegistryError: if there is no such variant or size.
            ConfigError: if an override is not valid.
        """
        entry, file = self.entry(name)
        values: dict[str, Any] = {key: getattr(entry, key) for key in (*KINDS, "image_size")}
        values["training"] = entry.training.model_dump()
        folder = str(Path(file).parent)
        if size != FULL:
            if size not in entry.sizes:
                raise RegistryError(f"variant {name!r} has no size {size!r}{did_you_mean(size, [FULL, *entry.sizes])}")
            values = merge(values, _changes(entry.sizes[size], file=file, path=f"variants.{name}.sizes.{size}."))
        if overrides := list(overrides):
            changes = _changes(parse_overrides(overrides), file="--set", path="")
            values = merge(values, _located(changes, folder))
            file = "--set " + " ".join(overrides)
        return _variant(values, entry=entry, name=name, size=size, file=file)


def _place(name: str, file: RegistryFile) -> str:
    return f"variants.{name.removeprefix(file.prefix)}"


def _complete(name: str, raw: Mapping[str, tuple[Any, RegistryFile]]) -> dict[str, Any]:
    """Returns an entry with everything that it inherits; the nearest ancestor wins."""
    chain: list[str] = []
    changes: list[dict[str, Any]] = []
    current: str | None = name
    while current is not None:
        value, file = raw[current]
        place = f"{file.path}: {_place(current, file)}"
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: found {type(value).__name__}, expected a mapping")
        own = {"base"} if current == name else NOT_INHERITED
        changes.append({key: inner for key, inner in value.items() if key not in own})
        chain.append(current)
        base = value.get("base")
        if base is not None and not isinstance(base, str):
            raise ConfigError(f"{place}.base: found {base!r}, expected the name of a variant")
        child, current = current, None
        if base is not None:
            # A variant of the same file, else one of any file.
            candidates = [name for name in (file.prefix + base, base) if name in raw]
            if not candidates:
                hint = did_you_mean(base, raw.keys() - {child})
                raise RegistryError(f"{place}.base: there is no variant {base!r}{hint}")
            # A plug-in's 'cvae' with 'base: cvae' derives from the shipped one.
            current = next((name for name in candidates if name != child), child)
        if current in chain:
            raise RegistryError(f"{place}: base is circular: {' -> '.join([*chain, str(current)])}")
    return functools.reduce(merge, reversed(changes))


def _located(value: Any, folder: str) -> Any:
    """Returns settings in which every ``use: ./file.py:Class`` knows the folder of its registry file."""
    if not isinstance(value, dict):
        return value
    return {
        key: FileBeside(folder, inner)
        if key == "use" and isinstance(inner, str) and inner.startswith(BESIDE)
        else _located(inner, folder)
        for key, inner in value.items()
    }


def _changes(changes: dict[str, Any], *, file: str, path: str) -> dict[str, Any]:
    for key in changes:
        if key not in CHANGEABLE:
            raise ConfigError(f"{file}: {path}{key}: unknown key {key!r}{did_you_mean(str(key), CHANGEABLE)}")
    return changes


def _variant(values: Mapping[str, Any], *, entry: Entry, name: str, size: str, file: str) -> Variant:
    components: dict[str, Any] = {kind: _component(values[kind], file=file, path=kind) for kind in KINDS}
    of_entry = {key: getattr(entry, key) for key in ("title", "paper", "status", "reference")}
    return parse(Variant, {"name": name, "size": size, "file": file, **of_entry, **values, **components}, file=file)


def _component(value: Any, *, file: str, path: str) -> ComponentConfig:
    use = value.get("use") if isinstance(value, Mapping) else None
    folder, use = use if isinstance(use, FileBeside) else ("", use)
    if not isinstance(use, str):
        raise ConfigError(f"{file}: {path}: found {value!r}, expected a mapping with 'use: name' and settings")
    settings = {key: setting for key, setting in value.items() if key != "use"}
    return parse(ComponentConfig, {"use": use, "folder": folder, "settings": settings}, file=file, path=path)


def variant_from_config(config: Mapping[str, Any], /, *, file: str, registry: Registry | None = None) -> Variant:
    """Makes a variant from the plain values of ``Variant.config``, for example of a run's ``config.yaml``.

    A component ``./file.py:Class`` is found beside the registry file that registers the variant now. Warns if a
    component's code has changed since the values were written.

    Raises:
        ConfigError: if a key is missing, unknown or of the wrong type.
    """
    expected = {"variant", "size", *CHANGEABLE}
    for key in sorted(expected - set(config)):
        raise ConfigError(f"{file}: {key}: this key is missing")
    for key in sorted(set(config) - expected - {SOURCES}):
        raise ConfigError(f"{file}: {key}: unknown key {key!r}{did_you_mean(key, expected)}")
    name, size = config["variant"], config["size"]
    if not isinstance(name, str) or not isinstance(size, str):
        raise ConfigError(f"{file}: variant: found {name!r} at size {size!r}, expected two names")
    known = registry or default_registry()
    values = {key: config[key] for key in CHANGEABLE}
    if name in known.names():
        entry, origin = known.entry(name)
        for kind in KINDS:
            registered, used = getattr(entry, kind).get("use"), values[kind]
            same = isinstance(registered, FileBeside) and isinstance(used, dict) and used.get("use") == registered.use
            values[kind] = _located(used, registered.folder if same else str(Path(origin).parent))
    else:
        entry = parse(Entry, {"title": name, **values}, file=file)
    variant = _variant(values, entry=entry, name=name, size=size, file=file)
    _warn_of_changed_code(variant, config.get(SOURCES), file=file)
    return variant


def _warn_of_changed_code(variant: Variant, recorded: Any, *, file: str) -> None:
    try:
        sources = component_sources(variant) if isinstance(recorded, Mapping) else {}
    except RegistryError:
        return  # raised again with its place when the variant is resolved
    for kind, source in sources.items():
        before = recorded.get(kind)
        if not isinstance(before, Mapping) or before.get("sha256") != source.sha256:
            use = getattr(variant, kind).use
            warnings.warn(
                f"{file}: the code of {kind} {use!r} has changed since this was written", ZooWarning, stacklevel=3
            )


def default_registry(named: Iterable[str | Path] = ()) -> Registry:
    """Returns the variants of all registry files (see ``zoo.registry.sources``) and of ``named`` ones.

    A file is read again when it has changed. Warns once of files and entries that are not valid.

    Raises:
        RegistryError, ConfigError: as ``Registry``.
    """
    files = user_files(named)
    return _read(files, tuple(_version_of(file.path) for file in files))


@functools.lru_cache(maxsize=4)
def _read(files: tuple[RegistryFile, ...], versions: tuple[Any, ...]) -> Registry:
    registry = Registry([*files, *plug_in_files()])
    for problem in registry.problems:
        warnings.warn(problem, ZooWarning, stacklevel=3)
    return registry


def _version_of(path: Path) -> tuple[int, int] | None:
    try:
        return path.stat().st_mtime_ns, path.stat().st_size
    except OSError:
        return None
