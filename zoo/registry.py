"""registry.yaml, ours and those of plug-ins -> validated variants -> models.

Reading names imports neither torch nor any component; ``resolve`` imports the four parts of one variant, parses their
settings and refuses what does not fit together; ``build`` makes the model.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from zoo.config import Settings, load_yaml, merge, parse, parse_overrides
from zoo.errors import ConfigError, RegistryError, did_you_mean
from zoo.recipe import TrainingRecipe

if TYPE_CHECKING:
    from zoo.contract import Part
    from zoo.model import SceneModel

Kind = Literal["task", "encoder", "core", "likelihood"]
KINDS: tuple[Kind, ...] = ("task", "encoder", "core", "likelihood")
FOLDERS: Mapping[str, str] = MappingProxyType(
    {"encoder": "zoo.encoders", "core": "zoo.cores", "likelihood": "zoo.likelihoods"}
)
ENTRY_POINTS = "gqn_zoo.registry"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
CHANGEABLE = (*KINDS, "image_size", "training")
FULL = "full"


class Reference(Settings):
    """A figure that a paper reports for this system."""

    metric: str
    value: float
    unit: str
    source: str


class Entry(Settings):
    """One variant as it stands in a registry file, after its ``base`` was laid under it."""

    title: str
    paper: str
    status: Literal["paper", "baseline", "extension"] = Field(description="what the variant is to the literature")
    task: dict[str, Any]
    encoder: dict[str, Any]
    core: dict[str, Any]
    likelihood: dict[str, Any]
    image_size: int = Field(ge=4, description="height and width of the pictures, pixels")
    training: TrainingRecipe
    reference: list[Reference] = Field(default=[])
    sizes: dict[str, dict[str, Any]] = Field(default={})


class Component(Settings):
    """A part by name with its settings, complete with defaults once resolved."""

    use: str
    settings: dict[str, Any]


class Variant(Settings):
    """A variant at one size: everything that is needed to build and train it."""

    name: str
    size: str
    title: str
    paper: str
    status: str
    task: Component
    encoder: Component
    core: Component
    likelihood: Component
    image_size: int
    training: TrainingRecipe
    reference: list[Reference]
    file: str = Field(description="the registry file that it was read from, for error messages")

    def component(self, kind: Kind) -> Component:
        """Returns the part of a kind."""
        return getattr(self, kind)

    def config(self) -> dict[str, Any]:
        """Returns plain values from which ``variant_from_config`` makes the variant again."""
        resolved = resolve(self)
        return {
            "variant": self.name,
            "size": self.size,
            **{kind: {"use": self.component(kind).use, **resolved[kind].config.model_dump()} for kind in KINDS},
            "image_size": self.image_size,
            "training": self.training.model_dump(),
        }


class ResolvedPart(NamedTuple):
    """The class of a part and its parsed settings."""

    part: type[Part]
    config: Settings


class RegistryFile(NamedTuple):
    """One registry file: ours has no prefix, a plug-in's is its entry point's name and a slash."""

    path: Path
    prefix: str


def registry_path() -> Path:
    """Returns our registry file: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parent / "registry.yaml", package / "registry.yaml"):
        if candidate.is_file():
            return candidate
    raise RegistryError(f"{package}: registry.yaml is neither in nor beside the package; the installation is damaged")


def registry_files() -> list[RegistryFile]:
    """Returns our registry file and those of installed plug-ins, none of which is imported.

    A plug-in is a package that holds a ``registry.yaml`` and declares the entry point
    ``[project.entry-points."gqn_zoo.registry"]  lab = "package"``; its variants are called ``lab/name``.
    """
    points = sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return [
        RegistryFile(path=registry_path(), prefix=""),
        *(
            RegistryFile(path=_folder_of(point.value, plug_in=point.name) / "registry.yaml", prefix=f"{point.name}/")
            for point in points
        ),
    ]


def _folder_of(package: str, *, plug_in: str) -> Path:
    """Returns where a package lies. Only the top package is looked up: to find one inside it would import it."""
    top, *inner = package.split(".")
    specification = importlib.util.find_spec(top) if top.isidentifier() else None
    for location in (specification.submodule_search_locations or ()) if specification else ():
        folder = Path(location, *inner)
        if folder.is_dir():
            return folder
    raise RegistryError(f"plug-in {plug_in!r}: entry point {package!r} is not an installed package")


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
        changes.append({key: part for key, part in value.items() if key != "base"})
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
    if not isinstance(image_size, int) or isinstance(image_size, bool) or image_size < 4:
        raise ConfigError(f"{file}: image_size: found {image_size!r}, expected a whole number of pixels, at least 4")
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


def _component(value: Any, *, file: str, path: str) -> Component:
    if not isinstance(value, Mapping) or not isinstance(value.get("use"), str):
        raise ConfigError(f"{file}: {path}: found {value!r}, expected a mapping with 'use: name' and settings")
    settings = {key: setting for key, setting in value.items() if key != "use"}
    return parse(Component, {"use": value["use"], "settings": settings}, file=file, path=path)


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


