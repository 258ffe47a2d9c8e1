"""What ``gqn-zoo bench`` does with jobs: the plan with its costs, the scenes, the running, the tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from zoo.bench.suite.jobs import Job
    from zoo.bench.suite.plan import Choice, Planned
    from zoo.bench.suite.runner import Engine
    from zoo.training.options import TrainingOptions


class ExecutionOptions(NamedTuple):
    """How jobs are carried out, whatever they are.

    Attributes:
        resume: goes on with what is in the folder; else rows that are there are refused.
        retry: tries jobs again that failed.
        limit: so many jobs in this call.
        cpu: leaves GPUs alone.
        parallel: jobs at a time.
        gpus_per_job: GPUs that train one job together.
        cluster: where jobs are submitted to; None carries them out here.
        cluster_options: ``key=value`` for submitit.
    """

    resume: bool
    retry: bool
    limit: int | None
    cpu: bool
    parallel: int | None
    gpus_per_job: int
    cluster: str | None
    cluster_options: Sequence[str]


def require_fresh(output: Path, manner: ExecutionOptions) -> None:
    """Refuses to go on with what is in the folder, if that is not wished.

    Raises:
        ConfigError: if there are rows.
    """
    from zoo.errors import ConfigError
    from zoo.results.store import rows_in

    if not manner.resume and rows_in(output / "rows"):
        raise ConfigError(f"--no-resume: {output / 'rows'} holds rows already; give another folder with -o")


def plan(
    suite: str, *, output: Path, choice: Choice, options: TrainingOptions, manner: ExecutionOptions, keep: bool
) -> list[Planned]:
    """Makes the jobs of a suite."""
    from zoo.bench.suite.cost_book import CostBook
    from zoo.bench.suite.plan import plan_suite
    from zoo.bench.suite.settings import load_suite
    from zoo.cli import screen
    from zoo.registry.registry import default_registry
    from zoo.training.run import device_of

    loaded = load_suite(suite)
    costs = CostBook(output, device=device_of(cpu=manner.cpu), keep=keep)
    with screen.progress_bar(f"suite {loaded.name}: costs", unit="variants") as counting:
        return plan_suite(
            loaded,
            output=output,
            registry=default_registry(),
            costs=costs,
            choice=choice,
            options=options,
            cpu=manner.cpu,
            command=["gqn-zoo", *sys.argv[1:]],
            counting=counting,
        )


def prepare(suite: str, planned: Sequence[Planned], *, output: Path) -> list[Planned]:
    """Makes the scenes that are not there yet, measures the references on them, and gives every job its folder."""
    from zoo.bench.suite.baselines import leave_references
    from zoo.bench.suite.data import folder_of, make_scenes
    from zoo.bench.suite.plan import settle
    from zoo.bench.suite.settings import load_suite
    from zoo.cli import screen
    from zoo.training.session import RunLock

    loaded = load_suite(suite)
    needed = {entry.data for entry in planned}
    with RunLock(output):
        for name, scenes in loaded.data.items():
            folder = folder_of(name, scenes, output=output)
            if name in needed and scenes.recipe is not None and not folder.exists():
                with screen.progress_bar(f"making {name}", unit="scenes") as progress:
                    make_scenes(scenes, folder=folder, progress=progress)
        settled = settle(planned, output=output)
        if loaded.settings.references:
            with screen.progress_bar("references", unit="jobs") as progress:
                leave_references([entry.job for entry in settled], rows=output / "rows", counting=progress)
    return settled


def dry_run_of(planned: Sequence[Planned], *, output: Path, manner: ExecutionOptions) -> None:
    """Prints every job with its state and what it costs, and the whole."""
    from rich.table import Table

    from zoo.bench.measurement import label_of
    from zoo.bench.suite.plan import settle
    from zoo.bench.suite.runner import partition_jobs
    from zoo.cli import screen
    from zoo.cli.suite_screen import length_of

    # Without its scenes nothing can be known to be done; the plan is the same.
    there = [entry for entry in planned if entry.job.data is None or entry.job.data.is_dir()]
    settled = {id(entry): ready for entry, ready in zip(there, settle(there, output=output), strict=True)}
    jobs = [settled[id(entry)].job for entry in there]
    standing = partition_jobs(jobs, retry=manner.retry)
    states = {id(job): "done" for job in standing.done} | {id(job): "failed" for job in standing.failed}
    table = Table(box=None, pad_edge=False)
    for title in ("variant", "data", "context"):
        table.add_column(title)
    for title in ("seeds", "steps", "batch", "GFLOP/scene", "TFLOP", "time"):
        table.add_column(title, justify="right")
    table.add_column("time from")
    table.add_column("to do")
    groups: dict[tuple[int, str | None], list[Planned]] = {}
    for entry in planned:
        groups.setdefault((id(entry.job.variant), entry.data), []).append(entry)
    left: list[Planned] = []
    for group in groups.values():
        first = group[0]
        recipe = first.job.variant.training
        waiting = [e for e in group if id(e) not in settled or id(settled[id(e)].job) not in states]
        left += waiting
        failed = sum(1 for e in group if id(e) in settled and states.get(id(settled[id(e)].job)) == "failed")
        contexts = ",".join("most" if number is None else str(number) for number in first.job.contexts)
        table.add_row(
            label_of(first.job.variant),
            first.data or "noise",
            contexts,
            ",".join(str(entry.job.seed) for entry in group),
            str(recipe.steps) if first.data else "-",
            str(recipe.batch_size),
            f"{first.cost.flops / 1e9:.3g}",
            f"{first.flops / 1e12:.3g}" if first.data else "-",
            length_of(first.seconds),
            first.cost.source,
            f"{len(waiting)} of {len(group)}" + (f", {failed} failed" if failed else ""),
        )
    results = screen.stdout_console()
    results.print(table)
    seconds = sum(entry.seconds for entry in left)
    results.print(
        f"{len(left)} of {len(planned)} jobs to do: {sum(entry.flops for entry in left) / 1e15:.3g} PFLOP of training, "
        f"about {length_of(seconds)} one after the other on this machine. TFLOP and time are of one job: operations are "
        "counted for a scene at the middle number of context views; time comes from a short measured step, or from the "
        "operations at the speed of a convolution (flops), with the measurements guessed in passes over the test scenes. "
        "Nothing was written.",
        soft_wrap=True,
    )


def carry_out(
    jobs: Sequence[Job], *, output: Path, manner: ExecutionOptions, seconds: Mapping[int, float] | None = None
) -> None:
    """Carries jobs out, and makes the tables of all rows of the folder.

    Args:
        jobs: what to do.
        output: folder of everything.
        manner: how.
        seconds: the estimated time of every job, by its ``id()``; without, all count the same.
    """
    from zoo.bench.suite.runner import partition_jobs, run_jobs
    from zoo.cli import screen
    from zoo.cli.suite_screen import watching
    from zoo.comparison.markup import to_terminal
    from zoo.comparison.tables import tables_of, write_tables
    from zoo.results.store import load_rows
    from zoo.training.session import RunLock

    engine = _engine(output, manner)
    failures: list[Job] = []
    with RunLock(output):
        standing = partition_jobs(jobs, retry=manner.retry, limit=manner.limit)
        if standing.done:
            screen.log(f"{len(standing.done)} of {len(jobs)} have their rows already")
        if standing.failed:
            screen.log(
                f"{len(standing.failed)} of {len(jobs)} failed before and are left alone; --retry tries them again"
            )
        if standing.waiting:
            estimated = {id(job): seconds[id(job)] if seconds else 1.0 for job in standing.waiting}
            with watching(estimated) as audience:
                failures = run_jobs(
                    standing.waiting, engine=engine, output=output, audience=audience, again=manner.retry
                )
    rows = load_rows([output])
    results = screen.stdout_console()
    results.print(to_terminal(tables_of(rows), width=results.width))
    written = write_tables(rows, output / "tables")
    screen.log("wrote " + ", ".join(map(str, written)))
    if failures:
        screen.log(
            f"{len(failures)} of {len(standing.waiting)} jobs failed; their rows say why, their logs are in {output / 'jobs'}"
        )
        raise typer.Exit(1)


def _engine(output: Path, manner: ExecutionOptions) -> Engine:
    from zoo.bench.suite.cluster import ClusterEngine
    from zoo.bench.suite.local import LocalEngine, slots_of_machine
    from zoo.config.settings import parse_yaml
    from zoo.errors import ConfigError

    if manner.cluster is None:
        if manner.cluster_options:
            raise ConfigError("--cluster-option: has a meaning with --cluster only")
        return LocalEngine(slots_of_machine(cpu=manner.cpu, parallel=manner.parallel, gpus_per_job=manner.gpus_per_job))
    parameters: dict[str, Any] = {}
    for option in manner.cluster_options:
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise ConfigError(f"--cluster-option {option}: expected key=value, for example slurm_partition=gpu")
        parameters[key] = parse_yaml(value, file=f"--cluster-option {key}")
    return ClusterEngine(manner.cluster, output=output, parameters=parameters, gpus_per_job=manner.gpus_per_job)
