"""``gqn-zoo check``."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.options import Set, Size


def run(
    name: Annotated[str | None, typer.Argument(help="A registered variant.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Check every registered variant.")] = False,
    size: Size = "smoke",
    overrides: Set = [],  # noqa: B006  (typer copies it)
) -> None:
    """Try the contract out on a variant, in seconds: shapes, gradients, independence of scenes, order of views,
    padding, leaks, KL, and that what is scored is what is sampled.

    This is what a new variant is run through before it is trained; exit code 1 if it breaks the contract.
    """
    from zoo.checks import CHECKS, CheckFailedError, subject
    from zoo.errors import ConfigError
    from zoo.registry.registry import default_registry

    if (name is None) == (not everything):
        raise ConfigError("check: expected the name of a variant, or --all")
    registry = default_registry()
    failures = 0
    for chosen in registry.names() if name is None else [name]:
        trial = subject(registry.variant(chosen, size=size, overrides=overrides))
        for title, check in CHECKS.items():
            try:
                check(trial)
            except CheckFailedError as error:
                failures += 1
                typer.echo(f"{chosen}: {title}: FAILED: {error}")
            else:
                typer.echo(f"{chosen}: {title}: ok")
    if failures:
        raise CheckFailedError(f"{failures} check(s) failed")
