"""Trains one subject and scores unseen scenes at fixed numbers of updates, outside of the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from accelerate import Accelerator

from benchmarks.time_to_quality.record import KIND, Point, QualityRun, run_path, save
from benchmarks.time_to_quality.subjects import Subject
from zoo.bench.suite.cost import flops_per_scene
from zoo.bench.suite.scenes import SceneSet
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.loader import TrainingLoader
from zoo.data.opening import open_splits
from zoo.data.plan import EvaluationPlan, TrainingPlan
from zoo.errors import ConfigError
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.provenance import collect, hash_config
from zoo.training.options import TrainingOptions
from zoo.training.step import TrainStep

RECIPE, SIGMA, NUM_CONTEXT = "rooms_ring_camera", 0.7, 4
FIRST, POINTS = 10, 24  # the first scored update, and the number of scored ones, evenly spaced on a logarithmic scale
SCORED_AT_ONCE = 50  # scenes

Log = Callable[[str], None]


class Setting(NamedTuple):
    """The conditions that all subjects share."""

    scenes: SceneSet
    data: Path  # folder of the scenes
    num_context: int  # views of a scored scene
    seconds: float  # most CPU time of a training

    def config(self, subject: Subject) -> dict[str, Any]:
        """Returns everything that decides a curve, except the seed, as plain values."""
        scenes = {("of_scenes" if key == "seed" else key): value for key, value in self.scenes.model_dump().items()}
        shared = {"scenes": scenes, "num_context": self.num_context, "seconds": self.seconds, "sigma": SIGMA}
        return {"variant": subject.variant.config(), "textbook": subject.textbook, **shared}


def setting_of(
    subjects: Sequence[Subject], *, train: int, test: int, num_context: int, seconds: float, output: Path
) -> Setting:
    """Returns the conditions for some subjects; their scenes will lie below ``output``.

    Raises:
        ConfigError: if the subjects have images of different sizes.
    """
    sizes = {subject.variant.image_size for subject in subjects}
    if len(sizes) != 1:
        found = ", ".join(f"{subject.label} ({subject.variant.image_size})" for subject in subjects)
        raise ConfigError(f"--models: found {found}; expected images of one size")
    scenes = SceneSet(recipe=RECIPE, image_size=sizes.pop(), train=train, test=test)
    data = scenes.directory("rooms", output=output)
    return Setting(scenes=scenes, data=data, num_context=num_context, seconds=seconds)


def scored_updates(updates: int) -> list[int]:
    """Returns the numbers of updates after which the scenes are scored, ascending; the last is ``updates``."""
    first = min(FIRST, updates)
    return sorted({round(float(number)) for number in np.geomspace(first, updates, POINTS)})


def train_missing(
    subjects: Sequence[Subject],
    *,
    seeds: Sequence[int],
    setting: Setting,
    folder: Path,
    command: Sequence[str],
    log: Log,
) -> list[Path]:
    """Trains what has no file in a folder yet, all subjects with the first seed first; returns the new files."""
    written = []
    for seed in seeds:
        for subject in subjects:
            path = run_path(folder, label=subject.label, seed=seed, config_hash=hash_config(setting.config(subject)))
            if path.exists():
                log(f"{path.name}: exists")
                continue
            setting.scenes.make(setting.data)
            log(f"{subject.label}, seed {seed}")
            save(train(subject, seed=seed, setting=setting, command=command, log=log), path)
            written.append(path)
    return written


def train(subject: Subject, *, seed: int, setting: Setting, command: Sequence[str], log: Log) -> QualityRun:
    """Trains a subject until its last update, or until the CPU time is spent."""
    sources = open_splits(setting.data, only=("train", "test"))
    recipe, model = subject.variant.training, subject.model(seed=seed)
    plan = EvaluationPlan(sources["test"], num_context=setting.num_context, num_targets=1)
    evaluation = Evaluation(
        sources["test"],
        plan,
        schedule=evaluation_schedule_values(recipe, sigma=SIGMA),
        batch_size=SCORED_AT_ONCE,
    )
    trained = TrainStep(
        model,
        recipe=recipe,
        seed=seed,
        accelerator=Accelerator(cpu=True),
        options=TrainingOptions(),
        checkpoints=setting.data,
    )
    loader = TrainingLoader(
        sources["train"],
        plan=TrainingPlan(sources["train"], recipe=recipe, seed=seed),
        device="cpu",
        workers=0,
        residence="device",
    )
    points: list[Point] = []
    cpu = wall = 0.0

    def score(updates: int) -> None:
        excess = float(score_scenes(trained.evaluated_model, evaluation)["nelbo_excess"].mean())
        points.append(Point(updates=updates, cpu_seconds=cpu, wall_seconds=wall, excess=excess))
        log(f"  {updates} updates, {cpu:.1f} s of CPU time, {wall:.1f} s in all: excess {excess:.2f}")

    score(0)
    due, batches = set(scored_updates(recipe.steps)), loader.pieces(start=0, stop=recipe.steps)
    trained.wrapped.train()
    for update in range(1, recipe.steps + 1):
        cpu_before, wall_before = time.process_time(), time.perf_counter()
        trained.run(update - 1, batches)
        cpu += time.process_time() - cpu_before
        wall += time.perf_counter() - wall_before
        spent = cpu >= setting.seconds
        if update in due or spent:
            score(update)
        if spent:
            break
    return QualityRun(
        kind=KIND,
        schema_version=1,
        label=subject.label,
        dataset=sources["test"].name,
        revision=sources["test"].revision,
        scenes=plan.num_scenes,
        num_context=setting.num_context,
        sigma=SIGMA,
        flops_per_update=flops_per_scene(subject.variant, model=model) * recipe.batch_size,
        points=points,
        provenance=collect(seed=seed, command=command, config=setting.config(subject), device="cpu"),
    )
