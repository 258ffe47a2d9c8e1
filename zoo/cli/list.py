"""``gqn-zoo list``."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from zoo.cli.options import Json, RegistryFiles, complete_variants
from zoo.cli.screen import stdout_console
from zoo.errors import ConfigError, RegistryError, did_you_mean
from zoo.registry.components import KINDS, available
from zoo.registry.documentation import documentation_of, parameter_count
from zoo.registry.registry import Registry, default_registry
from zoo.registry.sources import registry_path

Kind = Literal["variant", "encoder", "core", "likelihood", "dataset"]
Pattern = str | None


def run(
    pattern: Annotated[
        str, typer.Argument(help="A shell pattern, for example 'gqn-*'.", autocompletion=complete_variants)
    ] = "*",
    kind: Annotated[Kind, typer.Option(help="What to list.")] = "variant",
    exclude: Annotated[Pattern, typer.Option(help="Leave out names that match this pattern.")] = None,
    task: Annotated[Pattern, typer.Option(help="Only variants with this task; a pattern.")] = None,
    encoder: Annotated[Pattern, typer.Option(help="Only variants with this encoder; a pattern.")] = None,
    core: Annotated[Pattern, typer.Option(help="Only variants with this core; a pattern.")] = None,
    status: Annotated[
        Literal["paper", "baseline", "extension"] | None, typer.Option(help="Only variants of this status.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Also task, likelihood, pixels, status and title.")] = False,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="List shipped weights with variant, data, excess NELBO and bytes.")
    ] = False,
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """List variants with their components and numbers of parameters, or encoders, cores, likelihoods or data sets."""
    registry = default_registry()
    filters: dict[str, Pattern] = {"task": task, "encoder": encoder, "core": core, "status": status}
    given = {key: value for key, value in filters.items() if value is not None}
    if (given or pretrained) and kind != "variant":
        raise ConfigError(f"--{next(iter(given), 'pretrained')}: filters variants, found --kind {kind}")
    rows = _shipped(registry) if pretrained else _variants(registry) if kind == "variant" else _components(kind)
    names = [
        name
        for name, row in rows.items()
        if fnmatchcase(name, pattern.lower())
        and not (exclude and fnmatchcase(name, exclude.lower()))
        and all(fnmatchcase(str(row[key]), value) for key, value in given.items())
    ]
    for key, value in given.items():
        known = {str(row[key]) for row in rows.values()}
        if not any(fnmatchcase(each, value) for each in known):
            raise RegistryError(f"--{key}: no variant has {key} {value!r}{did_you_mean(value, known)}")
    if not names:
        chosen = "".join(f" with {key} {value!r}" for key, value in given.items())
        raise RegistryError(
            f"no {'weights' if pretrained else kind} matches {pattern!r}{chosen or did_you_mean(pattern, rows)}"
        )
    if as_json:
        typer.echo(json.dumps({name: rows[name] for name in names}, indent=2))
        return
    columns = ["description"]
    if kind == "variant":
        columns = ["encoder", "core", "parameters"]
        columns += ["task", "likelihood", "image_size", "status", "title"] if wide else []
        columns = ["variant", "data", "nelbo_excess", "bytes", *columns] if pretrained else columns
    headers = ["name" if pretrained else kind, *columns]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        right = header in ("parameters", "image_size", "nelbo_excess", "bytes")
        label = {"parameters": "params", "image_size": "pixels", "nelbo_excess": "excess NELBO"}.get(header, header)
        table.add_column(label, justify="right" if right else "left", no_wrap=header not in ("title", "description"))
    for name in names:
        table.add_row(Text(name), *(Text(_text(rows[name][key])) for key in columns))
    stdout_console().print(table)
    if kind == "variant":
        shipped, *others = registry.files
        if shipped.path != registry_path():
            typer.echo(f"read instead of the shipped registry: {shipped.path}")
        for file in others:
            if not file.problem:
                typer.echo(f"also read: {file.path}")


def _variants(registry: Registry) -> dict[str, dict[str, Any]]:
    rows = {}
    for name in registry.names():
        entry, file = registry.entry(name)
        uses: dict[str, str] = {each: entry.use(each) for each in KINDS}
        rows[name] = {
            "title": entry.title,
            "paper": entry.paper,
            "status": entry.status,
            "image_size": entry.image_size,
            **uses,
            "parameters": parameter_count(registry.variant(name)),
            "sizes": ["full", *entry.sizes],
            "file": file,
        }
    return rows


def _shipped(registry: Registry) -> dict[str, dict[str, Any]]:
    """Returns the shipped weights by name, with the filtered columns of their variants."""
    from zoo.results.weights import read_card, shipped_names, weights_folder

    variants, rows = _variants(registry), dict[str, dict[str, Any]]()
    for name in shipped_names():
        card = read_card(weights_folder() / name)
        config, row = card.config, card.evaluation[0]
        excess = row.metrics.get("nelbo_excess")
        known = variants.get(config["variant"], {"title": config["variant"], "status": None})
        rows[name] = {
            **{key: known[key] for key in ("title", "status")},
            **{kind: config[kind]["use"] for kind in KINDS},
            "variant": row.variant,
            "image_size": config["image_size"],
            "parameters": row.model and row.model.parameters,
            "data": config["data"]["name"],
            "nelbo_excess": excess and excess.value,
            "bytes": card.bytes,
            "sha256": card.sha256,
        }
    return rows


def _components(kind: Literal["encoder", "core", "likelihood", "dataset"]) -> dict[str, dict[str, Any]]:
    if kind == "dataset":
        from zoo.data.render.recipes import RECIPES

        return {name: {"description": recipe.description} for name, recipe in sorted(RECIPES.items())}
    return {name: {"description": documentation_of(kind, name).summary} for name in available(kind)}


def _text(value: Any) -> str:
    if isinstance(value, int):
        return f"{value / 1e6:.2f}M" if value >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else str(value)
