"""What training a variant costs: operations, counted without doing them, and seconds, from a short measured step."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from zoo.bench.suite.settings import Budget
from zoo.config.schedules import schedule_values_at
from zoo.episode import SceneBatch
from zoo.evaluation.throughput import flops_of, random_batch, training_action
from zoo.evaluation.timing import time_interleaved
from zoo.model.scene_model import SceneModel
from zoo.registry.variant import Variant, build

COUNTED_SCENES = 2
# A step of more than so many operations is not tried out on a CPU: its time is told from its operations.
TRIED_ON_A_CPU = 5.0e10
# What a short measurement may leave out: reading scenes, validations, checkpoints.
ASIDE = 1.15


class Cost(NamedTuple):
    """What one update of a variant costs.

    Attributes:
        flops: operations of a forward and backward pass, for one scene.
        seconds: of an update, on the device asked for.
        source: whether the seconds come from a ``measured`` step or from the ``flops`` and the speed of a convolution.
    """

    flops: int
    seconds: float
    source: Literal["measured", "flops"]


def flops_of_scene(variant: Variant) -> int:
    """Counts the operations of a training step, for one scene at the middle number of context views.

    Nothing is computed: the model runs on tensors without values. What the model does not do twice is not counted
    twice, but every convolution counts in full, whatever faster way a device has for it: the number is the same on every
    machine.
    """
    recipe = variant.training
    with FakeTensorMode():
        model = build(variant)
        batch, num_context = _noise(variant, model, num_scenes=COUNTED_SCENES)
        schedule = schedule_values_at(recipe, recipe.steps)
        # Under autocast no special convolution of a CPU is taken.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            flops = flops_of(lambda: model(batch, schedule, num_context).loss().backward())
    return flops // COUNTED_SCENES


def cost_of(variant: Variant, *, device: str, longest: float = TRIED_ON_A_CPU) -> Cost:
    """Counts and measures what an update costs.

    Args:
        variant: at the size, batch and contexts with which it is trained.
        device: of torch.
        longest: a step of more operations is not tried on a CPU; its time is told from its operations.
    """
    flops = flops_of_scene(variant)
    whole = flops * variant.training.batch_size
    if device == "cpu" and whole > longest:
        return Cost(flops=flops, seconds=whole / speed_of_convolution(device), source="flops")
    return Cost(flops=flops, seconds=_seconds_of_step(variant, device=device), source="measured")


def _seconds_of_step(variant: Variant, *, device: str) -> float:
    recipe = variant.training
    model = build(variant).to_device(device)
    batch, num_context = _noise(variant, model, num_scenes=recipe.batch_size, device=device)
    step = training_action(model, recipe=recipe, batch=batch, num_context=num_context)
    seconds = time_interleaved({"step": step}, repeats=2, device=device)["step"]
    return float(seconds.min()) * ASIDE


@functools.cache
def speed_of_convolution(device: str) -> float:
    """Measures how many operations a second a device does in a convolution such as a recurrent core's."""
    channels, kernel, images, pixels = 128, 5, 16, 16
    weight = torch.ones(channels, channels, kernel, kernel, device=device)
    inputs = torch.ones(images, channels, pixels, pixels, device=device)
    run = functools.partial(F.conv2d, inputs, weight, padding=kernel // 2)
    seconds = time_interleaved({"convolution": run}, repeats=2, device=device)["convolution"].min()
    return 2 * images * pixels**2 * (channels * kernel) ** 2 / float(seconds)


def _noise(variant: Variant, model: SceneModel, *, num_scenes: int, device: str = "cpu") -> tuple[SceneBatch, int]:
    recipe = variant.training
    num_context = (recipe.contexts.minimum + recipe.contexts.maximum + 1) // 2
    batch = random_batch(
        batch_size=num_scenes,
        num_views=num_context + recipe.targets,
        image_size=variant.image_size,
        extras=model.task.extras,
        device=device,
    )
    return batch, num_context


def steps_within(budget: Budget | None, variant: Variant, cost: Cost | None) -> int:
    """Returns how many updates a budget allows, at least one.

    Args:
        budget: None leaves the variant as it is registered.
        variant: the variant.
        cost: needed for a budget in operations or seconds.
    """
    recipe = variant.training
    if budget is None:
        return recipe.steps
    if budget.steps is not None:
        return budget.steps
    if budget.scenes is not None:
        return max(1, round(budget.scenes / recipe.batch_size))
    assert cost is not None
    if budget.flops is not None:
        return max(1, round(budget.flops / (cost.flops * recipe.batch_size)))
    assert budget.seconds is not None
    return max(1, int(budget.seconds / cost.seconds))


def with_steps(variant: Variant, steps: int) -> Variant:
    """Returns a variant that is trained for ``steps`` updates, with all of its schedules stretched alike.

    An annealing that took a tenth of the registered training takes a tenth of the new one.
    """
    recipe = variant.training

    def stretched(count: int) -> int:
        return round(count * steps / recipe.steps)

    changed = {
        name: getattr(recipe, name).model_copy(update={"steps": stretched(getattr(recipe, name).steps)})
        for name in ("learning_rate", "sigma", "beta")
    }
    return variant.model_copy(update={"training": recipe.model_copy(update={**changed, "steps": steps})})
