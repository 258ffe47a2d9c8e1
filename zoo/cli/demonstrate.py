"""``gqn-zoo demonstrate``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Seed


def run(
    name: Annotated[str | None, typer.Argument(help="Which one; left out, all are listed.")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for data, runs and images; what is there is used again.")
    ] = Path("demonstrations"),
    everything: Annotated[bool, typer.Option("--all", help="Run every demonstration.")] = False,
    seed: Seed = 0,
) -> None:
    """Show a paper's point on built-in data, in minutes: train small models, test the claim, draw the figure.

    Exit code 1 if a claim does not come out.
    """
    from zoo.analysis.base import AnalysisContext, demonstrate, demonstration, names
    from zoo.cli import screen
    from zoo.errors import ConfigError

    if name is not None and everything:
        raise ConfigError("demonstrate: expected a name or --all, not both")
    if name is None and not everything:
        for known in names():
            shown = demonstration(known)
            typer.echo(f"{known}: {shown.TITLE} ({shown.PAPER}; about {shown.MINUTES} minutes)")
        return
    chosen = names() if name is None else [name]
    workshop = AnalysisContext(folder=output, tell=screen.log, seed=seed)
    failed = False
    for each in chosen:
        started = time.monotonic()
        report = demonstrate(each, workshop, command=["gqn-zoo", *sys.argv[1:]])
        for claim in report.claims:
            screen.stdout_console().print(f"{each}: {claim.sentence}", soft_wrap=True)
            failed |= not claim.holds
        screen.log(f"{each}: {time.monotonic() - started:.0f} s; images in {output}")
    if failed:
        raise typer.Exit(1)
