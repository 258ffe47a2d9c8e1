"""From a suite to its jobs: every variant on its scenes with every seed, for as many updates as the budget allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.bench.measurement import label_of
from zoo.bench.protocol import Protocol
from zoo.bench.suite.cost import Cost, steps_within, with_steps
from zoo.bench.suite.cost_book import CostBook
from zoo.bench.suite.data import check_scenes, counts_of, folder_of
from zoo.bench.suite.jobs import Job, configuration_of
from zoo.bench.suite.settings import Suite, SuitePart
from zoo.errors import ConfigError, RegistryError, ZooError, did_you_mean
from zoo.registry.registry import Registry
from zoo.registry.variant import FULL, Variant, resolve
from zoo.training.options import TrainingOptions

Counting = Callable[[int, int], None]
START_SECONDS = 5.0  # of a process, until it has imported everything


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the command line takes out of a suite or sets in its place.

    Attributes:
        models: patterns of variants; the rest is left out.
        exclude: a pattern of variants to leave out.
        seeds: instead of the suite's.
        steps: updates, instead of the budgets.
        scenes: the first so many test scenes, instead of the suite's.
        repeats: of the timings, instead of the suite's.
    """

    models: Sequence[str] = ("*",)
    exclude: str | None = None
    seeds: Sequence[int] | None = None
    steps: int | None = None
    scenes: int | None = None
    repeats: int | None = None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A job with what it costs.

    Attributes:
        job: the job; its folder of the run is settled once the scenes are there.
        data: the name of its scenes in the suite.
        cost: of an update.
        measured_scenes: test scenes, for every number of context views.
    """

    job: Job
    data: str | None
    cost: Cost
    measured_scenes: int

    @property
    def flops(self) -> float:
        """Operations of the whole training."""
        recipe = self.job.variant.training
        return 0.0 if self.data is None else float(self.cost.flops) * recipe.batch_size * recipe.steps

    @property
    def seconds(self) -> float:
        """Estimated time of training and measuring; a forward pass is taken for a third of a training step."""
        recipe, protocol = self.job.variant.training, self.job.protocol
        forward = self.cost.seconds / recipe.batch_size / 3
        timings = 2 * (protocol.repeats + 3) * self.cost.seconds
        if self.data is None:
            return START_SECONDS + timings
        # Samples of a prediction share the context's pass, and have no posterior.
        passes = 1.0 + max(protocol.importance_samples, default=0) + ("wrong-context" in protocol.metrics)
        if "predictions" in protocol.metrics:
            passes += 0.5 * protocol.prediction_samples
        if "separate-targets" in protocol.metrics and (protocol.num_targets or recipe.targets) > 1:
            passes += 1
        measuring = forward * passes * self.measured_scenes * len(self.job.contexts)
        return START_SECONDS + recipe.steps * self.cost.seconds + measuring + timings


def names_of(patterns: Iterable[str], *, exclude: Iterable[str], registry: Registry) -> list[str]:
    """Returns the variants that match one of the patterns and none of the others, in the order of the patterns.

    Raises:
        RegistryError: if a pattern matches nothing; the nearest names are told.
    """
    left_out = {name for pattern in exclude for name in registry.names(pattern.strip())}
    names: list[str] = []
    for pattern in map(str.strip, patterns):
        found = registry.names(pattern)
        if not found:
            raise RegistryError(f"no variant matches {pattern!r}{did_you_mean(pattern, registry.names())}")
        names += [name for name in found if name not in names and name not in left_out]
    return names


def plan_suite(
    suite: Suite,
    *,
    output: Path,
    registry: Registry,
    costs: CostBook,
    choice: Choice,
    options: TrainingOptions,
    cpu: bool,
    command: Sequence[str] = (),
    counting: Counting | None = None,
) -> list[Planned]:
    """Makes the jobs of a suite; nothing is written but the book of costs, if it keeps what is new.

    Args:
        suite: the suite.
        output: folder of everything.
        registry: of the variants.
        costs: counts and measures.
        choice: of the command line.
        options: how training is carried out; intervals of validation are the suite's.
        cpu: leaves GPUs alone.
        command: the command line, for the provenance.
        counting: is told how many variants' costs are known, and of how many.

    Raises:
        ZooError: naming the place in the suite file that cannot be.
    """
    file = str(suite.path)
    for name, scenes in suite.data.items():
        check_scenes(scenes, file=file, path=f"data.{name}")
    wanted = set(names_of(choice.models, exclude=[choice.exclude] if choice.exclude else [], registry=registry))
    chosen = [
        (index, part, variant)
        for index, part in enumerate(suite.parts)
        for variant in variants_of(part, registry=registry, place=f"{file}: parts.{index}", wanted=wanted)
    ]
    if not chosen:
        raise ConfigError(f"{file}: parts: no variant of the suite is left; see --models and --exclude")
    plan: list[Planned] = []
    for number, (_, part, variant) in enumerate(chosen):
        if counting:
            counting(number, len(chosen))
        budget = part.budget or suite.settings.budget
        cost = costs.cost(variant, budget=budget)
        steps = choice.steps or (steps_within(budget, variant, cost) if part.data else variant.training.steps)
        trained = with_steps(variant, steps)
        places: Sequence[str | None] = part.data or [None]
        for place in places:
            seeds = choice.seeds if choice.seeds is not None else suite.settings.seeds
            for seed in seeds:
                job = _job(suite, part, trained, data=place, seed=seed, output=output, choice=choice)
                settings = _options(options, suite, steps=steps)
                job = replace(job, options=settings, cpu=cpu, sheet=seed == seeds[0], command=command)
                plan.append(Planned(job=job, data=place, cost=cost, measured_scenes=_scenes(suite, place, choice)))
    _check_duplicates(plan, file=file)
    return plan


def variants_of(
    part: SuitePart, *, registry: Registry, place: str, wanted: Container[str] | None = None
) -> Iterator[Variant]:
    """Gives the variants of a part at their size, with the part's settings laid over them.

    Args:
        part: of a suite.
        registry: of the variants.
        place: of the part, for messages.
        wanted: the only names that are given; None gives all.

    Raises:
        ZooError: naming the place, if a name or a setting does not exist.
    """
    try:
        names = names_of(part.variants, exclude=part.exclude, registry=registry)
        for name in names:
            if wanted is None or name in wanted:
                variant = registry.variant(name, size=part.size, overrides=list(_as_overrides(part.set)))
                resolve(variant)
                yield variant
    except ZooError as error:
        raise type(error)(f"{place}: {error}") from None


def _as_overrides(changes: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Writes nested settings as ``key=value``, a part with ``use`` in one piece."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and "use" not in value:
            yield from _as_overrides(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={json.dumps(value)}"


def _job(
    suite: Suite, part: SuitePart, variant: Variant, *, data: str | None, seed: int, output: Path, choice: Choice
) -> Job:
    settings = suite.settings
    return Job(
        variant=variant,
        data=None if data is None else folder_of(data, suite.data[data], output=output),
        run=output / "runs",
        rows=output / "rows",
        seed=seed,
        contexts=list(part.contexts) or [None],
        protocol=Protocol(
            num_targets=part.targets,
            sigma=settings.sigma,
            importance_samples=suite.importance_samples(part),
            prediction_samples=settings.prediction_samples,
            metrics=tuple(settings.metrics),
            max_scenes=choice.scenes or settings.scenes,
            repeats=(settings.repeats if choice.repeats is None else choice.repeats) or (0 if data else 1),
            seed=settings.episodes_seed,
        ),
    )


def _options(options: TrainingOptions, suite: Suite, *, steps: int) -> TrainingOptions:
    interval = max(1, -(-steps // suite.settings.checks))
    return replace(
        options,
        log_interval=max(1, min(options.log_interval, interval)),
        validation_interval=interval,
        validation_scenes=suite.settings.validation_scenes,
        save_interval=interval,
    )


def _scenes(suite: Suite, data: str | None, choice: Choice) -> int:
    """Returns how many test scenes are measured; of a folder that is not capped it is not known, and is told as none."""
    if data is None:
        return 0
    most = choice.scenes or suite.settings.scenes
    made = counts_of(suite.data[data]).get("test", 0)
    return min(most, made) if most and made else most or made


def _check_duplicates(plan: Sequence[Planned], *, file: str) -> None:
    seen: dict[str, Planned] = {}
    for planned in plan:
        job = planned.job
        key = json.dumps([job.variant.config(), planned.data, job.seed], sort_keys=True)
        if key in seen:
            raise ConfigError(
                f"{file}: parts: {label_of(job.variant)} stands twice in the suite, on {planned.data or 'no data'} with "
                "the same settings; put its context views into one part"
            )
        seen[key] = planned


def settle(plan: Sequence[Planned], *, output: Path) -> list[Planned]:
    """Gives every job the folder of its run, named by its configuration; the scenes must be there."""
    settled = []
    for planned in plan:
        job = planned.job
        if job.data is not None:
            size = "" if job.variant.size == FULL else f"{job.variant.size}-"
            tag = f"{size}{planned.data}-seed-{job.seed}-{configuration_of(job)[:8]}"
            planned = replace(planned, job=replace(job, run=output / "runs" / Path(job.variant.name) / tag))
        settled.append(planned)
    return settled
