"""From a suite to its jobs: every variant on its scenes with every seed, for as many updates as the budget allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from zoo.bench.measurement import label_of
from zoo.bench.protocol import Protocol
from zoo.bench.suite.cost import Cost, CostBook, steps_within, with_steps
from zoo.bench.suite.jobs import Job, configuration_of
from zoo.bench.suite.settings import Suite, SuitePart
from zoo.config.settings import LARGEST_SEED
from zoo.data.plan import write_index
from zoo.errors import ConfigError, RegistryError, ZooError, did_you_mean
from zoo.registry.registry import Registry
from zoo.registry.variant import FULL, Variant, resolve
from zoo.training.options import TrainingOptions

Progress = Callable[[int, int], None]
START_SECONDS = 5.0  # of a process, until it has imported everything


@dataclass(frozen=True, kw_only=True)
class SuiteSelection:
    """What the command line takes out of a suite or sets in its place."""

    models: Sequence[str] = ("*",)  # patterns; other variants are left out
    exclude: str | None = None  # pattern
    seeds: Sequence[int] | None = None
    steps: int | None = None  # instead of the budgets
    scenes: int | None = None  # the first so many test scenes
    repeats: int | None = None  # of the speed measurements

    def __post_init__(self) -> None:
        for seed in self.seeds or ():
            if not 0 <= seed <= LARGEST_SEED:
                raise ConfigError(f"--seeds: found {seed}, expected 0 to {LARGEST_SEED}")


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job with what it costs."""

    job: Job  # its run folder is assigned when the scenes exist
    data: str | None  # the name of its scenes in the suite
    cost: Cost  # of an update
    measured_scenes: int  # for every number of context views; 0: not known

    @property
    def flops(self) -> float:
        """Operations of the whole training."""
        recipe = self.job.variant.training
        return 0.0 if self.data is None else float(self.cost.flops) * recipe.batch_size * recipe.steps

    @property
    def seconds(self) -> float:
        """Estimated time of training and measuring; a forward pass is estimated as a third of a training step."""
        recipe, protocol = self.job.variant.training, self.job.protocol
        forward = self.cost.seconds / recipe.batch_size / 3
        speeds = 2 * (protocol.repeats + 3) * self.cost.seconds
        if self.data is None:
            return START_SECONDS + speeds
        # Samples of a prediction share the context's pass, and have no posterior.
        passes = 1.0 + max(protocol.importance_samples, default=0) + ("wrong-context" in protocol.metrics)
        if "predictions" in protocol.metrics:
            passes += 0.5 * protocol.prediction_samples
        if "separate-targets" in protocol.metrics and (protocol.num_targets or recipe.most_targets) > 1:
            passes += 1
        measuring = forward * passes * self.measured_scenes * len(self.job.contexts)
        return START_SECONDS + recipe.steps * self.cost.seconds + measuring + speeds


def matching_names(patterns: Iterable[str], *, exclude: Iterable[str], registry: Registry) -> list[str]:
    """Returns the variants of the patterns without those of ``exclude``; raises RegistryError if a pattern has none."""

    def names_of(pattern: str) -> list[str]:
        found = registry.names(pattern.strip())
        if not found:
            raise RegistryError(
                f"no variant matches {pattern.strip()!r}{did_you_mean(pattern.strip(), registry.names())}"
            )
        return found

    left_out = {name for pattern in exclude for name in names_of(pattern)}
    return [name for name in dict.fromkeys(chain.from_iterable(map(names_of, patterns))) if name not in left_out]


def variants_of(
    part: SuitePart, *, registry: Registry, place: str, selected: Container[str] | None = None
) -> Iterator[Variant]:
    """Yields the ``selected`` variants of a part; raises ZooError with the place if one cannot be made."""
    try:
        names = matching_names(part.variants, exclude=part.exclude, registry=registry)
        for name in names:
            if selected is None or name in selected:
                variant = registry.variant(name, size=part.size, overrides=list(_as_overrides(part.set)))
                resolve(variant)
                yield variant
    except ZooError as error:
        raise type(error)(f"{place}{error}") from None


