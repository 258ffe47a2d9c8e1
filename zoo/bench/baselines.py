"""Rows of baselines without a model, the mean image and the nearest context view, on the episodes of the models."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo.bench.measurement import key_of
from zoo.bench.protocol import Protocol, calibration_of, calibration_plan, calibration_size, plan_of
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_scenes
from zoo.data.source import SceneSource, Split
from zoo.errors import ConfigError
from zoo.evaluation.baselines import MEAN_IMAGE, NEAREST_VIEW, baseline_predictor, score_baseline
from zoo.evaluation.loop import Evaluation
from zoo.model.interfaces import Task
from zoo.model.tasks import MAP
from zoo.provenance import collect
from zoo.registry.variant import Variant, resolve
from zoo.results.metrics import code_sigma_metric, floor_metric, metrics_of
from zoo.results.row import Budget, ModelFacts, ResultRow
from zoo.results.store import rows_in, save_row

if TYPE_CHECKING:
    from zoo.bench.suite.jobs import Job

LIKELIHOOD = "annealed_gaussian"  # the only one whose single parameter is a given sigma
_NO_TRAINING = Budget(steps=0, batch_size=0, scenes_seen=0, seconds=0.0)


class BaselineScenes(NamedTuple):
    """The splits that a baseline needs."""

    reported: SceneSource
    train: SceneSource  # for the mean image
    calibration: SceneSource | None  # for the sigma of a code

    @classmethod
    def of(cls, data: Path, split: Split) -> BaselineScenes:
        """Opens the splits of a folder.

        Raises:
            DataError: if there are no such scenes.
        """
        return cls(open_scenes(data, split), open_scenes(data, "train"), calibration_of(data, reported=split))


def baseline_rows(
    variant: Variant,
    scenes: BaselineScenes,
    *,
    protocol: Protocol,
    present: Iterable[ResultRow],
    command: Sequence[str] = (),
) -> Iterator[ResultRow]:
    """Measures the baselines that rank with a variant under its protocol, except those among the ``present`` rows.

    Raises:
        ConfigError: if the scenes have too few views or images of another size.
    """
    plan = plan_of(protocol, variant, scenes.reported)
    schedule = evaluation_schedule_values(variant.training, sigma=protocol.sigma)
    evaluation = Evaluation(scenes.reported, plan, schedule=schedule, batch_size=protocol.batch_size)
    key = key_of(variant, scenes.reported, plan, sigma=float(schedule.sigma))
    names = _names_for(variant, num_context=plan.num_context)
    existing = {row.variant for row in present if row.is_baseline and row.key == key} if names else set()
    calibration = None
    if "bits-per-dim" in protocol.metrics and scenes.calibration is not None:
        calibrated = calibration_plan(plan, scenes.calibration, seed=protocol.seed)
        calibration = replace(evaluation, source=scenes.calibration, plan=calibrated)
    for name in names:
        if name in existing:
            continue
        predictor = baseline_predictor(name, train=scenes.train)
        scores = score_baseline(predictor, evaluation, calibration=calibration)
        per_scene = dict(scores.per_scene)
        floor = per_scene.pop("floor")
        metrics = {**metrics_of(per_scene, samples=1), "floor": floor_metric(floor)}
        if scores.code_sigma is not None:
            num_scenes = calibration_size(scenes.calibration)
            metrics["code_sigma"] = code_sigma_metric(scores.code_sigma, num_scenes=num_scenes)
        yield ResultRow(
            status="ok",
            variant=name,
            encoder="none",
            core=name.replace("-", "_"),
            key=key,
            metrics=metrics,
            per_scene={name: values.tolist() for name, values in per_scene.items()},
            model=ModelFacts(parameters=0),
            budget=_NO_TRAINING,
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

    Raises:
        ZooError: if scenes or a row are damaged.
    """
    present = [row for row in rows_in(rows) if row.is_baseline]
    scenes_of = functools.cache(BaselineScenes.of)
    written: list[Path] = []
    for number, job in enumerate(jobs, start=1):
        for num_context in job.contexts if job.data else ():
            assert job.data is not None
            scenes, protocol = scenes_of(job.data, job.split), job.protocol.at(num_context, timed=False)
            # The row of the job's failure reports episodes that do not fit.
            with contextlib.suppress(ConfigError):
                for row in baseline_rows(job.variant, scenes, protocol=protocol, present=present, command=job.command):
                    present.append(row)
                    written.append(save_row(row, rows))
        if progress:
            progress(number, len(jobs))
    return written
