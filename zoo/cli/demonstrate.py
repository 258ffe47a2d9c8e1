"""``gqn-zoo demonstrate``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from zoo.analysis.catalogue import DEMONSTRATIONS, find_demonstration
from zoo.cli import screen
from zoo.cli.options import RegistryFiles, Seed
from zoo.errors import ConfigError


def run(
    name: Annotated[str | None, typer.Argument(help="The analysis; without a name all are listed.")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for data, runs and images; existing ones are used again.")
    ] = Path("demonstrations"),
    everything: Annotated[bool, typer.Option("--all", help="Run every analysis.")] = False,
    seed: Seed = 0,
    registry_files: RegistryFiles = [],
) -> None:
    """Test a paper's claim on built-in data in minutes: train small models, judge the claims, draw figures.

    Exits with code 1 if a claim does not hold.
    """
    if name is not None and everything:
        raise ConfigError("demonstrate: expected a name or --all, not both")
    if name is None and not everything:
        for known, analysis in DEMONSTRATIONS.items():
            typer.echo(f"{known}: {analysis.title} ({analysis.paper}; {analysis.minutes} min)")
        return
    if name is not None:
        find_demonstration(name)
    names = list(DEMONSTRATIONS) if name is None else [name]

    from zoo.analysis.context import AnalysisContext, run_analysis

    context = AnalysisContext(folder=output, log=screen.log, seed=seed)
    failed = False
    for each in names:
        started = time.monotonic()
        for claim in run_analysis(each, context, command=["gqn-zoo", *sys.argv[1:]]):
            screen.stdout_console().print(f"{each}: {claim.sentence}", soft_wrap=True)
            failed |= not claim.holds
        screen.log(f"{each}: {time.monotonic() - started:.0f} s; images in {output}")
    if failed:
        raise typer.Exit(1)
