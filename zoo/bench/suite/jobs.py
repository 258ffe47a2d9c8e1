"""One job: a variant that is trained and measured, known again by its content; jobs one after the other."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from zoo.bench.measurement import evaluate, expected_metrics, failed_row, label_of, speed_row
from zoo.bench.prediction_sheets import draw_sheet
from zoo.bench.protocol import Protocol, calibration_of, plan_of
from zoo.data.opening import open_scenes
from zoo.data.source import SceneSource, Split
from zoo.errors import ZooError
from zoo.provenance import collect, hash_config
from zoo.registry.variant import Variant
from zoo.results.row import ResultRow
from zoo.results.store import rows_in, save_row
from zoo.training.options import ResumeOptions, TrainingOptions
from zoo.training.run import device_of, run_config, train
from zoo.training.trained_model import load_trained
from zoo.training.trainer import Progress, TrainingReport

Watch = Callable[[str, int, int], None]
ENDED_FROM_OUTSIDE = "the process of this variant was ended from outside, most likely for want of memory"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One variant to train and measure.

    Attributes:
        variant: what.
        data: folder of scenes; None measures speeds alone, on noise.
        run: folder of the run.
        rows: folder of the result rows.
        seed: of the run.
        contexts: numbers of context views to evaluate at; None is the largest of training.
        split: which split is reported on.
        protocol: the measurement.
        options: how training is carried out.
        cpu: leaves GPUs alone.
        sheet: leaves a sheet of predictions in the folder of the run, where images are predicted.
        command: the command line, for the provenance.
    """

    variant: Variant
    data: Path | None
    run: Path
    rows: Path
    seed: int = 0
    contexts: Sequence[int | None] = (None,)
    split: Split = "test"
    protocol: Protocol = field(default_factory=Protocol)
    options: TrainingOptions = field(default_factory=TrainingOptions)
    cpu: bool = False
    sheet: bool = False
    command: Sequence[str] = ()

    @property
    def device(self) -> str:
        """Where it runs."""
        return device_of(cpu=self.cpu)


def carry_out(job: Job, *, watch: Watch | None = None) -> list[Path]:
    """Trains (going on with an interrupted run) and measures what has no row yet; returns the files of the rows written.

    A failure that belongs to the variant (not finite, out of memory, a user's mistake) is a row as well.

    Args:
        job: what to do.
        watch: is told a stage (``training``, ``measuring``), how far it is and out of how much.

    Raises:
        KeyboardInterrupt: if the run was interrupted; its checkpoint is there.
    """
    written: list[Path] = []
    try:
        for row in _rows(job, watch=watch):
            written.append(save_row(_signed(row, job=digest_of_job(job)), job.rows))  # noqa: PERF401  (what was saved before a failure is told too)
    except (ZooError, MemoryError) as error:
        written.append(save_row(failure_of(job, error), job.rows))
    return written


def _rows(job: Job, *, watch: Watch | None) -> Iterator[ResultRow]:
    if job.data is None:
        if finished(job):
            return
        yield speed_row(job.variant, seed=job.seed, protocol=job.protocol, device=job.device, command=job.command)
        return
    # What cannot be measured is told before it is trained for hours.
    source = open_scenes(job.data, job.split)
    for num_context in job.contexts:
        plan_of(job.protocol.at(num_context, timed=False), job.variant, source)
    missing = missing_contexts(job, rows_of(job))
    if not missing:
        return
    steps = job.variant.training.steps
    report = train_job(job, progress=None if watch is None else lambda step, figures: watch("training", step, steps))
    if report.status == "interrupted":
        # A checkpoint is there; the same command goes on from it. A row of a half-trained model would mislead.
        raise KeyboardInterrupt
    trained = load_trained(job.run, device=job.device)
    calibration = calibration_of(job.data)
    # Speeds do not depend on the number of context views that is scored: they are measured once.
    timed = _timed_row(job)
    for number in missing:
        row = evaluate(
            trained,
            source,
            protocol=job.protocol.at(number, timed=timed is None),
            calibration=calibration,
            speeds_of=timed,
            device=job.device,
            command=job.command,
            progress=None if watch is None else lambda stage, done, total: watch("measuring", done, total),
        )
        timed = timed or (row if row.performance else None)
        yield row
    if job.sheet and trained.model.task.target_kind == "images":
        draw_sheet(
            trained,
            source,
            target=job.run / f"sheet-{job.variant.name.replace('/', '-')}-{source.name}.png",
            num_context=job.contexts[-1],
            protocol=job.protocol,
            device=job.device,
        )


def _timed_row(job: Job) -> ResultRow | None:
    """Returns a row of the job's configuration whose speeds were measured on this machine, None if there is none."""
    here = collect(seed=job.seed, command=(), config={}, device=job.device)
    for row in _of_configuration(job, rows_of(job)):
        there = row.provenance
        if row.performance and (there.hardware, there.device, there.git) == (here.hardware, here.device, here.git):
            return row
    return None


def train_job(job: Job, *, progress: Progress | None = None) -> TrainingReport:
    """Trains, going on from the newest checkpoint if there is one; a finished run is left as it is."""
    assert job.data is not None
    return train(
        job.variant,
        data=job.data,
        run=job.run,
        seed=job.seed,
        options=job.options,
        resume=ResumeOptions(mode="auto"),
        cpu=job.cpu,
        command=job.command,
        progress=progress,
    )


