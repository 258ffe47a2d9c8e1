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
    """One setting of a component: its default (an expression, None if there is none) and its meaning."""

    default: ast.expr | None
    meaning: str


class Documentation(NamedTuple):
    """One line about a component's module, the docstring of its class, and its settings."""

    summary: str
    text: str
    settings: dict[str, Setting]

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the value of every setting: the given one, else the default.

        Raises:
            LookupError: if a default is no plain value.
        """
        return {key: given[key] if key in given else _evaluate(each.default) for key, each in self.settings.items()}


def architecture_hash(variant: Variant) -> str | None:
    """Returns a digest of all that decides the number of parameters; None if a component is not a shipped one."""
    parts = {kind: variant.component(kind) for kind in KINDS}
    if any(":" in part.use for part in parts.values()):
        return None
    return hash_config(
        {"image_size": variant.image_size, **{kind: [part.use, part.settings] for kind, part in parts.items()}}
    )


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
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _config_of(node, tree=tree)]
    if kind == "task":
        classes = [node for node in classes if node.name.lower() == use.replace("_", "")]
    if len(classes) != 1:
        raise LookupError(f"{path}: expected one {kind} {use!r}")
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Documentation(
        summary=summary, text=ast.get_docstring(classes[0]) or "", settings=_settings_of(classes[0], tree=tree)
    )


def _config_of(component: ast.ClassDef, *, tree: ast.Module) -> ast.ClassDef | None:
    """Returns the ``Config`` of a class, its own or that of a base in the same module."""
    for node in component.body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            return node
    bases = {ast.unparse(base) for base in component.bases}
    inherited = [
        _config_of(node, tree=tree) for node in tree.body if isinstance(node, ast.ClassDef) and node.name in bases
    ]
    return inherited[0] if inherited else None


def _settings_of(component: ast.ClassDef, *, tree: ast.Module) -> dict[str, Setting]:
    """Returns the fields of ``component.Config``, those of a base such as ``Gqn.Config`` first."""
    config = _config_of(component, tree=tree)
    assert config is not None
    settings: dict[str, Setting] = {}
    for base in config.bases:
        if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
            settings |= _settings_of_import(base.value.id, tree=tree)
        elif ast.unparse(base) != "Settings":
            raise LookupError(f"{component.name}.Config: the settings of {ast.unparse(base)} are not read from source")
    for node in config.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            options = {option.arg: option.value for option in getattr(node.value, "keywords", [])}
            default = options.get("default") if isinstance(node.value, ast.Call) else node.value
            meaning = _evaluate(options["description"]) if "description" in options else ""
            settings[node.target.id] = Setting(default, meaning)
    return settings


def _settings_of_import(name: str, *, tree: ast.Module) -> dict[str, Setting]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            path = Path(__file__).resolve().parents[2] / f"{str(node.module).replace('.', '/')}.py"
            imported = ast.parse(path.read_text(encoding="utf-8"))
            for other in imported.body:
                if isinstance(other, ast.ClassDef) and other.name == name and _config_of(other, tree=imported):
                    return _settings_of(other, tree=imported)
    raise LookupError(f"{name}.Config is not imported from a module of this package")


def _evaluate(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        raise LookupError("a default is not a plain value") from None
