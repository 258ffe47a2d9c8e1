"""Planning and running a suite from the command line, with its progress; ``bench`` and ``quickstart`` share it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import typer
from rich.progress import Progress, TaskID, TextColumn
from rich.table import Table

from zoo.bench.baselines import measure_baselines
from zoo.bench.measurement import label_of
from zoo.bench.suite.cost import CostBook
from zoo.bench.suite.engines import ClusterEngine, Engine, LocalEngine, slots_of_machine
from zoo.bench.suite.jobs import Job
from zoo.bench.suite.plan import PlannedJob, SuiteSelection, assign_run_dirs, plan_suite
from zoo.bench.suite.runner import partition_jobs, run_jobs
from zoo.bench.suite.settings import Suite
from zoo.bench.suite.worker import JobState
from zoo.cli import screen
from zoo.cli.bench import ExecutionOptions
from zoo.cli.table_output import print_to_terminal
from zoo.comparison.leaderboards import leaderboards_of, main_leaderboards
from zoo.comparison.tables import tables_of, write_tables
from zoo.config.settings import parse_yaml
from zoo.errors import ConfigError
from zoo.registry.registry import default_registry
from zoo.results.store import load_rows, rows_in
from zoo.training.options import TrainingOptions
from zoo.training.run import device_of
from zoo.training.session import lock_folder

LINE_INTERVAL_SECONDS = 60.0
TRAINING_SHARE = 0.85  # of a job; the rest is measuring


class SuiteProgress:
    """Listens to a suite's jobs; draws bars on a terminal, and prints a line per event elsewhere."""

    def __init__(self, bars: Progress, *, seconds: Mapping[int, float]) -> None:
        """Begins with nothing done; ``seconds`` are the estimated times of the jobs by their ``id()``."""
        self._bars, self._seconds = bars, dict(seconds)
        self._shares: dict[int, float] = {}
        self._tasks: dict[int, TaskID] = {}
        self.num_ended = 0
        self._started = self._last_line = time.monotonic()
        self._whole = bars.add_task(f"0 of {len(seconds)} jobs", total=max(sum(seconds.values()), 1e-9))

    def started(self, job: Job) -> None:
        """Adds the bar of a job."""
        self._tasks[id(job)] = self._bars.add_task(f"{describe_job(job)}: starting", total=None)
        if self._bars.disable:
            self._print(f"{describe_job(job)}: started")

    def progressed(self, job: Job, state: JobState) -> None:
        """Moves the bar of a job."""
        share = state.done / max(1, state.total)
        training = state.stage == "training"
        self._shares[id(job)] = TRAINING_SHARE * share if training else TRAINING_SHARE + (1 - TRAINING_SHARE) * share
        self._bars.update(
            self._tasks[id(job)],
            description=f"{describe_job(job)}: {state.stage}",
            completed=state.done,
            total=state.total,
        )
        self._bars.update(self._whole, completed=self._done())
        if self._bars.disable and time.monotonic() - self._last_line > LINE_INTERVAL_SECONDS:
            self._print(f"{describe_job(job)}: {state.stage} {state.done} of {state.total}")

    def ended(self, job: Job, failure: str | None) -> None:
        """Removes the bar of a job and prints its outcome."""
        self._shares[id(job)] = 1.0
        self.num_ended += 1
        self._bars.remove_task(self._tasks.pop(id(job)))
        description = f"{self.num_ended} of {len(self._seconds)} jobs"
        self._bars.update(self._whole, description=description, completed=self._done())
        self._print(f"{describe_job(job)}: {'done' if failure is None else f'failed: {failure}'}")

    def _done(self) -> float:
        return sum(self._shares.get(key, 0.0) * seconds for key, seconds in self._seconds.items())

    def _print(self, sentence: str) -> None:
        self._last_line = time.monotonic()
        if self._bars.disable:
            done, elapsed = self._done(), self._last_line - self._started
            sentence = f"[{self.num_ended} of {len(self._seconds)}] {sentence}"
            if done > 0:
                left = (sum(self._seconds.values()) - done) * elapsed / done
                sentence += f"; {format_seconds(elapsed)} so far, about {format_seconds(left)} left"
        self._bars.console.print(sentence, soft_wrap=True, markup=False)