def carry_out_all(jobs: Sequence[Job], *, tell: Callable[[str], None]) -> list[Path]:
    """Carries jobs out one after the other, each in a fresh process; one that dies or breaks leaves a row that says so."""
    written: list[Path] = []
    for number, job in enumerate(jobs, start=1):
        tell(f"{number} of {len(jobs)}: {job.variant.name}, seed {job.seed}")
        failure: Exception
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                written += pool.submit(carry_out, job).result()
                continue
            except BrokenProcessPool:
                failure = MemoryError(ENDED_FROM_OUTSIDE)
            except Exception as error:  # a defect of one variant must not spoil the others
                failure = error
        tell(f"{job.variant.name}, seed {job.seed}: {failure}")
        written.append(save_row(failure_of(job, failure), job.rows))
    return written


def run_folder(folder: Path, variant: Variant, *, seed: int) -> Path:
    """Returns where a suite keeps the run of a variant and seed."""
    name = variant.name.replace("/", os.sep)
    return folder / "runs" / name / f"{variant.size}-seed-{seed}"


def rows_of(job: Job) -> list[ResultRow]:
    """Returns the rows of a job's variant in the job's folder, those of other jobs among them.

    Raises:
        ResultError: if a row is damaged.
    """
    return rows_in(job.rows, variant=label_of(job.variant))


def finished(job: Job, rows: Sequence[ResultRow] | None = None) -> bool:
    """Tells whether a job has left a row without failure for everything that it asks for.

    Args:
        job: the job.
        rows: where to look; None reads the job's folder.
    """
    try:
        rows = rows_of(job) if rows is None else rows
        if job.data is None:
            device = job.device
            return any(row.key is None and row.provenance.device == device for row in _of_configuration(job, rows))
        return not missing_contexts(job, rows)
    except ZooError:
        return False  # whatever is wrong is told when the job is carried out


def missing_contexts(job: Job, rows: Sequence[ResultRow]) -> list[int | None]:
    """Returns the numbers of context views for which a job has no row without failure.

    Raises:
        ZooError: if variant and data do not fit.
    """
    assert job.data is not None
    same = _of_configuration(job, rows)
    source = open_scenes(job.data, job.split)
    return [
        number
        for number in job.contexts
        if not any(_answers(row, job.protocol.at(number, timed=False), job.variant, source) for row in same)
    ]


def _of_configuration(job: Job, rows: Sequence[ResultRow]) -> list[ResultRow]:
    label = label_of(job.variant)
    named = [row for row in rows if row.status == "ok" and row.variant == label and row.provenance.seed == job.seed]
    configuration = configuration_of(job) if named else ""
    return [row for row in named if row.provenance.config_hash == configuration]


def _answers(row: ResultRow, protocol: Protocol, variant: Variant, source: SceneSource) -> bool:
    """Tells whether a row of a variant is on the episodes, with the sigma and with the bounds of a protocol."""
    plan = plan_of(protocol, variant, source)
    found = row.key
    if found is None or (found.split, found.num_context, found.episodes) != (
        source.split,
        plan.num_context,
        plan.digest(),
    ):
        return False
    if found.sigma is not None and not math.isclose(found.sigma, protocol.sigma_for(variant), rel_tol=1e-5):
        return False
    wanted = expected_metrics(variant, plan, protocol=protocol)
    return all(name in row.metrics and row.metrics[name].unit == unit for name, unit in wanted.items())


def configuration_of(job: Job) -> str:
    """Returns the digest of the configuration that a job's rows bear."""
    config = job.variant.config()
    if job.data is not None:
        source = open_scenes(job.data, "train")
        config = run_config(job.variant, seed=job.seed, source=source)
    return hash_config(config)


def digest_of_job(job: Job) -> str:
    """Returns 16 hexadecimal digits that stand for all that a job asks for: weights, data, seed and measurements.

    How it is carried out (device, workers, folders, repetitions of timings) is no part of it.
    """
    try:
        configuration = configuration_of(job)
    except ZooError:  # what does not fit together has a digest as well, under which its failure is filed
        configuration = job.variant.model_dump_json()
    measured = dataclasses.asdict(job.protocol)
    # ``hash_config`` passes over whatever is called seed.
    episodes = measured.pop("seed")
    for free in ("batch_size", "repeats"):
        measured.pop(free)
    return hash_config(
        {
            "job": configuration,
            "of_run": job.seed,
            "of_episodes": episodes,
            "scenes": None if job.data is None else job.data.name,
            "contexts": list(job.contexts),
            "split": job.split,
            "protocol": measured,
        }
    )


def failure_of(job: Job, error: BaseException) -> ResultRow:
    """Makes the row of a job that failed; its configuration is the job's digest, by which the job is known again."""
    row = failed_row(job.variant, error, seed=job.seed, command=job.command, device=job.device)
    digest = digest_of_job(job)
    return _signed(row, job=digest, config_hash=digest)


def _signed(row: ResultRow, *, job: str, config_hash: str | None = None) -> ResultRow:
    """Returns a row that names its job in its provenance, and with another digest of its configuration if there is one."""
    values = row.model_dump()
    changed = {"job": job, "config_hash": config_hash or row.provenance.config_hash}
    return ResultRow.model_validate({**values, "id": "", "provenance": {**values["provenance"], **changed}})


def failed(job: Job, rows: Sequence[ResultRow]) -> bool:
    """Tells whether there is a row of a job's failure."""
    return any(
        row.status != "ok" and row.provenance.seed == job.seed and row.provenance.config_hash == digest_of_job(job)
        for row in rows
        if row.variant == label_of(job.variant)
    )