def find_part(kind: Kind, use: str, *, file: str) -> type[Part]:
    """Returns the class that ``use`` names: a file of ours, or ``package.module:Class`` of a third party.

    Raises:
        RegistryError: if there is no such file, module or class, or it is not a part of that kind.
    """
    from zoo import contract, tasks

    bases: dict[Kind, type[Part]] = {
        "task": contract.Task,
        "encoder": contract.Encoder,
        "core": contract.LatentCore,
        "likelihood": contract.Likelihood,
    }
    base = bases[kind]
    if ":" in use:
        module_name, _, class_name = use.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except Exception as error:  # a third party's module may raise whatever it likes
            raise RegistryError(
                f"{file}: {kind}.use: {use!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if not (isinstance(found, type) and issubclass(found, base)):
            raise RegistryError(f"{file}: {kind}.use: {use!r} is not a class derived from zoo.contract.{base.__name__}")
        return found
    if kind == "task":
        known = {
            cls.__name__.lower(): cls
            for cls in vars(tasks).values()
            if isinstance(cls, type) and issubclass(cls, base) and cls is not base
        }
        if use not in known:
            raise RegistryError(f"{file}: task.use: there is no task {use!r}{did_you_mean(use, known)}")
        return known[use]
    names = available(kind)
    if use not in names:
        raise RegistryError(f"{file}: {kind}.use: there is no {kind} {use!r}{did_you_mean(use, names)}")
    return contract.the_part_of(importlib.import_module(f"{FOLDERS[kind]}.{use}"), base)


def available(kind: Kind) -> list[str]:
    """Returns the names of our own encoders, cores or likelihoods: the files in their folder."""
    specification = importlib.util.find_spec(FOLDERS[kind])
    assert specification is not None and specification.submodule_search_locations
    folder = Path(specification.submodule_search_locations[0])
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def resolve(variant: Variant) -> dict[Kind, ResolvedPart]:
    """Imports a variant's parts, parses their settings and checks that they fit together.

    Raises:
        RegistryError: if a part does not exist or the parts do not fit; one sentence says why.
        ConfigError: if a setting is not valid.
    """
    resolved: dict[Kind, ResolvedPart] = {}
    for kind in KINDS:
        component = variant.component(kind)
        part = find_part(kind, component.use, file=variant.file)
        path = kind if variant.file.startswith("--set") else f"variants.{variant.name}.{kind}"
        resolved[kind] = ResolvedPart(
            part=part, config=parse(part.Config, component.settings, file=variant.file, path=path)
        )
    problem = _misfit(variant, resolved)
    if problem:
        raise RegistryError(f"{variant.file}: variant {variant.name!r}: {problem}")
    return resolved


def _misfit(variant: Variant, resolved: Mapping[Kind, ResolvedPart]) -> str | None:
    from zoo import contract

    task, encoder, core, likelihood = (resolved[kind].part for kind in KINDS)
    assert issubclass(task, contract.Task) and issubclass(encoder, contract.Encoder)
    assert issubclass(core, contract.LatentCore) and issubclass(likelihood, contract.Likelihood)
    names = {kind: variant.component(kind).use for kind in KINDS}
    if encoder.reads not in ("anything", task.context_kind):
        return f"encoder {names['encoder']!r} reads {encoder.reads}, but the context of task {names['task']!r} is {task.context_kind}"
    missing = core.needs - encoder.offers
    if missing:
        return f"core {names['core']!r} needs a {sorted(missing)[0]} representation, which encoder {names['encoder']!r} does not offer"
    if encoder.offers and not core.needs:
        return (
            f"core {names['core']!r} never looks at the context, so that encoder {names['encoder']!r} would never be trained; "
            "use encoder 'none'"
        )
    if likelihood.target_kind != task.target_kind:
        return f"likelihood {names['likelihood']!r} scores {likelihood.target_kind}, but the target of task {names['task']!r} is {task.target_kind}"
    return None


def build(variant: Variant, *, seed: int = 0) -> SceneModel:
    """Makes the model of a variant; the seed decides its initial weights and leaves torch's own generator alone.

    Raises:
        RegistryError, ConfigError: as ``resolve``, and if the sizes do not fit each other.
    """
    import torch

    from zoo import contract
    from zoo.model import SceneModel

    parts = resolve(variant)
    made: dict[str, Any] = {kind: parts[kind].part for kind in KINDS}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            task = made["task"](parts["task"].config, image_size=variant.image_size)
            encoder = made["encoder"](parts["encoder"].config, view=task.view_shape)
            likelihood = made["likelihood"](parts["likelihood"].config)
            shapes = contract.CoreShapes(
                representation=encoder.shape,
                query_width=task.query_width,
                target=task.target_shape,
                prediction_channels=likelihood.prediction_channels(task.target_shape[0]),
            )
            core = made["core"](parts["core"].config, shapes=shapes)
        except ValueError as error:
            raise ConfigError(f"{variant.file}: variant {variant.name!r} at size {variant.size!r}: {error}") from None
    return SceneModel(task=task, encoder=encoder, core=core, likelihood=likelihood)


@functools.lru_cache(maxsize=1)
def default_registry() -> Registry:
    """Returns our registry together with those of installed plug-ins, read once."""
    return Registry(registry_files())
