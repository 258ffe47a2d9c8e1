"""``gqn-zoo bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import (
    Contexts,
    Cpu,
    ImportanceSamples,
    Json,
    RegistryFiles,
    Set,
    parse_importance_samples,
    parse_numbers,
)


def run(
    models: Annotated[
        str,
        typer.Option(
            "--models", help="Patterns separated by commas, for example 'gqn-*,vae'; other variants are left out."
        ),
    ] = "*",
    exclude: Annotated[str | None, typer.Option("--exclude", help="Leave out what matches this pattern.")] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of scenes to train and measure on; none: speeds alone, on noise."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for rows, runs and tables.")] = Path("results"),
    size: Annotated[
        str | None,
        typer.Option("--size", help="full (the default), or another size of the variants: smoke, quickstart."),
    ] = None,
    overrides: Set = [],  # noqa: B006  (typer copies it)
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates of every run.")] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", help="Seeds separated by commas, for every variant. Default: 0, or the suite's."),
    ] = None,
    contexts: Contexts = None,
    importance_samples: ImportanceSamples = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Measure on the first so many test scenes.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", min=1, help="Repetitions of the speed measurement (10, or the suite's)."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("-j", "--workers", min=0, help="Processes that read scenes. Default: by device and cores."),
    ] = None,
    compile_model: Annotated[bool, typer.Option("--compile", help="Compile the models with torch.compile.")] = False,
    cpu: Cpu = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every job with its cost and status; write nothing.")
    ] = False,
    as_json: Json = False,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            metavar="NAME|FILE",
            help="quickstart, smoke, cpu, paper, throughput, localisation, functions, or a file of your own (.yaml).",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume", help="Continue with the rows of OUTPUT; --no-resume refuses a folder with rows."
        ),
    ] = True,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed jobs again.")] = False,
    limit_jobs: Annotated[
        int | None, typer.Option("--limit-jobs", min=1, help="Run so many jobs; the same command runs the rest.")
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel",
            min=1,
            help="Jobs at a time, which share the cores and disturb each other's timings. Default: one per GPU, else 1.",
        ),
    ] = None,
    gpus_per_job: Annotated[
        int, typer.Option("--gpus-per-job", min=1, help="GPUs that train one job together, through accelerate.")
    ] = 1,
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="Submit the jobs, for example to slurm (needs the extra 'cluster').")
    ] = None,
    cluster_options: Annotated[
        list[str],
        typer.Option("--cluster-option", metavar="KEY=VALUE", help="For submitit, for example slurm_partition=gpu."),
    ] = [],  # noqa: B006  (typer copies it)
    registry_files: RegistryFiles = [],  # noqa: B006  (typer copies it)
) -> None:
    """Train and measure several variants, each in a process of its own; rows, also of failures, go to OUTPUT/rows.

    The same command resumes where it was interrupted or killed; what has a row is not measured again. A suite file lists
    variants, scenes, seeds and budgets; its scenes are made when they are needed. Exit code 1 if a job failed.
    """
    from zoo.bench.suite.plan import SuiteSelection
    from zoo.bench.suite.settings import load_suite, suite_of_options
    from zoo.cli import screen
    from zoo.cli.bench_suite import ExecutionOptions, SuiteCommand, print_tables
    from zoo.config.settings import parse_overrides
    from zoo.errors import ConfigError
    from zoo.training.options import TrainingOptions

    if as_json and not dry_run:
        raise ConfigError("--json: requires --dry-run")
    execution = ExecutionOptions(
        resume=resume,
        retry=retry,
        limit=limit_jobs,
        cpu=cpu,
        parallel=parallel,
        gpus_per_job=gpus_per_job,
        cluster=cluster,
        cluster_options=cluster_options,
    )
    if suite is None:
        loaded = suite_of_options(
            data=data,
            size=size or "full",
            changes=parse_overrides(overrides),
            contexts=[] if contexts is None else parse_numbers(contexts, option="--contexts"),
            importance_samples=parse_importance_samples(importance_samples),
        )
    else:
        given = {"--data": data, "--size": size, "--set": overrides, "--contexts": contexts, "-K": importance_samples}
        for name, value in given.items():
            if value:
                raise ConfigError(f"{name}: the file of --suite {suite} has this setting")
        loaded = load_suite(suite)
    selection = SuiteSelection(
        models=models.split(","),
        exclude=exclude,
        seeds=None if seeds is None else parse_numbers(seeds, option="--seeds"),
        steps=steps,
        scenes=limit,
        repeats=repeats,
    )
    command = SuiteCommand(
        suite=loaded,
        output=output,
        selection=selection,
        training=TrainingOptions(compile=compile_model, workers="auto" if workers is None else workers),
        execution=execution,
    )
    if dry_run:
        command.dry_run(as_json=as_json)
        return
    done = command.run()
    screen.log("wrote " + ", ".join(map(str, print_tables(output))))
    if done.failures:
        raise typer.Exit(1)
