"""Components by name: the file of an encoder, core or likelihood, a task, or a class of a third party."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Literal

from zoo.errors import RegistryError, did_you_mean
from zoo.provenance import ComponentSource
from zoo.registry.sources import ENTRY_POINTS, ENVIRONMENT

if TYPE_CHECKING:
    from zoo.model.interfaces import Component

Kind = Literal["task", "encoder", "core", "likelihood"]
KINDS: tuple[Kind, ...] = ("task", "encoder", "core", "likelihood")
FOLDERS: Mapping[str, str] = MappingProxyType(
    {"encoder": "zoo.encoders", "core": "zoo.cores", "likelihood": "zoo.likelihoods"}
)
BESIDE = "./"  # begins the path of a Python file beside the registry file that names it


def available(kind: Kind) -> list[str]:
    """Returns the names of the shipped encoders, cores or likelihoods: the files in their folder."""
    return sorted(path.stem for path in folder_of(kind).glob("*.py") if path.stem != "__init__")


def folder_of(kind: Kind) -> Path:
    """Returns the folder of the shipped components of a kind."""
    return Path(__file__).resolve().parent.parent / FOLDERS[kind].removeprefix("zoo.")


def find_component(kind: Kind, use: str, *, file: str, folder: str = "") -> type[Component]:
    """Imports a component and returns its class.

    Args:
        kind: task, encoder, core or likelihood.
        use: a shipped name, ``package.module:Class``, or ``./file.py:Class``.
        file: where ``use`` stands, for the error.
        folder: the registry file's folder, in which ``./file.py`` lies; empty if that file is not known.

    Raises:
        RegistryError: if there is no such file, module or class, or it is not a component of that kind.
    """
    from zoo.model import interfaces as contract
    from zoo.model import tasks
    from zoo.model.contract import find_unique_subclass

    bases: dict[Kind, type[Component]] = {
        "task": contract.Task,
        "encoder": contract.Encoder,
        "core": contract.LatentCore,
        "likelihood": contract.Likelihood,
    }
    base = bases[kind]
    if ":" in use:
        module_name, _, class_name = use.partition(":")
        try:
            beside = use.startswith(BESIDE)
            module = _import_file(file_beside(use, folder)) if beside else importlib.import_module(module_name)
            found = getattr(module, class_name)
        except RegistryError as error:
            raise RegistryError(f"{file}: {kind}.use: {error}") from None
        except Exception as error:  # a third party's module may raise anything
            hint = f"; did you mean './{use}'?" if module_name.endswith(".py") and not beside else ""
            raise RegistryError(
                f"{file}: {kind}.use: {use!r} cannot be imported: {type(error).__name__}: {error}{hint}"
            ) from error
        if not (isinstance(found, type) and issubclass(found, base)):
            raise RegistryError(
                f"{file}: {kind}.use: {use!r} is not a class derived from zoo.model.interfaces.{base.__name__}"
            )
        return found
    if kind == "task":
        known = tasks.by_name()
        if use not in known:
            raise RegistryError(f"{file}: task.use: there is no task {use!r}{did_you_mean(use, known)}")
        return known[use]
    names = available(kind)
    if use not in names:
        raise RegistryError(f"{file}: {kind}.use: there is no {kind} {use!r}{did_you_mean(use, names)}")
    return find_unique_subclass(importlib.import_module(f"{FOLDERS[kind]}.{use}"), base)


def file_beside(use: str, folder: str) -> Path:
    """Returns the Python file that ``./file.py:Class`` names.

    Raises:
        RegistryError: if the folder is not known, or the file does not lie in or below it, or does not exist.
    """
    if not folder:
        raise RegistryError(
            f"{use!r} is a file beside a registry file that is not read here; name the registry file with --registry "
            f"or {ENVIRONMENT}"
        )
    root = Path(folder).resolve()
    path = (root / use.partition(":")[0]).resolve()
    if not path.is_relative_to(root) or path.suffix != ".py":
        raise RegistryError(f"found {use!r}, expected a .py file in or below the registry file's folder {root}")
    if not path.is_file():
        raise RegistryError(f"{use!r}: there is no file {path}")
    return path


def _import_file(path: Path) -> ModuleType:
    """Imports a Python file under a name of its own; a file that was edited is imported again."""
    name = f"gqn_zoo_file_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]}"
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification is not None and specification.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(specification)
        try:
            specification.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def component_source(use: str, *, folder: str = "") -> ComponentSource | None:
    """Returns distribution, version and source hash of a third party's component; None for a shipped one.

    The hash is that of the file ``./file.py``, else of all Python files of the module's top-level package.

    Raises:
        RegistryError: as ``file_beside``.
    """
    module, colon, _ = use.partition(":")
    top = module.partition(".")[0]
    if not colon or top == "zoo":
        return None
    if use.startswith(BESIDE):
        path = file_beside(use, folder)
        return ComponentSource(distribution=None, version=None, sha256=_hash({path.name: path}))
    return _source_of_package(top)


@functools.cache  # a process imports a package once, so that its source is that of the first import
def _source_of_package(top: str) -> ComponentSource:
    specification = importlib.util.find_spec(top)
    if specification is None:
        raise RegistryError(f"there is no package {top!r}")
    folders = list(map(Path, specification.submodule_search_locations or ()))
    files = {str(path.relative_to(folder)): path for folder in folders for path in folder.rglob("*.py")}
    if not folders and specification.origin:
        files = {Path(specification.origin).name: Path(specification.origin)}
    # What installed it: by its entry point, which an editable installation has as well, or its files.
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    found = next((point.dist for point in points if point.value.partition(".")[0] == top and point.dist), None)
    names = importlib.metadata.packages_distributions().get(top) if found is None else None
    distribution = importlib.metadata.distribution(names[0]) if names else found
    return ComponentSource(
        distribution=distribution.name if distribution else None,
        version=distribution.version if distribution else None,
        sha256=_hash(files),
    )


def _hash(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
