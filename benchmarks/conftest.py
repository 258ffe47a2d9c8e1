"""What all benchmarks share: every registered variant at every size, on pictures of noise.

    pytest benchmarks --benchmark-only -k smoke            seconds, every variant
    pytest benchmarks --benchmark-only -k full             the sizes of the papers; on a GPU
    pytest benchmarks --benchmark-only -k speed            the fast core against the plain loop, at the smallest size
    pytest benchmarks --benchmark-only -k "speed and full" the same at the size of the paper; minutes on a CPU
    pytest benchmarks --benchmark-only --benchmark-autosave; later --benchmark-compare

Rows are grouped by what is timed and at which size; ``extra_info`` carries variant, parameters, FLOPs and unit, so that
a saved JSON can be read without this code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.episode import Knobs, SceneBatch
from zoo.evaluation.throughput import random_batch, synchronise
from zoo.model import SceneModel
from zoo.recipe import TrainingRecipe
from zoo.registry import build, default_registry
from zoo.schedules import evaluation_knobs

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZES = ("smoke", "full")
CPU_BATCH = 2  # scenes a step of a full-size model on a CPU, where 36 would take minutes


class Subject(NamedTuple):
    """A model with a batch of its recipe's size."""

    model: SceneModel
    recipe: TrainingRecipe
    batch: SceneBatch
    knobs: Knobs
    num_context: int
    size: str
    name: str

    def loss(self) -> torch.Tensor:
        """Returns the training loss."""
        terms = self.model(self.batch, self.knobs, self.num_context)
        return (terms.nelbo() / terms.num_targets).mean()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Walks the registry for every benchmark that asks for a ``subject``; a ``speed_size`` is full only if -k asks."""
    if "speed_size" in metafunc.fixturenames:
        asked = "full" in metafunc.config.getoption("keyword")
        metafunc.parametrize("speed_size", SIZES if asked else SIZES[:1])
    if "subject" in metafunc.fixturenames:
        cases = [(name, size) for size in SIZES for name in default_registry().names()]
        metafunc.parametrize("subject", cases, ids=[f"{size}-{name}" for name, size in cases], indirect=True)


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    """Builds the variant of one case."""
    name, size = request.param
    variant = default_registry().variant(name, size=size)
    recipe = variant.training
    batch_size = CPU_BATCH if DEVICE.type == "cpu" and size == "full" else recipe.batch_size
    num_context = recipe.contexts.maximum
    model = build(variant).to(DEVICE)
    return Subject(
        model=model,
        recipe=recipe,
        batch=random_batch(
            batch_size=batch_size,
            num_views=num_context + recipe.targets,
            image_size=variant.image_size,
            extras=model.task.extras,
            device=DEVICE,
        ),
        knobs=evaluation_knobs(recipe, device=DEVICE),
        num_context=num_context,
        size=size,
        name=name,
    )


@pytest.fixture
def timed(benchmark: Any, subject: Subject) -> Callable[..., None]:
    """Times an action on the subject and notes what it was."""

    def run(action: Callable[[], object], *, group: str, unit: str, units: int) -> None:
        benchmark.group = f"{group} ({subject.size})"
        with FlopCounterMode(display=False) as counter:
            action()

        def waited() -> None:
            action()
            synchronise(DEVICE)

        benchmark.extra_info.update(
            variant=subject.name,
            size=subject.size,
            device=DEVICE.type,
            parameters=subject.model.num_parameters,
            flops=counter.get_total_flops(),
            batch_size=len(subject.batch.scene),
            num_context=subject.num_context,
            unit=unit,
        )
        benchmark.pedantic(waited, warmup_rounds=1, rounds=5)
        benchmark.extra_info[f"{unit}_per_second"] = units / benchmark.stats.stats.median

    return run
