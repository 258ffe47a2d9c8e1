"""Components by name: the file of an encoder, core or likelihood, a task, or a class of a third party."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from zoo.errors import RegistryError, did_you_mean

if TYPE_CHECKING:
    from zoo.model.interfaces import Component

Kind = Literal["task", "encoder", "core", "likelihood"]
KINDS: tuple[Kind, ...] = ("task", "encoder", "core", "likelihood")
FOLDERS: Mapping[str, str] = MappingProxyType(
    {"encoder": "zoo.encoders", "core": "zoo.cores", "likelihood": "zoo.likelihoods"}
)


def find_component(kind: Kind, use: str, *, file: str) -> type[Component]:
    """Returns the class that ``use`` names: a file of ours, or ``package.module:Class`` of a third party.

    Raises:
        RegistryError: if there is no such file, module or class, or it is not a part of that kind.
    """
    from zoo.model import interfaces as contract
    from zoo.model import tasks

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
            found = getattr(importlib.import_module(module_name), class_name)
        except Exception as error:  # a third party's module may raise whatever it likes
            raise RegistryError(
                f"{file}: {kind}.use: {use!r} cannot be imported: {type(error).__name__}: {error}"
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
    return contract.find_unique_subclass(importlib.import_module(f"{FOLDERS[kind]}.{use}"), base)


def available(kind: Kind) -> list[str]:
    """Returns the names of our own encoders, cores or likelihoods: the files in their folder."""
    specification = importlib.util.find_spec(FOLDERS[kind])
    assert specification is not None and specification.submodule_search_locations
    folder = Path(specification.submodule_search_locations[0])
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
