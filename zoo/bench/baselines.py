"""Rows of baselines without a model, the mean image and the nearest context view, on the episodes of the models."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.bench.measurement import key_of
from zoo.bench.protocol import Protocol, calibration_plan, calibration_size, calibration_split, plan_of
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_splits
from zoo.data.source import SceneSource, Split
from zoo.errors import ConfigError
from zoo.evaluation.baselines import MEAN_IMAGE, NEAREST_VIEW, baseline_predictor, score_baseline
from zoo.evaluation.loop import Evaluation
from zoo.model.interfaces import Task
from zoo.model.tasks import MAP
from zoo.provenance import collect
from zoo.registry.variant import Variant, resolve
from zoo.results.metrics import code_sigma_metric, metrics_of
from zoo.results.row import Budget, ModelFacts, ResultRow
from zoo.results.store import rows_in, save_row

if TYPE_CHECKING:
    from zoo.bench.suite.jobs import Job

LIKELIHOOD = "annealed_gaussian"  # the only one whose single parameter is a given sigma


def baseline_rows(
    variant: Variant,
    splits: Mapping[Split, SceneSource],
    *,
    reported: Split = "test",
    protocol: Protocol,
    present: Iterable[ResultRow],
    command: Sequence[str] = (),
) -> Iterator[ResultRow]:
    """Measures the baselines that rank with a variant under its protocol, except those among the ``present`` rows.

    The mean image is that of the training split, and a sigma is fitted on :func:`zoo.bench.protocol.calibration_split`.

    Raises:
        ConfigError: if the scenes have too few views or images of another size.
    """
    source, fitted = splits[reported], calibration_split(splits, reported=reported)
    plan = plan_of(protocol, variant, source)
    schedule = evaluation_schedule_values(variant.training, sigma=protocol.sigma)
    evaluation = Evaluation(source, plan, schedule=schedule, batch_size=protocol.batch_size)
    key = key_of(variant, source, plan, sigma=float(schedule.sigma))
    names = _names_for(variant, num_context=plan.num_context)
    existing = {row.variant for row in present if row.is_baseline and row.key == key} if names else set()
    calibration = None
    if "bits-per-dim" in protocol.metrics and fitted is not None:
        calibration = replace(evaluation, source=fitted, plan=calibration_plan(protocol, variant, fitted))
    for name in names:
        if name in existing:
            continue
        scores = score_baseline(baseline_predictor(name, train=splits["train"]), evaluation, calibration=calibration)
        metrics = metrics_of(scores.per_scene, samples=1)
        if scores.code_sigma is not None:
            metrics["code_sigma"] = code_sigma_metric(scores.code_sigma, num_scenes=calibration_size(fitted))
        yield ResultRow(
            status="ok",
            variant=name,
            encoder="none",
            core=name.replace("-", "_"),
            key=key,
            metrics=metrics,
            per_scene={metric: values.tolist() for metric, values in scores.per_scene.items() if metric != "floor"},
            model=ModelFacts(parameters=0),
            budget=Budget(steps=0, batch_size=0, scenes_seen=0, seconds=0.0),
            provenance=collect(seed=0, command=command, config={"reference": name}, device="cpu"),
        )


def _names_for(variant: Variant, *, num_context: int) -> list[str]:
    """Returns no names for a variant that does not predict plain images under the Gaussian of fixed sigma."""
    part = resolve(variant)["task"]
    task = part.component_class(part.config, image_size=variant.image_size)  # type: ignore[call-arg]
    assert isinstance(task, Task)
    if variant.likelihood.use != LIKELIHOOD or task.target_kind != "images" or MAP in task.extras:
        return []
    return [MEAN_IMAGE, NEAREST_VIEW] if num_context and task.context_kind == "images" else [MEAN_IMAGE]


def measure_baselines(
    jobs: Sequence[Job], *, rows: Path, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Measures the baselines on the episodes of all jobs, each once, and returns the files of the new rows.

    Data without a train or a test split are left out; the row of the job's failure reports them.

    Raises:
        DataError, ResultError: if scenes or rows cannot be read or written.
    """
    present = [row for row in rows_in(rows) if row.is_baseline]
    splits_of = functools.cache(open_splits)
    written: list[Path] = []
    for number, job in enumerate(jobs, start=1):
        splits = splits_of(job.data) if job.data else {}
        for num_context in job.contexts if {"train", "test"} <= set(splits) else ():
            protocol = job.protocol.at(num_context, timed=False)
            # The row of the job's failure reports episodes that do not fit.
            with contextlib.suppress(ConfigError):
                for row in baseline_rows(job.variant, splits, protocol=protocol, present=present, command=job.command):
                    present.append(row)
                    written.append(save_row(row, rows))
        if progress:
            progress(number, len(jobs))
    return written
