"""Tables of the site's reference, made from the code: settings, file formats, commands and metrics."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

import pydantic
import typer.main

import zoo
from zoo.analysis.catalogue import ANALYSES
from zoo.bench.suite.settings import SuiteFile
from zoo.cli.main import app
from zoo.comparison import claim_file
from zoo.config.recipe import TrainingRecipe
from zoo.model import tasks
from zoo.registry.components import Kind, available, find_component
from zoo.registry.registry import Entry
from zoo.results.metrics import METRICS

Schema = Mapping[str, Any]


def cell(text: str) -> str:
    """Returns a text as the content of a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("[", "\\[").replace("*", "\\*").replace("<", "&lt;").split())


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a Markdown table; cells are Markdown."""
    heads = list(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def type_of(schema: Schema) -> str:
    """Returns the type of a value in words, from its JSON schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(type_of(part) for part in schema["anyOf"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema['items'])}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"mapping of names to {type_of(inner)}" if isinstance(inner, dict) else "mapping"
    names = {"integer": "int", "number": "float", "boolean": "bool", "string": "str"}
    bounds = [
        f"{sign} {schema[key]:g}" if not isinstance(schema[key], int) else f"{sign} {schema[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in schema
    ]
    kind = str(schema.get("type", "any value"))
    return " ".join([names.get(kind, kind), *([", ".join(bounds)] if bounds else [])])


