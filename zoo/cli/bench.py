"""``gqn-zoo bench``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo.cli.options import Contexts, Cpu, Set, Size, numbers

REPEATS = 10


def run(
    models: Annotated[
        str, typer.Option("--models", help="Patterns separated by commas, for example 'gqn-*,vae'.")
    ] = "*",
    exclude: Annotated[str | None, typer.Option("--exclude", help="Leave out what matches this pattern.")] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of scenes to train and measure on; none: speeds alone, on noise."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for rows, runs and tables.")] = Path("results"),
    size: Size = "full",
    overrides: Set = [],  # noqa: B006  (typer copies it)
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates of every run.")] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", help="Seeds separated by commas; every variant is trained with each.")
    ] = "0",
    contexts: Contexts = None,
    importance_samples: Annotated[
        int, typer.Option("-K", "--importance-samples", min=0, help="K of the importance-weighted bound.")
    ] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Measure on the first so many test scenes.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", min=1, help=f"Repetitions of the speed measurement ({REPEATS}; of the suite: 5)."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("-j", "--workers", min=0, help="Processes that read scenes. Default: by device and cores."),
    ] = None,
    compile_model: Annotated[bool, typer.Option("--compile", help="Compile the models with torch.compile.")] = False,
    cpu: Cpu = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done.")] = False,
    suite: Annotated[
        Literal["variants", "speed"],
        typer.Option("--suite", help="speed: how fast the networks are computed, into OUTPUT/speed."),
    ] = "variants",
    parts: Annotated[
        str | None,
        typer.Option("--limit-to", help="Parts of the speed suite separated by commas, for example scaling."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The speed suite at the smallest sizes.")] = False,
    record: Annotated[
        Path | None, typer.Option("--from", help="Make the speed suite's tables and pictures of this record again.")
    ] = None,
) -> None:
    """Train and measure several variants, each in a process of its own; rows, failures included, go to OUTPUT/rows.

    The same command goes on where it was interrupted: runs are resumed, and what has a row already is not measured again.
    With --suite speed nothing is trained: the fast core runs against the plain loop of the textbook, and against the
    machine; a full run takes about 10 minutes on two idle cores.
    """
    if suite == "speed":
        _speed(output, parts=parts, quick=quick, repeats=repeats, record=record)
        return
    _refuse({"--limit-to": parts, "--quick": quick, "--from": record})
    from zoo.cli import screen
    from zoo.data.opening import open_scenes
    from zoo.errors import RegistryError, did_you_mean
    from zoo.measuring import Protocol, label_of
    from zoo.registry import default_registry, resolve
    from zoo.report.markup import to_terminal
    from zoo.report.tables import tables_of, write_tables
    from zoo.results import load_rows
    from zoo.suite import Job, carry_out_all, finished, run_folder
    from zoo.training.trainer import TrainingOptions

    if data is not None:
        open_scenes(data, "train")
    registry = default_registry()
    names: list[str] = []
    for pattern in models.split(","):
        found = registry.names(pattern.strip(), exclude=exclude)
        if not found:
            raise RegistryError(
                f"no variant matches {pattern.strip()!r}{did_you_mean(pattern.strip(), registry.names())}"
            )
        names += [name for name in found if name not in names]
    changes = [*overrides, *([f"training.steps={steps}"] if steps else [])]
    protocol = Protocol(importance_samples=importance_samples, max_scenes=limit, repeats=repeats or REPEATS)
    options = TrainingOptions(compile=compile_model, workers="auto" if workers is None else workers)
    jobs = []
    for name in names:
        variant = registry.variant(name, size=size, overrides=changes)
        if overrides:
            resolve(variant)  # a slip of the pen is not a failure of the variant
        for seed in numbers(seeds, option="--seeds"):
            assert seed is not None
            jobs.append(
                Job(
                    variant=variant,
                    data=data,
                    run=run_folder(output, variant, seed=seed),
                    rows=output / "rows",
                    seed=seed,
                    contexts=numbers(contexts, option="--contexts"),
                    protocol=protocol,
                    options=options,
                    cpu=cpu,
                    command=["gqn-zoo", *sys.argv[1:]],
                )
            )
    waiting = [job for job in jobs if not finished(job)]
    if dry_run:
        for job in jobs:
            state = "to do" if job in waiting else "done"
            training = f"{job.variant.training.steps} steps, then measured" if data else "speeds alone"
            typer.echo(f"{label_of(job.variant)}, seed {job.seed}: {training}: {state}")
        return
    if len(waiting) < len(jobs):
        screen.tell(f"{len(jobs) - len(waiting)} of {len(jobs)} have their rows already")
    carry_out_all(waiting, tell=screen.tell)
    rows = load_rows([output])
    results = screen.results()
    results.print(to_terminal(tables_of(rows), width=results.width))
    written = write_tables(rows, output / "tables")
    screen.tell("wrote " + ", ".join(map(str, written)))


def _refuse(options: Mapping[str, object]) -> None:
    """Raises ConfigError if an option was given that belongs to the speed suite."""
    from zoo.errors import ConfigError

    for name, value in options.items():
        if value:
            raise ConfigError(f"{name}: belongs to --suite speed")


def _speed(output: Path, *, parts: str | None, quick: bool, repeats: int | None, record: Path | None) -> None:
    """Runs the speed suite, or shows what it found before."""
    from zoo.cli import screen
    from zoo.report.markup import to_terminal
    from zoo.speed.record import load
    from zoo.speed.showing import show, tables_of
    from zoo.speed.suite import FOLDER, run_suite

    if record is not None:
        found = load(record)
        written = show(found, output / FOLDER)
    else:
        found, written = run_suite(
            output,
            size="quick" if quick else "full",
            repeats=repeats,
            parts=[part.strip() for part in parts.split(",")] if parts else (),
            command=["gqn-zoo", *sys.argv[1:]],
            tell=screen.tell,
        )
    results = screen.results()
    results.print(to_terminal(tables_of(found), width=results.width))
    screen.tell("wrote " + ", ".join(map(str, written)))
    if any(part.failures for part in found.parts):
        raise typer.Exit(1)
