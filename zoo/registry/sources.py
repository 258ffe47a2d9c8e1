"""Registry files: the shipped one, those of the user, and those of installed plug-ins."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.config.settings import load_yaml
from zoo.errors import ConfigError, RegistryError, did_you_mean

ENTRY_POINTS = "gqn_zoo.registry"
ENVIRONMENT = "GQN_ZOO_REGISTRY"
FILE = "registry.yaml"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
DISTRIBUTION = "gqn-zoo"


class RegistryFile(NamedTuple):
    """One registry file."""

    path: Path
    prefix: str = ""  # of its variants' names: empty, or a plug-in's name and a slash
    required: bool = True  # False: that it cannot be read is a warning instead of an error
    problem: str = ""  # why there is no file; empty if there is one


def registry_path() -> Path:
    """Returns the shipped registry file: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package.parent / FILE, package / FILE):
        if candidate.is_file():
            return candidate
    raise RegistryError(f"{package}: {FILE} is neither in nor beside the package; the installation is damaged")


def user_files(named: Iterable[str | Path] = ()) -> tuple[RegistryFile, ...]:
    """Returns the shipped registry file, ``./registry.yaml``, those of ``GQN_ZOO_REGISTRY`` and the named ones.

    The registry.yaml of a checkout of this project takes the place of the shipped copy.
    """
    shipped = registry_path()
    files = {shipped: RegistryFile(shipped)}
    if Path(FILE).is_file():
        files.setdefault(Path(FILE).resolve(), RegistryFile(Path(FILE).resolve(), required=False))
    for path in (Path(path).resolve() for path in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if path):
        files.setdefault(path, RegistryFile(path, required=False))
    files |= {path: RegistryFile(path) for path in (Path(path).expanduser().resolve() for path in named)}
    checkout = next((path for path in files if path != shipped and _is_checkout(path)), None)
    if checkout is not None:
        files = {checkout: RegistryFile(checkout)} | {k: v for k, v in files.items() if k not in (shipped, checkout)}
    return tuple(files.values())


def registry_environment() -> dict[str, str]:
    """Returns the environment in which another process, wherever it runs, reads the registry files of this one."""
    paths = [str(file.path) for file in user_files() if file.path != registry_path()]
    return {ENVIRONMENT: os.pathsep.join(paths)} if paths else {}


def _is_checkout(path: Path) -> bool:
    folder = path.parent
    if path.name != FILE or not (folder / "zoo" / "__init__.py").is_file():
        return False
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return project.get("project", {}).get("name") == DISTRIBUTION


def plug_in_files() -> list[RegistryFile]:
    """Returns the registry files of installed plug-ins, none of which is imported.

    A plug-in is a package that holds a ``registry.yaml`` and declares the entry point
    ``[project.entry-points."gqn_zoo.registry"]  lab = "package"``; its variants are called ``lab/name``.
    """
    files = []
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        top, *inner = point.value.split(".")
        # Only the top package is looked up: to find one inside it would import it.
        specification = importlib.util.find_spec(top) if top.isidentifier() else None
        locations = (specification.submodule_search_locations or ()) if specification else ()
        folder = next((folder for place in locations if (folder := Path(place, *inner)).is_dir()), None)
        problem = "" if folder else f"plug-in {point.name!r}: entry point {point.value!r} is not an installed package"
        path = folder / FILE if folder else Path(point.value)
        files.append(RegistryFile(path, prefix=f"{point.name}/", required=False, problem=problem))
    return files


def read_file(path: Path) -> Mapping[str, Any]:
    """Returns the entries of a registry file as they are written, by name.

    Raises:
        ConfigError, RegistryError: if it is no registry file.
    """
    raw = load_yaml(path)
    expected = ["version", "variants"]
    for key in sorted(set(raw) - set(expected)):
        raise ConfigError(f"{path}: unknown key {key!r}{did_you_mean(key, expected)}")
    if raw.get("version") != 1:
        raise ConfigError(f"{path}: version: found {raw.get('version')!r}, expected 1")
    variants = raw.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise ConfigError(f"{path}: variants: found {type(variants).__name__}, expected a mapping of names to variants")
    for name in variants:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise RegistryError(
                f"{path}: variants: {name!r} is not a name (lower-case letters, digits, '.', '_' and '-')"
            )
    return variants


def add_registry_files(paths: Iterable[Path]) -> None:
    """Adds files to those that this process, and those that it starts, read by default.

    Raises:
        ConfigError, RegistryError: as ``read_file``.
    """
    for path in paths:
        read_file(path)
        listed = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = f"{listed}{os.pathsep}{path.resolve()}" if listed else str(path.resolve())