def describe_job(job: Job) -> str:
    """Returns variant, data and seed of a job."""
    data = "" if job.data is None else f" on {job.data.name.rpartition('-')[0] or job.data.name}"
    return f"{label_of(job.variant)}{data}, seed {job.seed}"


def format_seconds(seconds: float) -> str:
    """Returns a duration in seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@dataclass(frozen=True, kw_only=True)
class SuiteCommand:
    """One call of ``bench`` or ``quickstart``: what is run from which suite, how, and into which folder."""

    suite: Suite
    output: Path
    selection: SuiteSelection
    training: TrainingOptions
    execution: ExecutionOptions

    def dry_run(self, *, as_json: bool = False) -> None:
        """Prints every job with its cost and status; writes nothing."""
        make_engine(self.output, self.execution)
        print_plan(plan_records(self._plan(save_costs=False), retry=self.execution.retry), as_json)

    def run(self) -> SuiteRun:
        """Makes the scenes, measures the baselines and runs the jobs.

        Raises:
            ZooError: before anything is trained, if an option, the suite or the output folder is not valid.
            KeyboardInterrupt: on Ctrl-C, after running jobs have written their checkpoints.
        """
        engine, rows = make_engine(self.output, self.execution), self.output / "rows"
        if not self.execution.resume and rows_in(rows):
            raise ConfigError(f"--no-resume: {rows} holds rows already; give another folder with -o")
        try:
            planned = self._plan(save_costs=True)
            with lock_folder(self.output):
                return self._run_jobs(self._prepare(planned), engine=engine)
        except KeyboardInterrupt:
            screen.log(
                f"finished jobs have their rows in {rows}, running jobs wrote a checkpoint; the same command resumes"
            )
            raise

    def _plan(self, *, save_costs: bool) -> list[PlannedJob]:
        costs = CostBook(self.output, device=device_of(cpu=self.execution.cpu), save=save_costs)
        screen.log("counting the operations of the variants")
        with screen.progress_bar("operations", unit="variants") as progress:
            return plan_suite(
                self.suite,
                output=self.output,
                registry=default_registry(),
                costs=costs,
                selection=self.selection,
                options=self.training,
                cpu=self.execution.cpu,
                command=["gqn-zoo", *sys.argv[1:]],
                progress=progress,
            )

    def _prepare(self, planned: Sequence[PlannedJob]) -> list[PlannedJob]:
        """Makes the missing scenes, measures the baselines on them, and assigns the run folders."""
        for name in dict.fromkeys(entry.data for entry in planned if entry.data is not None):
            scenes = self.suite.data[name]
            directory = scenes.directory(name, output=self.output)
            if not directory.exists():
                screen.log(f"making {sum(scenes.counts.values())} scenes of {name}")
                with screen.progress_bar(f"making {name}", unit="scenes") as progress:
                    scenes.make(directory, progress=progress)
        assigned = assign_run_dirs(planned, output=self.output)
        if self.suite.settings.baselines:
            with screen.progress_bar("baselines", unit="jobs") as progress:
                measure_baselines([entry.job for entry in assigned], rows=self.output / "rows", progress=progress)
        return assigned

    def _run_jobs(self, planned: Sequence[PlannedJob], *, engine: Engine) -> SuiteRun:
        retry, jobs = self.execution.retry, [entry.job for entry in planned]
        status = partition_jobs(jobs, retry=retry, limit=self.execution.limit_jobs)
        if status.done:
            screen.log(f"{len(status.done)} of {len(jobs)} have their rows already")
        if status.failed:
            screen.log(f"{len(status.failed)} of {len(jobs)} failed before and are not run again; --retry runs them")
        failures: list[Job] = []
        if status.waiting:
            waiting = set(map(id, status.waiting))
            seconds = {id(entry.job): entry.seconds for entry in planned if id(entry.job) in waiting}
            # Jobs differ in speed, so that the time left is estimated from minutes and not from the last seconds.
            with screen.bars(TextColumn("{task.percentage:>3.0f}%"), speed_seconds=600.0) as shown:
                listener = SuiteProgress(shown, seconds=seconds)
                failures = run_jobs(status.waiting, engine=engine, output=self.output, listener=listener, retry=retry)
        if failures:
            screen.log(
                f"{len(failures)} of {len(status.waiting)} jobs failed; their rows have the reasons, their logs are in "
                f"{self.output / 'jobs'}"
            )
        return SuiteRun(jobs, failures)


class SuiteRun(NamedTuple):
    """Result of a run: all selected jobs with their run folders, and those that failed in this call."""

    jobs: list[Job]
    failures: list[Job]


def print_leaderboards(output: Path) -> list[Path]:
    """Prints the tables of all rows of a folder, and returns the files that they were written to."""
    boards = leaderboards_of(load_rows([output]))
    print_to_terminal(tables_of(main_leaderboards(boards)))
    return write_tables(boards, output / "tables")


def make_engine(output: Path, execution: ExecutionOptions) -> Engine:
    """Returns the engine of the jobs."""
    if execution.cluster is None:
        if execution.cluster_option:
            raise ConfigError("--cluster-option: requires --cluster")
        return LocalEngine(
            slots_of_machine(cpu=execution.cpu, parallel=execution.parallel, gpus_per_job=execution.gpus_per_job)
        )
    parameters: dict[str, Any] = {}
    for option in execution.cluster_option:
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise ConfigError(f"--cluster-option {option}: expected key=value, for example slurm_partition=gpu")
        parameters[key] = parse_yaml(value, file=f"--cluster-option {key}")
    return ClusterEngine(execution.cluster, output=output, parameters=parameters, gpus_per_job=execution.gpus_per_job)


def print_plan(records: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Prints the records of a plan and their sums, as a table or as JSON."""
    waiting = [record for record in records if record["status"] == "to do"]
    seconds, flops = (sum(record[name] for record in waiting) for name in ("seconds", "flops"))
    if as_json:
        facts = {"jobs": records, "to_do": len(waiting), "flops": flops, "seconds": seconds}
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
        return
    console = screen.stdout_console()
    console.print(_plan_table(records))
    console.print(
        f"{len(waiting)} of {len(records)} jobs to do: {flops / 1e15:.3g} PFLOP of training, about "
        f"{format_seconds(seconds)} one after the other on this machine. TFLOP and time are per job: operations are "
        "counted per scene at the middle number of context views; the time is measured on a short step, or estimated "
        "from the operations at the speed of a convolution (flops), with measurements as passes over the test scenes. "
        "Nothing was written.",
        soft_wrap=True,
    )


