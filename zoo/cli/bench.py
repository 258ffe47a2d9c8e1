"""``gqn-zoo bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from zoo.bench.suite.settings import Suite

Models = Annotated[
    str,
    typer.Option("--models", help="Patterns separated by commas, such as 'gqn-*,vae'; other variants are left out."),
]
Exclude = Annotated[str | None, typer.Option("--exclude", help="Leave out what matches this pattern.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of scenes to train and measure on; none: speeds alone, on noise.")
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for rows, runs and tables.")]
Size = Annotated[
    str | None, typer.Option("--size", help="full (the default), or another size of the variants: smoke, quickstart.")
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Updates of every run.")]
Seeds = Annotated[
    str | None,
    typer.Option("--seeds", help="Seeds separated by commas, for every variant. Default: 0, or the suite's."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Measure on the first so many test scenes.")]
Repeats = Annotated[
    int | None, typer.Option("--repeats", min=1, help="Repetitions of the speed measurement (10, or the suite's).")
]
Workers = Annotated[
    int | None,
    typer.Option("-j", "--workers", min=0, help="Processes that read scenes. Default: by device and cores."),
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the models with torch.compile.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print every job with its cost and status; write nothing.")]
SuiteName = Annotated[
    str | None,
    typer.Option(
        "--suite",
        metavar="NAME|FILE",
        help="quickstart, smoke, cpu, paper, throughput, localisation, functions, or a file of your own (.yaml).",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume", help="Continue with the rows of OUTPUT; --no-resume refuses a folder with rows."
    ),
]
Retry = Annotated[bool, typer.Option("--retry", help="Run failed jobs again.")]
LimitJobs = Annotated[
    int | None, typer.Option("--limit-jobs", min=1, help="Run so many jobs; the same command runs the rest.")
]
Parallel = Annotated[
    int | None,
    typer.Option(
        "--parallel",
        min=1,
        help="Jobs at a time, which share the cores and disturb each other's timings. Default: one per GPU, else 1.",
    ),
]
GpusPerJob = Annotated[
    int, typer.Option("--gpus-per-job", min=1, help="GPUs that train one job together, through accelerate.")
]
Cluster = Annotated[
    str | None, typer.Option("--cluster", help="Submit the jobs, for example to slurm (needs the extra 'cluster').")
]
ClusterOptions = Annotated[
    list[str],
    typer.Option("--cluster-option", metavar="KEY=VALUE", help="For submitit, for example slurm_partition=gpu."),
]


def run(
    models: Models = "*",
    exclude: Exclude = None,
    data: Data = None,
    output: Output = Path("results"),
    size: Size = None,
    overrides: Set = [],  # noqa: B006  (typer copies it)
    steps: Steps = None,
    seeds: Seeds = None,
    contexts: Contexts = None,
    importance_samples: ImportanceSamples = None,
    limit: Limit = None,
    repeats: Repeats = None,
    workers: Workers = None,
    compile_model: Compile = False,
    cpu: Cpu = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    suite: SuiteName = None,
    resume: Resume = True,
    retry: Retry = False,
    limit_jobs: LimitJobs = None,
    parallel: Parallel = None,
    gpus_per_job: GpusPerJob = 1,
    cluster: Cluster = None,
    cluster_options: ClusterOptions = [],  # noqa: B006  (typer copies it)
    registry_files: RegistryFiles = [],  # noqa: B006  (typer copies it)
) -> None:
    """Train and measure several variants, each in a process of its own; rows, also of failures, go to OUTPUT/rows.

    The same command resumes where it was interrupted or killed; what has a row is not measured again. A suite file lists
    variants, scenes, seeds and budgets; its scenes are made when they are needed. Exits with code 1 if a job failed.
    """
    from zoo.bench.suite.plan import SuiteSelection
    from zoo.cli import screen
    from zoo.cli.bench_suite import ExecutionOptions, SuiteCommand, print_tables
    from zoo.errors import ConfigError
    from zoo.training.options import TrainingOptions

    if as_json and not dry_run:
        raise ConfigError("--json: requires --dry-run")
    command = SuiteCommand(
        suite=_load(
            suite, data=data, size=size, overrides=overrides, contexts=contexts, importance_samples=importance_samples
        ),
        output=output,
        selection=SuiteSelection(
            models=models.split(","),
            exclude=exclude,
            seeds=None if seeds is None else parse_numbers(seeds, option="--seeds"),
            steps=steps,
            scenes=limit,
            repeats=repeats,
        ),
        training=TrainingOptions(compile=compile_model, workers="auto" if workers is None else workers),
        execution=ExecutionOptions(
            resume=resume,
            retry=retry,
            limit=limit_jobs,
            cpu=cpu,
            parallel=parallel,
            gpus_per_job=gpus_per_job,
            cluster=cluster,
            cluster_options=cluster_options,
        ),
    )
    if dry_run:
        command.dry_run(as_json=as_json)
        return
    done = command.run()
    screen.log("wrote " + ", ".join(map(str, print_tables(output))))
    if done.failures:
        raise typer.Exit(1)


def _load(
    suite: str | None,
    *,
    data: Path | None,
    size: str | None,
    overrides: list[str],
    contexts: str | None,
    importance_samples: str | None,
) -> Suite:
    """Returns the suite of a name or file, or without one that of the options."""
    from zoo.bench.suite.settings import load_suite, suite_of_options
    from zoo.config.settings import parse_overrides
    from zoo.errors import ConfigError

    if suite is None:
        return suite_of_options(
            data=data,
            size=size or "full",
            changes=parse_overrides(overrides),
            contexts=[] if contexts is None else parse_numbers(contexts, option="--contexts"),
            importance_samples=parse_importance_samples(importance_samples),
        )
    given = {"--data": data, "--size": size, "--set": overrides, "--contexts": contexts, "-K": importance_samples}
    for name, value in given.items():
        if value:
            raise ConfigError(f"{name}: the file of --suite {suite} has this setting")
    return load_suite(suite)