def _as_overrides(changes: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Writes nested settings as ``key=value``; a component with ``use`` stays one value."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and "use" not in value:
            yield from _as_overrides(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={json.dumps(value)}"


def plan_suite(
    suite: Suite,
    *,
    output: Path,
    registry: Registry,
    costs: CostBook,
    selection: SuiteSelection,
    options: TrainingOptions,
    cpu: bool,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[PlannedJob]:
    """Makes the jobs of a suite; nothing is written but the costs, if the book saves them.

    Intervals of validations and checkpoints are the suite's; ``options`` has the others. ``progress`` counts variants.

    Raises:
        ZooError: naming the place in the suite file that is not valid.
    """
    exclude = [selection.exclude] if selection.exclude else []
    selected = set(matching_names(selection.models, exclude=exclude, registry=registry))
    chosen = [
        (part, variant)
        for index, part in enumerate(suite.settings.parts)
        for variant in variants_of(part, registry=registry, place=suite.place(f"parts.{index}"), selected=selected)
    ]
    if not chosen:
        raise ConfigError(f"{suite.place('parts')}no variant of the suite is left; see --models and --exclude")
    seeds = selection.seeds if selection.seeds is not None else suite.settings.seeds
    plan: list[PlannedJob] = []
    for number, (part, variant) in enumerate(chosen, start=1):
        budget = part.budget or suite.settings.budget
        cost = costs.cost(variant, budget=budget)
        steps = selection.steps or (steps_within(budget, variant, cost) if part.data else variant.training.steps)
        names: Sequence[str | None] = part.data or [None]
        for name in names:
            job = _job(suite, part, with_steps(variant, steps), data=name, output=output, selection=selection)
            job = replace(job, options=_training_options(options, suite, steps=steps), cpu=cpu, command=command)
            limits = () if name is None else (job.protocol.max_scenes, suite.data[name].test)
            scenes = min((limit for limit in limits if limit), default=0)
            for seed in seeds:
                seeded = replace(job, seed=seed, sheet=seed == seeds[0])
                plan.append(PlannedJob(job=seeded, data=name, cost=cost, measured_scenes=scenes))
        if progress:
            progress(number, len(chosen))
    _check_duplicates(plan, place=suite.place("parts"))
    return plan


def _job(
    suite: Suite, part: SuitePart, variant: Variant, *, data: str | None, output: Path, selection: SuiteSelection
) -> Job:
    settings = suite.settings
    repeats = settings.repeats if selection.repeats is None else selection.repeats
    return Job(
        variant=variant,
        data=None if data is None else suite.data[data].directory(data, output=output),
        run=output / "runs",
        rows=output / "rows",
        contexts=list(part.contexts) or [None],
        protocol=Protocol(
            num_targets=part.targets,
            sigma=settings.sigma,
            importance_samples=suite.importance_samples(part),
            prediction_samples=part.prediction_samples or settings.prediction_samples,
            metrics=tuple(settings.metrics),
            max_scenes=selection.scenes or settings.scenes,
            repeats=repeats or (0 if data else 1),
            seed=settings.episodes_seed,
        ),
    )


def _training_options(options: TrainingOptions, suite: Suite, *, steps: int) -> TrainingOptions:
    interval = max(1, -(-steps // suite.settings.checks))
    return replace(
        options,
        log_interval=max(1, min(options.log_interval, interval)),
        validation_interval=interval,
        validation_scenes=suite.settings.validation_scenes,
        save_interval=interval,
    )


def _check_duplicates(plan: Sequence[PlannedJob], *, place: str) -> None:
    seen = set()
    for planned in plan:
        job = planned.job
        key = json.dumps([job.variant.config(), planned.data, job.seed], sort_keys=True)
        if key in seen:
            raise ConfigError(
                f"{place}{label_of(job.variant)} is twice in the suite, on {planned.data or 'no data'} with "
                "the same settings; put its context views into one part"
            )
        seen.add(key)


def assign_run_dirs(plan: Sequence[PlannedJob], *, output: Path) -> list[PlannedJob]:
    """Assigns every job a run folder that is named by its configuration; the scenes must exist."""
    assigned = []
    for planned in plan:
        job = planned.job
        if job.data is not None:
            size = "" if job.variant.size == FULL else f"{job.variant.size}-"
            tag = f"{size}{planned.data}-seed-{job.seed}-{configuration_of(job)[:8]}"
            planned = replace(planned, job=replace(job, run=output / "runs" / Path(job.variant.name) / tag))
        assigned.append(planned)
    return assigned


def largest_episodes(suite: Suite, *, registry: Registry) -> dict[tuple[int, int, int], int]:
    """Returns the views that the largest episode needs, by (scenes, views, seed) of each test split that is made.

    Raises:
        ConfigError, RegistryError: if the suite names an unknown variant, size or setting.
    """
    largest: dict[tuple[int, int, int], int] = {}
    for index, part in enumerate(suite.settings.parts):
        for variant in variants_of(part, registry=registry, place=suite.place(f"parts.{index}")):
            recipe = variant.training
            needed = (part.targets or recipe.most_targets) + max(part.contexts, default=recipe.contexts.maximum)
            for scenes in (suite.data[name] for name in part.data):
                if scenes.recipe is not None:
                    num_views = scenes.built_in().num_views
                    split = scenes.test, num_views, suite.settings.episodes_seed
                    largest[split] = max(needed, largest.get(split, 0))
    return largest


def write_episodes(suite: Suite, *, registry: Registry, folder: Path) -> list[Path]:
    """Writes an index for every test split of a suite, as far as its largest episode reaches; returns the files.

    Raises:
        ConfigError, RegistryError, DataError: as ``largest_episodes``, or if an index exists with other contents.
    """
    return [
        write_index(folder, num_scenes=num_scenes, num_views=num_views, seed=seed, needed=needed)
        for (num_scenes, num_views, seed), needed in sorted(largest_episodes(suite, registry=registry).items())
    ]