def plan_records(planned: Sequence[PlannedJob], *, retry: bool) -> list[dict[str, Any]]:
    """Returns variant, data, contexts, seed, steps, costs and status (to do, done, failed) of every job."""
    status = partition_jobs([entry.job for entry in planned], retry=retry)
    names = {id(job): "done" for job in status.done} | {id(job): "failed" for job in status.failed}
    return [
        {
            "variant": label_of(entry.job.variant),
            "data": entry.data,
            "contexts": list(entry.job.contexts),
            "seed": entry.job.seed,
            "steps": entry.job.variant.training.steps if entry.data else 0,
            "batch_size": entry.job.variant.training.batch_size,
            "flops_per_scene": entry.cost.flops,
            "flops": entry.flops,
            "seconds": entry.seconds,
            "seconds_from": entry.cost.source,
            "status": names.get(id(entry.job), "to do"),
        }
        for entry in planned
    ]


def _plan_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Returns a table with one row for all seeds of a variant on its data."""
    table = Table(box=None, pad_edge=False)
    for title in ("variant", "data", "context"):
        table.add_column(title)
    for title in ("seeds", "steps", "batch", "GFLOP/scene", "TFLOP", "time"):
        table.add_column(title, justify="right")
    table.add_column("time from")
    table.add_column("status")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        key = {name: value for name, value in record.items() if name not in ("seed", "status")}
        groups.setdefault(json.dumps(key), []).append(record)
    for group in groups.values():
        first = group[0]
        states = [record["status"] for record in group]
        table.add_row(
            first["variant"],
            first["data"] or "noise",
            ",".join("most" if number is None else str(number) for number in first["contexts"]),
            ",".join(str(record["seed"]) for record in group),
            str(first["steps"] or "-"),
            str(first["batch_size"]),
            f"{first['flops_per_scene'] / 1e9:.3g}",
            f"{first['flops'] / 1e12:.3g}" if first["data"] else "-",
            format_seconds(first["seconds"]),
            first["seconds_from"],
            ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        )
    return table
