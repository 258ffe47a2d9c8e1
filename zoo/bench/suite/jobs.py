"""One job: a variant that is trained and measured. Its rows show whether it is done."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo.bench.measurement import StageProgress, evaluate, expected_metrics, failed_row, label_of, speed_row
from zoo.bench.prediction_sheets import attach, draw_sheet
from zoo.bench.protocol import Protocol, calibration_split, plan_of
from zoo.data.opening import open_scenes, open_splits
from zoo.data.source import SceneSource
from zoo.errors import ZooError
from zoo.provenance import collect, hash_config
from zoo.registry.variant import Variant
from zoo.results.row import ResultRow
from zoo.results.store import rows_in, save_row
from zoo.training.options import ResumeOptions, TrainingOptions
from zoo.training.run import device_of, run_config, train
from zoo.training.trained_model import load_trained
from zoo.training.trainer import Progress, TrainingReport

KILLED = "the process of this variant was killed, most likely for lack of memory"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One variant to train and measure, on the test scenes."""

    variant: Variant
    data: Path | None  # folder of scenes; None measures speeds alone, on noise
    run: Path  # folder of the run
    rows: Path  # folder of the result rows
    seed: int = 0
    contexts: Sequence[int | None] = (None,)  # numbers of context views; None is the largest of training
    protocol: Protocol = field(default_factory=Protocol)
    options: TrainingOptions = field(default_factory=TrainingOptions)
    cpu: bool = False
    sheet: bool = False  # draws predictions into the run folder, if they are images
    command: Sequence[str] = ()  # for the provenance

    @property
    def device(self) -> str:
        """The device that it runs on."""
        return device_of(cpu=self.cpu)


def run_job(job: Job, *, progress: StageProgress | None = None) -> list[Path]:
    """Trains, resuming an interrupted run, and measures what has no row yet; returns the files of the new rows.

    A failure of the variant (not finite, out of memory, a user's mistake) becomes a row as well. The stages of the
    progress are ``training`` and ``measuring``.

    Raises:
        KeyboardInterrupt: if the run was interrupted; it has a checkpoint.
    """
    written: list[Path] = []
    try:
        for row in _rows(job, progress=progress):
            written.append(save_row(row, job.rows))  # noqa: PERF401  (kept on failure)
    except (ZooError, MemoryError) as error:
        written.append(save_row(failure_row(job, error), job.rows))
    return written


def _rows(job: Job, *, progress: StageProgress | None) -> Iterator[ResultRow]:
    if job.data is None:
        if not is_done(job):
            row = speed_row(job.variant, seed=job.seed, protocol=job.protocol, device=job.device, command=job.command)
            yield _with_job(row, job=digest_of_job(job))
        return
    # A job that cannot be measured is refused before hours of training.
    source = open_scenes(job.data, "test")
    for num_context in job.contexts:
        plan_of(job.protocol.at(num_context, timed=False), job.variant, source)
    missing = missing_contexts(job, rows_of(job))
    if not missing:
        return
    steps = job.variant.training.steps
    report = train_job(job, progress=progress and (lambda step, figures: progress("training", step, steps)))
    if report.status == "interrupted":
        # The checkpoint is resumed by the same command. A row of a half-trained model would be wrong.
        raise KeyboardInterrupt
    trained = load_trained(job.run, device=job.device)
    calibration = calibration_split(open_splits(job.data), reported="test")
    # Speeds do not depend on the number of context views: they are measured once.
    timed = _timed_row(job)
    for num_context in missing:
        row = evaluate(
            trained,
            source,
            protocol=job.protocol.at(num_context, timed=timed is None),
            calibration=calibration,
            speeds_of=timed,
            device=job.device,
            command=job.command,
            progress=progress and (lambda stage, done, total: progress("measuring", done, total)),
        )
        timed = timed or (row if row.performance else None)
        if job.sheet and num_context == missing[0] and trained.model.task.target_kind == "images":
            # Before the row, so that a finished job has its sheet; after the timings, because drawing takes memory.
            protocol, target = job.protocol.at(job.contexts[-1], timed=False), sheet_path(job)
            draw_sheet(trained, source, target=target, protocol=protocol, device=job.device)
        row = _with_job(row, job=digest_of_job(job))
        protocol = job.protocol.at(num_context, timed=False)
        attach(row, job.rows, trained=trained, source=source, protocol=protocol, device=job.device)
        yield row


def sheet_path(job: Job) -> Path:
    """Returns the file of a job's prediction sheet."""
    assert job.data is not None
    dataset = open_scenes(job.data, "test").name
    return job.run / f"sheet-{job.variant.name.replace('/', '-')}-{dataset}.png"


