"""``gqn-zoo describe``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import typer

from zoo.cli.options import Json, Name, RegistryFiles, Set, Size
from zoo.config.settings import flatten
from zoo.registry.components import KINDS, Kind
from zoo.registry.documentation import documentation_of, parameter_count
from zoo.registry.registry import default_registry
from zoo.registry.variant import Variant, build, resolve


class Description(NamedTuple):
    """A variant in plain values, with the docstrings and the meanings of the settings of its components."""

    config: dict[str, Any]
    parameters: int
    texts: Mapping[Kind, str]
    meanings: Mapping[Kind, Mapping[str, str]]


def run(
    name: Name,
    size: Size = "full",
    overrides: Set = [],
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Describe a variant: what it models, every setting with its meaning, parameters, published figures."""
    variant = default_registry().variant(name, size=size, overrides=overrides)
    found = _from_source(variant) or _from_import(variant)
    if as_json:
        facts = {"title": variant.title, "paper": variant.paper, "status": variant.status}
        reference = [item.model_dump() for item in variant.reference]
        values = {**facts, "parameters": found.parameters, "config": found.config, "reference": reference}
        typer.echo(json.dumps(values, indent=2))
        return
    typer.echo(f"{name} (size {size}): {variant.title}\n{variant.paper or variant.status}\n")
    images = f"    images: {variant.image_size}x{variant.image_size}" if variant.image_size else ""
    typer.echo(f"parameters: {found.parameters:,}{images}\n")
    for kind in KINDS:
        settings = dict(found.config[kind])
        typer.echo(f"{kind}: {settings.pop('use')}")
        for line in found.texts[kind].splitlines():
            typer.echo(f"    {line}" if line else "")
        for key, value in settings.items():
            _print_setting(f"{kind}.{key}", value, found.meanings[kind].get(key, ""))
        typer.echo("")
    typer.echo("training")
    for setting in flatten(variant.training, prefix="training."):
        _print_setting(*setting)
    for item in variant.reference:
        typer.echo(f"published: {item.metric} {item.value} {item.unit} ({item.source})")
    key, value = next(reversed(found.config["core"].items()))
    typer.echo(
        f"\nChange a setting with --set, for example --set core.{key}={value}; "
        f"train with: gqn-zoo train {name} --data FOLDER -o RUN"
    )


def _from_source(variant: Variant) -> Description | None:
    """Describes a variant without importing torch; None if its number of parameters or a setting is not known so."""
    parameters = parameter_count(variant)
    if parameters is None:
        return None
    try:
        components = {kind: documentation_of(kind, variant.component(kind).use) for kind in KINDS}
        values = {kind: component.values(variant.component(kind).settings) for kind, component in components.items()}
    except LookupError:
        return None
    texts = {kind: component.text for kind, component in components.items()}
    meanings = {
        kind: {key: each.meaning for key, each in component.settings.items()} for kind, component in components.items()
    }
    return Description(variant.config(values), parameters, texts, meanings)


def _from_import(variant: Variant) -> Description:
    """Describes a variant by its imported components; its model is built without memory for the weights."""
    import torch

    with torch.device("meta"):
        parameters = build(variant).num_parameters
    components = resolve(variant)
    texts = {kind: inspect.getdoc(component.component_class) or "" for kind, component in components.items()}
    meanings = {
        kind: {key: meaning for key, _, meaning in flatten(component.config, prefix="")}
        for kind, component in components.items()
    }
    return Description(variant.config(), parameters, texts, meanings)


def _print_setting(key: str, value: Any, meaning: str) -> None:
    typer.echo(f"    {key} = {json.dumps(value)}{'    ' if meaning else ''}{meaning}")
