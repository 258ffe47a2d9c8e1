"""``gqn-zoo bench``: the options, and what belongs to none of our suites."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.options import Contexts, Cpu, ImportanceSamples, Set, bound_samples, numbers

if TYPE_CHECKING:
    from zoo.bench.suite.jobs import Job
    from zoo.training.options import TrainingOptions

REPEATS = 10
VARIANTS = "variants"


def run(
    models: Annotated[
        str,
        typer.Option(
            "--models", help="Patterns separated by commas, for example 'gqn-*,vae'; of a suite, the rest is left out."
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
        typer.Option("--repeats", min=1, help=f"Repetitions of the speed measurement ({REPEATS}, or the suite's)."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("-j", "--workers", min=0, help="Processes that read scenes. Default: by device and cores."),
    ] = None,
    compile_model: Annotated[bool, typer.Option("--compile", help="Compile the models with torch.compile.")] = False,
    cpu: Cpu = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done, and what every job of a suite costs.")
    ] = False,
    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            metavar="NAME|FILE",
            help="smoke, cpu, paper, throughput, localisation, functions, or a file of your own (.yaml).",
        ),
    ] = VARIANTS,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume", help="Go on with what is in OUTPUT; --no-resume refuses rows that are there."
        ),
    ] = True,
    retry: Annotated[bool, typer.Option("--retry", help="Try jobs again that failed; else their rows stand.")] = False,
    limit_jobs: Annotated[
        int | None, typer.Option("--limit-jobs", min=1, help="Carry out so many jobs; the same command does the rest.")
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel",
            min=1,
            help="Jobs at a time, which share the cores out; timings disturb each other then. Default: one for each GPU, else 1.",
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
) -> None:
    """Train and measure several variants, each in a process of its own; rows, failures included, go to OUTPUT/rows.

    The same command goes on where it was interrupted or killed: runs are resumed, and what has a row already is not measured
    again. A suite says in a file what is compared on which scenes; its scenes are made when they are needed. Exit
    code 1 if a job failed.
    """
    from zoo.cli.bench_suite import ExecutionOptions, carry_out, dry_run_of, plan, prepare, require_fresh
    from zoo.training.options import TrainingOptions

    options = TrainingOptions(compile=compile_model, workers="auto" if workers is None else workers)
    manner = ExecutionOptions(
        resume=resume,
        retry=retry,
        limit=limit_jobs,
        cpu=cpu,
        parallel=parallel,
        gpus_per_job=gpus_per_job,
        cluster=cluster,
        cluster_options=cluster_options,
    )
    if suite == VARIANTS:
        jobs = _jobs(
            models,
            exclude=exclude,
            data=data,
            output=output,
            size=size or "full",
            overrides=overrides,
            steps=steps,
            seeds=seeds or "0",
            contexts=contexts,
            importance_samples=bound_samples(importance_samples),
            limit=limit,
            repeats=repeats or REPEATS,
            options=options,
            cpu=cpu,
        )
        if dry_run:
            _dry_run(jobs, retry=retry)
            return
        require_fresh(output, manner)
        carry_out(jobs, output=output, manner=manner)
        return
    given = {"--data": data, "--size": size, "--set": overrides, "--contexts": contexts, "-K": importance_samples}
    _refuse(given, reason=f"stands in the file of --suite {suite}")
    from zoo.bench.suite.plan import Choice

    choice = Choice(
        models=models.split(","),
        exclude=exclude,
        seeds=None if seeds is None else [seed or 0 for seed in numbers(seeds, option="--seeds")],
        steps=steps,
        scenes=limit,
        repeats=repeats,
    )
    planned = plan(suite, output=output, choice=choice, options=options, manner=manner, keep=not dry_run)
    if dry_run:
        dry_run_of(planned, output=output, manner=manner)
        return
    require_fresh(output, manner)
    settled = prepare(suite, planned, output=output)
    estimated = {id(entry.job): entry.seconds for entry in settled}
    carry_out([entry.job for entry in settled], output=output, manner=manner, seconds=estimated)


def _jobs(
    models: str,
    *,
    exclude: str | None,
    data: Path | None,
    output: Path,
    size: str,
    overrides: list[str],
    steps: int | None,
    seeds: str,
    contexts: str | None,
    importance_samples: tuple[int, ...],
    limit: int | None,
    repeats: int,
    options: TrainingOptions,
    cpu: bool,
) -> list[Job]:
    """Returns a job for every variant and seed of the command line."""
    from zoo.bench.protocol import Protocol
    from zoo.bench.suite.jobs import Job, run_folder
    from zoo.bench.suite.plan import names_of
    from zoo.data.opening import open_scenes
    from zoo.registry.registry import default_registry
    from zoo.registry.variant import resolve

    if data is not None:
        open_scenes(data, "train")
    registry = default_registry()
    names = names_of(models.split(","), exclude=[exclude] if exclude else [], registry=registry)
    changes = [*overrides, *([f"training.steps={steps}"] if steps else [])]
    protocol = Protocol(importance_samples=importance_samples, max_scenes=limit, repeats=repeats)
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
    return jobs


def _dry_run(jobs: Sequence[Job], *, retry: bool) -> None:
    from zoo.bench.measurement import label_of
    from zoo.bench.suite.runner import partition_jobs

    standing = partition_jobs(jobs, retry=retry)
    for job in jobs:
        state = "to do" if job in standing.waiting else "failed" if job in standing.failed else "done"
        training = f"{job.variant.training.steps} steps, then measured" if job.data else "speeds alone"
        typer.echo(f"{label_of(job.variant)}, seed {job.seed}: {training}: {state}")


def _refuse(options: Mapping[str, object], *, reason: str) -> None:
    """Raises ConfigError if an option was given that has no place here."""
    from zoo.errors import ConfigError

    for name, value in options.items():
        if value not in (None, False, []):
            raise ConfigError(f"{name}: {reason}")
