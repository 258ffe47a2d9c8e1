"""Registry files: ours and those of installed plug-ins."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import NamedTuple

from zoo.errors import RegistryError

ENTRY_POINTS = "gqn_zoo.registry"


class RegistryFile(NamedTuple):
    """One registry file: ours has no prefix, a plug-in's is its entry point's name and a slash."""

    path: Path
    prefix: str


def registry_path() -> Path:
    """Returns our registry file: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
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
