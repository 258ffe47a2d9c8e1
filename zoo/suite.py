"""Training and measuring several variants, each in a process of its own, so that none can spoil another."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from zoo.data.opening import open_scenes
from zoo.data.source import SceneSource, Split
from zoo.errors import ZooError
from zoo.measuring import Protocol, evaluate, failed_row, label_of, plan_of, speed_row
from zoo.provenance import hash_config
from zoo.registry import Variant
from zoo.results import ResultRow, load_rows, save_row
from zoo.training.run import Start, device_of, load_trained, run_config, train
from zoo.training.trainer import Progress, TrainingOptions, TrainingReport


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
    command: Sequence[str] = ()

    @property
    def device(self) -> str:
        """Where it runs."""
        return device_of(cpu=self.cpu)


def carry_out(job: Job) -> list[Path]:
    """Trains (going on with an interrupted run) and measures; returns the files of the rows written.

    A failure that belongs to the variant (not finite, out of memory, a user's mistake) is a row as well.
    """
    try:
        return [save_row(row, job.rows) for row in _rows(job)]
    except (ZooError, MemoryError) as error:
        return [
            save_row(failed_row(job.variant, error, seed=job.seed, command=job.command, device=job.device), job.rows)
        ]


def _rows(job: Job) -> list[ResultRow]:
    if job.data is None:
        return [speed_row(job.variant, seed=job.seed, protocol=job.protocol, device=job.device, command=job.command)]
    # What cannot be measured is told before it is trained for hours.
    source = open_scenes(job.data, job.split)
    for num_context in job.contexts:
        plan_of(job.protocol.at(num_context, timed=False), job.variant, source)
    report = train_job(job)
    if report.status == "interrupted":
        # A checkpoint is there; the same command goes on from it. A row of a half-trained model would mislead.
        raise KeyboardInterrupt
    trained = load_trained(job.run, device=job.device)
    return [
        evaluate(
            trained,
            source,
            protocol=job.protocol.at(num_context, timed=index == 0),
            device=job.device,
            command=job.command,
        )
        for index, num_context in enumerate(job.contexts)
    ]


def train_job(job: Job, *, progress: Progress | None = None) -> TrainingReport:
    """Trains, going on from the newest checkpoint if there is one; a finished run is left as it is."""
    assert job.data is not None
    return train(
        job.variant,
        data=job.data,
        run=job.run,
        seed=job.seed,
        options=job.options,
        start=Start(resume="auto"),
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
                failure = MemoryError(
                    "the process of this variant was ended from outside, most likely for want of memory"
                )
            except Exception as error:  # a defect of one variant must not spoil the others
                failure = error
        tell(f"{job.variant.name}, seed {job.seed}: {failure}")
        row = failed_row(job.variant, failure, seed=job.seed, command=job.command, device=job.device)
        written.append(save_row(row, job.rows))
    return written


def run_folder(folder: Path, variant: Variant, *, seed: int) -> Path:
    """Returns where a suite keeps the run of a variant and seed."""
    name = variant.name.replace("/", os.sep)
    return folder / "runs" / name / f"{variant.size}-seed-{seed}"


def finished(job: Job) -> bool:
    """Tells whether a job has left a row without failure for everything that it asks for."""
    try:
        rows = load_rows([job.rows])
        configuration = configuration_of(job)
        same = [
            row
            for row in rows
            if row.status == "ok"
            and row.variant == label_of(job.variant)
            and row.provenance.seed == job.seed
            and row.provenance.config_hash == configuration
        ]
        if job.data is None:
            return any(row.key is None for row in same)
        source = open_scenes(job.data, job.split)
        return all(
            any(_answers(row, job.protocol.at(number, timed=False), job.variant, source) for row in same)
            for number in job.contexts
        )
    except ZooError:
        return False  # whatever is wrong is told when the job is carried out


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
    sigma = variant.training.sigma.end if protocol.sigma is None else protocol.sigma
    if found.sigma is not None and not math.isclose(found.sigma, sigma, rel_tol=1e-5):
        return False
    return not protocol.importance_samples or f"iwae_{protocol.importance_samples}" in row.metrics


def configuration_of(job: Job) -> str:
    """Returns the digest of the configuration that a job's rows bear."""
    config = job.variant.config()
    if job.data is not None:
        source = open_scenes(job.data, "train")
        config = run_config(job.variant, seed=job.seed, source=source)
    return hash_config(config)
