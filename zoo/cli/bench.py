"""``gqn-zoo bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from zoo.cli import screen
from zoo.cli.options import (
    Contexts,
    Cpu,
    ImportanceSamples,
    Json,
    RegistryFiles,
    Set,
    parse_contexts,
    parse_importance_samples,
    parse_numbers,
)
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.bench.suite.plan import SuiteSelection
    from zoo.bench.suite.settings import Suite


class SuiteOptions(NamedTuple):
    """Options that a suite file has as settings."""

    data: Annotated[
        Path | None, typer.Option(help="Folder of scenes to train and measure on; none: speeds alone, on noise.")
    ] = None
    size: Annotated[
        str | None, typer.Option(help="full (the default), or another size of the variants: smoke, small.")
    ] = None
    set: Set = []
    contexts: Contexts = None
    importance_samples: ImportanceSamples = None

    def suite(self) -> Suite:
        """Returns the suite of all variants with these settings, on a folder or noise; raises ZooError if not valid."""
        from zoo.bench.suite.scenes import SceneSet
        from zoo.bench.suite.settings import Suite, SuiteFile
        from zoo.config.settings import parse, parse_overrides
        from zoo.data.opening import open_scenes

        scenes = {} if self.data is None else {"data": SceneSet(folder=str(self.data.absolute()))}
        if self.data is not None:
            open_scenes(self.data, "train")
        part: dict[str, object] = {"variants": ["*"], "data": list(scenes), "size": self.size or "full"}
        part |= {"set": parse_overrides(self.set), "contexts": parse_contexts(self.contexts)}
        bounds = ["ELBO", *(f"IWAE-{number}" for number in parse_importance_samples(self.importance_samples))]
        settings = {"version": 1, "title": "", "parts": [part], "bounds": bounds, "baselines": False}
        return Suite(path=None, settings=parse(SuiteFile, settings, file="command line"), data=scenes)


class Selection(NamedTuple):
    """Options of what is run of a suite, or in its place."""

    models: Annotated[
        str, typer.Option(help="Patterns separated by commas, such as 'gqn-*,vae'; other variants are left out.")
    ] = "*"
    exclude: Annotated[str | None, typer.Option(help="Leave out what matches this pattern.")] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Updates of every run.")] = None
    seeds: Annotated[
        str | None, typer.Option(help="Seeds separated by commas, for every variant. Default: 0, or the suite's.")
    ] = None
    limit: Annotated[int | None, typer.Option(min=1, help="Measure on the first so many test scenes.")] = None
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Repetitions of the speed measurement (10, or the suite's).")
    ] = None

    def suite_selection(self) -> SuiteSelection:
        """Returns the selection of jobs."""
        from zoo.bench.suite.plan import SuiteSelection

        return SuiteSelection(
            models=self.models.split(","),
            exclude=self.exclude,
            seeds=None if self.seeds is None else parse_numbers(self.seeds, option="--seeds"),
            steps=self.steps,
            scenes=self.limit,
            repeats=self.repeats,
        )


class ExecutionOptions(NamedTuple):
    """Options of how jobs are executed."""

    cpu: Cpu = False
    resume: Annotated[
        bool, typer.Option(help="Continue with the rows of OUTPUT; --no-resume refuses a folder with rows.")
    ] = True
    retry: Annotated[bool, typer.Option("--retry", help="Run failed jobs again.")] = False
    limit_jobs: Annotated[int | None, typer.Option(min=1, help="Run so many jobs; the same command runs the rest.")] = (
        None
    )
    parallel: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Jobs at a time, which share the cores and disturb each other's timings. Default: one per GPU, else 1.",
        ),
    ] = None
    gpus_per_job: Annotated[int, typer.Option(min=1, help="GPUs that train one job together, through accelerate.")] = 1
    cluster: Annotated[
        str | None, typer.Option(help="Submit the jobs, for example to slurm (needs the extra 'cluster').")
    ] = None
    cluster_option: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="For submitit, for example slurm_partition=gpu.")
    ] = []


def run(
    *,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="quickstart, smoke, cpu, paper, throughput, localisation, functions, or a file of your own (.yaml).",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for rows, runs and tables.")] = Path("results"),
    options: SuiteOptions,
    selection: Selection,
    execution: ExecutionOptions,
    workers: Annotated[
        int | None,
        typer.Option("-j", "--workers", min=0, help="Processes that read scenes. Default: by device and cores."),
    ] = None,
    compile_model: Annotated[bool, typer.Option("--compile", help="Compile the models with torch.compile.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every job with its cost and status; write nothing.")
    ] = False,
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Train and measure several variants, each in a process of its own; rows, also of failures, go to OUTPUT/rows.

    The same command resumes where it was interrupted or killed; what has a row is not measured again. A suite file lists
    variants, scenes, seeds and budgets; its scenes are made when they are needed. Exits with code 1 if a job failed.
    """
    from zoo.bench.suite.settings import load_suite
    from zoo.cli.bench_suite import SuiteCommand, print_leaderboards
    from zoo.training.options import TrainingOptions

    if as_json and not dry_run:
        raise ConfigError("--json: requires --dry-run")
    given = [name for name, value in options._asdict().items() if value]
    if suite is not None and given:
        option = f"--{given[0].replace('_', '-')}"
        raise ConfigError(f"{option}: the file of --suite {suite} has this setting")
    command = SuiteCommand(
        suite=options.suite() if suite is None else load_suite(suite),
        output=output,
        selection=selection.suite_selection(),
        training=TrainingOptions(
            compile=compile_model, workers="auto" if workers is None else workers, prediction_scenes=0
        ),
        execution=execution,
    )
    if dry_run:
        command.dry_run(as_json=as_json)
        return
    done = command.run()
    screen.log("wrote " + ", ".join(map(str, print_leaderboards(output))))
    if done.failures:
        raise typer.Exit(1)