def schema_rows(schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    """Yields key, type, default and meaning of every field of a JSON schema, as Markdown."""
    for name, field in schema.get("properties", {}).items():
        if "default" in field:
            default = f"`{json.dumps(field['default'], ensure_ascii=False)}`"
        else:
            default = "required" if name in schema.get("required", ()) else ""
        yield f"`{name}`", cell(type_of(field)), default, cell(field.get("description", ""))


def schema_tables(model: type[pydantic.BaseModel], *, level: int, title: str = "") -> str:
    """Returns a table of a class of settings, followed by one for each class within it.

    Args:
        model: the class.
        level: of the headings of the classes within it.
        title: heading of the first table; empty: none.
    """
    schema = model.model_json_schema()
    heads = ("key", "type", "default", "meaning")
    parts = [f"{'#' * level} {title}" if title else "", table(heads, schema_rows(schema))]
    for name, inner in schema.get("$defs", {}).items():
        summary = str(inner.get("description", "")).partition("\n\n")[0]
        parts += [f"{'#' * (level + 1)} {name}", cell(summary), table(heads, schema_rows(inner))]
    return "\n\n".join(part for part in parts if part)


def components(kind: Kind) -> str:
    """Returns class documentation and settings of every shipped component of a kind."""
    parts: list[str] = []
    for use in sorted(tasks.by_name()) if kind == "task" else available(kind):
        found = find_component(kind, use, file="reference")
        parts += [
            f"### `{use}`",
            f"```{{eval-rst}}\n.. autoclass:: {found.__module__}.{found.__qualname__}\n   :no-members:\n```",
            schema_tables(found.Config, level=3) if found.Config.model_fields else "It has no settings.",
        ]
    return "\n\n".join(parts)


def recipe() -> str:
    """Returns the settings of the training recipe."""
    return schema_tables(TrainingRecipe, level=2)


def registry_entry() -> str:
    """Returns the fields of an entry of a registry file, without those of its recipe."""
    schema = Entry.model_json_schema()
    heads = ("key", "type", "default", "meaning")
    reference = table(heads, schema_rows(schema["$defs"]["Reference"]))
    base = ("`base`", "str", "", "another variant, of which this entry inherits what it leaves out")
    rows = [base, *schema_rows(schema)]
    return f"{table(heads, rows)}\n\n### Reference\n\n{reference}"


def metrics() -> str:
    """Returns the metrics of result rows."""
    rows = ((f"`{name}`", cell(each.title), cell(each.unit), each.arrow) for name, each in METRICS.items())
    return table(("name in rows", "title in tables", "unit", "better"), rows)


def analyses() -> str:
    """Returns the analyses of trained models."""
    rows = (
        (f"`{name}`", cell(each.title), cell(each.needs), ", ".join(f"`{run}`" for run in each.runs))
        for name, each in ANALYSES.items()
    )
    return table(("analysis", "claim", "every model needs", "default weights"), rows)


def commands() -> str:
    """Returns every command of the program with arguments and options."""
    program = typer.main.get_command(app)
    context = program.make_context("gqn-zoo", [], resilient_parsing=True)
    return "\n\n".join(_commands_below(program, context, "gqn-zoo"))


def _commands_below(group: Any, context: Any, path: str) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        if hasattr(command, "list_commands"):
            yield from _commands_below(command, inner, f"{path} {name}")
            continue
        usage = " ".join([path, name, *command.collect_usage_pieces(inner)])
        help_text = inspect.cleandoc(command.help or "").replace("<", "&lt;").replace("*", "\\*")
        records = [each.get_help_record(inner) for each in command.get_params(inner) if "--help" not in each.opts]
        rows = [(f"`{record[0]}`".replace("|", "\\|"), cell(record[1])) for record in records if record]
        yield f"## {path} {name}\n\n```text\n{usage}\n```\n\n{help_text}\n\n{table(('argument or option', 'meaning'), rows)}"


def attributes(documented: type) -> list[tuple[str, str, str]]:
    """Returns name, type and meaning of the attributes of a class that a comment on their line explains, as Markdown."""
    line = re.compile(r"^    (\w+): ([^=#]+?)(?: = .*?)?\s+# (.*)$", re.MULTILINE)
    return [
        (f"`{name}`", f"`{kind}`", cell(meaning)) for name, kind, meaning in line.findall(inspect.getsource(documented))
    ]


def class_documentation(name: str) -> str:
    """Returns a heading, the docstring with the public methods, and a table of the attributes of a class."""
    module, _, short = name.rpartition(".")
    documented = getattr(importlib.import_module(module), short)
    methods = [
        key
        for key, value in vars(documented).items()
        if not key.startswith("_") and isinstance(value, (FunctionType, property, classmethod, staticmethod))
    ]
    options = f"   :members: {', '.join(methods)}\n" if methods else "   :no-members:\n"
    parts = [f"### {short}", f"```{{eval-rst}}\n.. autoclass:: {name}\n{options}   :member-order: bysource\n```"]
    if found := attributes(documented):
        parts.append(table(("attribute", "type", "meaning"), found))
    return "\n\n".join(parts)


def classes(*names: str) -> str:
    """Returns the documentation of classes, given by their full names."""
    return "\n\n".join(map(class_documentation, names))


def classes_of(*modules: str) -> str:
    """Returns the documentation of the public classes that some modules define."""
    parts: list[str] = []
    for name in modules:
        members = vars(importlib.import_module(name)).items()
        own = [key for key, value in members if inspect.isclass(value) and value.__module__ == name and key[0] != "_"]
        parts += [f"## {name}", classes(*(f"{name}.{key}" for key in own))]
    return "\n\n".join(parts)


def functions() -> str:
    """Returns directives that document the public functions of the package ``zoo``."""
    names = [name for name in zoo.__all__ if inspect.isfunction(getattr(zoo, name))]
    return "\n\n".join(f"```{{eval-rst}}\n.. autofunction:: zoo.{name}\n```" for name in names)


PUBLIC_CLASSES = (
    "zoo.data.scene.Scene",
    "zoo.training.trained_model.TrainedModel",
    "zoo.evaluation.views.ViewPrediction",
    "zoo.model.scene_model.SceneModel",
    "zoo.data.store.SceneStore",
    "zoo.data.store_writer.StoreWriter",
)
GENERATED: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "functions": functions,
    "classes": lambda: classes(*PUBLIC_CLASSES),
    "contract": lambda: classes_of("zoo.model.interfaces", "zoo.episode"),
    "tasks": lambda: components("task"),
    "encoders": lambda: components("encoder"),
    "cores": lambda: components("core"),
    "likelihoods": lambda: components("likelihood"),
    "training-recipe": recipe,
    "registry-entry": registry_entry,
    "suite-file": lambda: schema_tables(SuiteFile, level=2),
    "claims-file": lambda: schema_tables(claim_file._File, level=2),
    "metrics": metrics,
    "analyses": analyses,
}
