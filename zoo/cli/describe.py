"""``gqn-zoo describe``."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.options import Json, Set, Size

if TYPE_CHECKING:
    import pydantic


def run(
    name: Annotated[str, typer.Argument(help="A registered variant.")],
    size: Size = "full",
    overrides: Set = [],  # noqa: B006  (typer copies it)
    as_json: Json = False,
) -> None:
    """Tell everything about a variant: what it models, every setting with its meaning, parameters, published figures."""
    from zoo.registry.registry import default_registry
    from zoo.registry.variant import build, resolve

    variant = default_registry().variant(name, size=size, overrides=overrides)
    config = variant.config()
    parameters = build(variant).num_parameters
    if as_json:
        facts = {"title": variant.title, "paper": variant.paper, "status": variant.status, "parameters": parameters}
        typer.echo(
            json.dumps(
                {**facts, "config": config, "reference": [item.model_dump() for item in variant.reference]}, indent=2
            )
        )
        return
    typer.echo(f"{name} (size {size}): {variant.title}\n{variant.paper}\n")
    typer.echo(f"parameters: {parameters:,}    images: {variant.image_size}x{variant.image_size}\n")
    for kind, part in resolve(variant).items():
        summary = inspect.getdoc(part.part) or ""
        typer.echo(f"{kind}: {variant.component(kind).use}")
        for line in summary.splitlines():
            typer.echo(f"    {line}" if line else "")
        _settings(part.config, prefix=f"{kind}.")
        typer.echo("")
    typer.echo("training")
    _settings(variant.training, prefix="training.")
    for item in variant.reference:
        typer.echo(f"published: {item.metric} {item.value} {item.unit} ({item.source})")
    typer.echo(
        f"\nChange any of these with --set, for example --set core.{_example(config)}; train with: gqn-zoo train {name} --data FOLDER -o RUN"
    )


def _example(config: dict[str, Any]) -> str:
    key = next((key for key in config["core"] if key != "use"), "use")
    return f"{key}={config['core'][key]}"


def _settings(settings: pydantic.BaseModel, *, prefix: str) -> None:
    import pydantic

    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if isinstance(value, pydantic.BaseModel):
            _settings(value, prefix=f"{prefix}{key}.")
            continue
        meaning = f"    {field.description}" if field.description else ""
        typer.echo(f"    {prefix}{key} = {json.dumps(value)}{meaning}")
