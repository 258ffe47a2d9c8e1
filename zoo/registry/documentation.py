"""Descriptions, settings and parameter counts of shipped components and variants, read without importing torch.

Importing a component imports torch, which takes seconds. Here the source of a component is parsed instead of executed,
and parameter counts come from ``parameter_counts.json``, which ``tests/registry/test_documentation.py`` compares with the
models.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.provenance import hash_config
from zoo.registry.components import KINDS, Kind, folder_of
from zoo.registry.variant import Variant

COUNTS = Path(__file__).with_name("parameter_counts.json")
TASKS = Path(__file__).resolve().parent.parent / "model" / "tasks.py"


class Setting(NamedTuple):
    """One setting of a component."""

    default: ast.expr | None  # None if there is none
    meaning: str


class Documentation(NamedTuple):
    """A component as its source describes it."""

    summary: str  # the first line about its module
    text: str  # the docstring of its class
    settings: dict[str, Setting]

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the value of every setting: the given one, else the default.

        Raises:
            LookupError: if a default is no plain value.
        """
        return {key: given[key] if key in given else _evaluate(each.default) for key, each in self.settings.items()}


def architecture_hash(variant: Variant) -> str | None:
    """Returns a digest of all that decides the number of parameters; None if a component is not a shipped one."""
    components = {kind: variant.component(kind) for kind in KINDS}
    if any(":" in component.use for component in components.values()):
        return None
    settings: dict[str, Any] = {kind: [component.use, component.settings] for kind, component in components.items()}
    return hash_config({"image_size": variant.image_size, **settings})


def parameter_count(variant: Variant) -> int | None:
    """Returns the number of parameters of a variant whose architecture is that of a shipped one, else None."""
    return _counts().get(architecture_hash(variant) or "")


@functools.cache
def _counts() -> dict[str, int]:
    return json.loads(COUNTS.read_text(encoding="utf-8"))


def documentation_of(kind: Kind, use: str) -> Documentation:
    """Returns the documentation of a shipped component.

    Raises:
        LookupError: if the source has no such component, or settings that only an import can read.
    """
    path = TASKS if kind == "task" else folder_of(kind) / f"{use}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _config_of(node, tree)]
    if kind == "task" or len(classes) > 1:
        classes = [node for node in classes if node.name.lower() == use.replace("_", "")]
    if len(classes) != 1:
        raise LookupError(f"{path}: expected one {kind} {use!r}")
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    config = _config_of(classes[0], tree)
    assert config is not None
    return Documentation(summary, ast.get_docstring(classes[0]) or "", _settings_of(*config))


def _find_class(name: str, tree: ast.Module) -> tuple[ast.ClassDef, ast.Module] | None:
    """Returns a class of this module, or of one of this package from which the module imports it, with its module."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node, tree
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            path = Path(__file__).resolve().parents[2] / f"{str(node.module).replace('.', '/')}.py"
            return _find_class(name, ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return None


def _config_of(component: ast.ClassDef, tree: ast.Module) -> tuple[ast.ClassDef, ast.Module] | None:
    """Returns the class ``Config`` of a component, its own or that of a base, with its module."""
    for node in component.body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            return node, tree
    bases = [_find_class(ast.unparse(base), tree) for base in component.bases]
    return next((found for base in bases if base is not None and (found := _config_of(*base))), None)


def _settings_of(config: ast.ClassDef, tree: ast.Module) -> dict[str, Setting]:
    """Returns the fields of a class of settings, those of bases such as ``Gqn.Config`` or ``PoseInputs`` first."""
    settings: dict[str, Setting] = {}
    for base in map(ast.unparse, config.bases):
        if base == "Settings":
            continue
        owner = _find_class(base.removesuffix(".Config"), tree)
        if owner is not None and base.endswith(".Config"):
            owner = _config_of(*owner)
        if owner is None:
            raise LookupError(f"{config.name}: the settings of {base} are not read from source")
        settings |= _settings_of(*owner)
    for node in config.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            options = {option.arg: option.value for option in getattr(node.value, "keywords", [])}
            default = options.get("default") if isinstance(node.value, ast.Call) else node.value
            meaning = _evaluate(options["description"]) if "description" in options else ""
            settings[node.target.id] = Setting(default, meaning)
    return settings


def _evaluate(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        raise LookupError("a default is not a plain value") from None
