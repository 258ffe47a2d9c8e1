"""``gqn-zoo list``."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from zoo.cli.options import Json

Kind = Literal["variant", "encoder", "core", "likelihood", "dataset"]


def run(
    pattern: Annotated[str, typer.Argument(help="A shell pattern, for example 'gqn-*'.")] = "*",
    kind: Annotated[Kind, typer.Option("--kind", help="What to list.")] = "variant",
    exclude: Annotated[str | None, typer.Option("--exclude", help="Leave out what matches this pattern.")] = None,
    as_json: Json = False,
) -> None:
    """List what exists: variants with their parts and papers, or encoders, cores, likelihoods, built-in data sets."""
    from fnmatch import fnmatchcase

    from zoo.errors import RegistryError, did_you_mean
    from zoo.registry.components import KINDS, available
    from zoo.registry.registry import default_registry

    registry = default_registry()
    if kind == "variant":
        known = registry.names()
    elif kind == "dataset":
        from zoo.data.render.recipes import RECIPES

        known = sorted(RECIPES)
    else:
        known = available(kind)
    names = [name for name in known if fnmatchcase(name, pattern) and not (exclude and fnmatchcase(name, exclude))]
    if not names:
        raise RegistryError(f"no {kind} matches {pattern!r}{did_you_mean(pattern, known)}")
    if kind != "variant":
        typer.echo(json.dumps(names) if as_json else "\n".join(names))
        return
    entries = {name: registry.entry(name)[0] for name in names}
    if as_json:
        described = {
            name: {
                "title": entry.title,
                "paper": entry.paper,
                "status": entry.status,
                "image_size": entry.image_size,
                **{part: entry.use(part) for part in KINDS},
                "sizes": ["full", *entry.sizes],
            }
            for name, entry in entries.items()
        }
        typer.echo(json.dumps(described, indent=2))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from zoo.cli.screen import stdout_console

    table = Table("variant", "task", "encoder", "core", "likelihood", "pixels", "status", "paper", box=box.SIMPLE_HEAD)
    for name, entry in entries.items():
        parts_used = [entry.use(kind) for kind in KINDS]
        cells = [name, *parts_used, str(entry.image_size), entry.status, entry.paper.split(",")[0]]
        table.add_row(*(Text(cell) for cell in cells))
    stdout_console().print(table)