def _timed_row(job: Job) -> ResultRow | None:
    """Returns a row of the job's configuration whose speeds were measured on this machine, None if there is none."""
    here = collect(seed=job.seed, command=(), config={}, device=job.device)
    for row in _of_configuration(job, rows_of(job)):
        there = row.provenance
        if row.performance and (there.hardware, there.device, there.git) == (here.hardware, here.device, here.git):
            return row
    return None


def train_job(job: Job, *, progress: Progress | None = None) -> TrainingReport:
    """Trains from the newest checkpoint, if there is one; a finished run is not trained again."""
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


def rows_of(job: Job) -> list[ResultRow]:
    """Returns the rows of a job's variant in the job's folder, also those of other jobs; ResultError if one is damaged."""
    return rows_in(job.rows, variant=label_of(job.variant))


def is_done(job: Job, rows: Sequence[ResultRow] | None = None) -> bool:
    """Returns whether a job has a row without failure for everything that it measures, by default in its folder."""
    try:
        rows = rows_of(job) if rows is None else rows
        if job.data is None:
            device = job.device
            return any(row.key is None and row.provenance.device == device for row in _of_configuration(job, rows))
        return not missing_contexts(job, rows)
    except ZooError:
        return False  # running the job reports the error


def has_failed(job: Job, rows: Sequence[ResultRow]) -> bool:
    """Returns whether there is a row of a job's failure."""
    return any(
        row.status != "ok" and row.provenance.seed == job.seed and row.provenance.config_hash == digest_of_job(job)
        for row in rows
        if row.variant == label_of(job.variant)
    )


def missing_contexts(job: Job, rows: Sequence[ResultRow]) -> list[int | None]:
    """Returns the numbers of context views without a row; raises ZooError if variant and data do not fit."""
    assert job.data is not None
    same = _of_configuration(job, rows)
    source = open_scenes(job.data, "test")
    return [
        number
        for number in job.contexts
        if not any(_satisfies(row, job.protocol.at(number, timed=False), job.variant, source) for row in same)
    ]


def _of_configuration(job: Job, rows: Sequence[ResultRow]) -> list[ResultRow]:
    label = label_of(job.variant)
    named = [row for row in rows if row.status == "ok" and row.variant == label and row.provenance.seed == job.seed]
    configuration = configuration_of(job) if named else ""
    return [row for row in named if row.provenance.config_hash == configuration]


def _satisfies(row: ResultRow, protocol: Protocol, variant: Variant, source: SceneSource) -> bool:
    """Returns whether a row of a variant has the episodes, the sigma and the metrics of a protocol."""
    plan = plan_of(protocol, variant, source)
    key = row.key
    wanted_key = (source.split, plan.num_context, plan.digest())
    if key is None or (key.split, key.num_context, key.episodes) != wanted_key:
        return False
    sigma = variant.training.sigma.end if protocol.sigma is None else protocol.sigma
    if key.sigma is not None and not math.isclose(key.sigma, sigma, rel_tol=1e-5):
        return False
    wanted = expected_metrics(variant, plan, protocol=protocol)
    return all(name in row.metrics and row.metrics[name].unit == unit for name, unit in wanted.items())


def configuration_of(job: Job) -> str:
    """Returns the digest of the configuration in a job's rows."""
    if job.data is None:
        return hash_config(job.variant.config())
    return hash_config(run_config(job.variant, seed=job.seed, source=open_scenes(job.data, "train")))


def digest_of_job(job: Job) -> str:
    """Returns 16 hexadecimal digits for what a job asks for, without device, workers, folders and repetitions."""
    try:
        configuration = configuration_of(job)
    except ZooError:  # the failure of a job whose parts do not fit needs a digest as well
        configuration = job.variant.model_dump_json()
    measured = dataclasses.asdict(job.protocol)
    # ``hash_config`` leaves out every key that is called seed.
    episodes = measured.pop("seed")
    del measured["batch_size"], measured["repeats"]
    return hash_config(
        {
            "job": configuration,
            "of_run": job.seed,
            "of_episodes": episodes,
            "scenes": None if job.data is None else job.data.name,
            "contexts": list(job.contexts),
            "split": "test",
            "protocol": measured,
        }
    )


def failure_row(job: Job, error: BaseException) -> ResultRow:
    """Returns the row of a job that failed; the job's digest is its configuration."""
    row = failed_row(job.variant, error, seed=job.seed, command=job.command, device=job.device)
    digest = digest_of_job(job)
    return _with_job(row, job=digest, config_hash=digest)


def _with_job(row: ResultRow, *, job: str, config_hash: str | None = None) -> ResultRow:
    """Returns a row with its job, and with another configuration if given, in its provenance."""
    values = row.model_dump()
    changed = {"job": job, "config_hash": config_hash or row.provenance.config_hash}
    return ResultRow.model_validate({**values, "id": "", "provenance": {**values["provenance"], **changed}})
