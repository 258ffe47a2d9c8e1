"""Rows of predictions without a model: what every model has to pass, on its own episodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.bench.measurement import key_of
from zoo.bench.protocol import Protocol, calibration_of, calibration_plan, calibration_size, plan_of
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_scenes
from zoo.data.source import SceneSource, Split
from zoo.evaluation.baselines import MEAN_IMAGE, NEAREST_VIEW, guess_of, score_reference
from zoo.model.interfaces import Task
from zoo.model.tasks import MAP
from zoo.provenance import collect
from zoo.registry.variant import Variant, resolve
from zoo.results.metrics import code_sigma_metric, floor_metric, metrics_of
from zoo.results.row import Budget, ModelFacts, ResultRow

LIKELIHOOD = "annealed_gaussian"  # the one whose only parameter is a sigma that is given
_NO_TRAINING = Budget(steps=0, batch_size=0, scenes_seen=0, seconds=0.0)


class Scenes(NamedTuple):
    """The splits that a reference is made of."""

    reported: SceneSource  # what is scored
    train: SceneSource  # whose mean image is taken
    calibration: SceneSource | None  # on which the sigma of a code is fitted

    @classmethod
    def of(cls, data: Path, split: Split) -> Scenes:
        """Opens the splits of a folder.

        Raises:
            DataError: if there are no such scenes.
        """
        return cls(open_scenes(data, split), open_scenes(data, "train"), calibration_of(data))


def reference_rows(
    variant: Variant,
    scenes: Scenes,
    *,
    protocol: Protocol,
    present: Iterable[ResultRow],
    command: Sequence[str] = (),
) -> Iterator[ResultRow]:
    """Makes the rows that a variant is held against, those that are not there yet.

    Args:
        variant: decides task, sigma and, where the protocol leaves them open, the numbers of views.
        scenes: the splits.
        protocol: of the variant's own measurement.
        present: rows that are there.
        command: the command line, for the provenance.

    Raises:
        ConfigError: if the scenes have too few views or images of another size.
    """
    plan = plan_of(protocol, variant, scenes.reported)
    schedule = evaluation_schedule_values(variant.training, sigma=protocol.sigma)
    key = key_of(variant, scenes.reported, plan, sigma=float(schedule.sigma))
    names = _names_for(variant, num_context=plan.num_context)
    there = {row.variant for row in present if row.is_baseline and row.key == key} if names else set()
    calibration = None
    if "bits-per-dim" in protocol.metrics and scenes.calibration is not None:
        episodes = calibration_plan(plan, scenes.calibration, seed=protocol.seed)
        calibration = scenes.calibration, episodes
    for name in names:
        if name in there:
            continue
        scores = score_reference(
            guess_of(name, train=scenes.train),
            scenes.reported,
            plan,
            schedule=schedule,
            batch_size=protocol.batch_size,
            calibration=calibration,
        )
        per_scene = dict(scores.per_scene)
        floor = per_scene.pop("floor")
        metrics = metrics_of(per_scene, samples=1)
        metrics["floor"] = floor_metric(floor)
        if scores.code_sigma is not None:
            metrics["code_sigma"] = code_sigma_metric(
                scores.code_sigma, num_scenes=calibration_size(scenes.calibration)
            )
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
    task = part.part(part.config, image_size=variant.image_size)  # type: ignore[call-arg]
    assert isinstance(task, Task)
    if variant.likelihood.use != LIKELIHOOD or task.target_kind != "images" or MAP in task.extras:
        return []
    return [MEAN_IMAGE, NEAREST_VIEW] if num_context and task.context_kind == "images" else [MEAN_IMAGE]
