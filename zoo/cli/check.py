"""``gqn-zoo check``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from zoo.cli.options import Json, RegistryFiles, Set, Size, complete_variants
from zoo.errors import ConfigError
from zoo.registry.registry import default_registry


def run(
    name: Annotated[str | None, typer.Argument(help="A registered variant.", autocompletion=complete_variants)] = None,
    every_variant: Annotated[bool, typer.Option("--all", help="Check every registered variant.")] = False,
    size: Size = "smoke",
    overrides: Set = [],
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Run the conformance checks on a variant, in seconds: types and shapes, gradients, independence of scenes, order
    of views, padding, target leaks, KL, and that the ELBO is a bound for the model that is sampled from.

    Run it on a new variant before training. Every failure names the file and line of the component to look at. Exits
    with code 1 if a check failed.
    """
    from zoo.checks.failures import CheckFailedError
    from zoo.checks.runner import run_checks

    if (name is None) == (not every_variant):
        raise ConfigError("check: expected the name of a variant, or --all")
    registry = default_registry()
    records: list[dict[str, str]] = []
    first_with: dict[tuple[str, str, str], str] = {}  # variant, location, start of the message -> check
    for variant in registry.names() if name is None else [name]:
        for result in run_checks(registry.variant(variant, size=size, overrides=overrides)):
            records.append({"variant": variant, **result._asdict()})
            if as_json:
                continue
            problem = (variant, result.location, result.message.partition(", expected")[0])
            first = first_with.setdefault(problem, result.check) if result.location else result.check
            message = result.message if first == result.check else f"as in {first}"
            place = f" ({result.location})" if result.location else ""
            typer.echo(f"{variant}: {result.check}: {result.status}{': ' + message if result.message else ''}{place}")
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    failures = sum(record["status"] == "failed" for record in records)
    if failures:
        raise CheckFailedError(f"{failures} check(s) failed")
