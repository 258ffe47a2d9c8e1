"""Costs of training: operations, counted, and seconds, from a measured step or from the operations."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from zoo.bench.suite.settings import Budget
from zoo.config.settings import Settings, load_yaml, parse
from zoo.evaluation.throughput import flops_of, noise_for, training_action
from zoo.evaluation.timing import time_interleaved
from zoo.files import write_json
from zoo.model.scene_model import SceneModel
from zoo.provenance import hash_config
from zoo.registry.variant import Variant, build

FILE = "costs.json"
COUNTED_SCENES = 2
# Images up to this size are computed when operations are counted, which is faster than tensors without values.
COMPUTED_IMAGE_SIZE = 32  # pixels
# The time of a longer step on a CPU is estimated from its operations.
MEASURED_ON_CPU = 1.0e9
# Reading scenes, validations and checkpoints, as a factor on a measured step.
OVERHEAD = 1.15


class Cost(Settings):
    """What one update of a variant costs."""

    flops: int = Field(ge=0, description="operations of a forward and backward pass, per scene")
    seconds: float = Field(gt=0, description="of an update, on the device that jobs run on")
    source: Literal["measured", "flops"] = Field(description="of the seconds: a step, or the speed of a convolution")
    variant: str = Field(default="", description="for readers of the file")


def flops_per_scene(variant: Variant, *, model: SceneModel | None = None) -> int:
    """Counts the operations of a training step, per scene, at the middle number of context views.

    Every convolution counts in full, so that the number is the same on every machine. Small models are computed; of
    others the tensors have no values. ``model`` takes the place of the variant's own and must be a small one.
    """
    # Under autocast a CPU takes none of its special convolutions.
    counted = _at_middle_context(variant, {"batch_size": COUNTED_SCENES, "mixed_precision": "bf16"})
    computed = variant.image_size <= COMPUTED_IMAGE_SIZE
    with contextlib.nullcontext() if computed else FakeTensorMode():
        flops = flops_of(_training_step(build(counted) if model is None else model, variant=counted))
    return flops // COUNTED_SCENES


def measure_cost(variant: Variant, *, device: str, longest: float = MEASURED_ON_CPU) -> Cost:
    """Counts the operations of an update and measures its time; on a CPU a step above ``longest`` is estimated."""
    flops = flops_per_scene(variant)
    step_flops = flops * variant.training.batch_size
    if device == "cpu" and step_flops > longest:
        return Cost(flops=flops, seconds=step_flops / convolution_speed(device), source="flops")
    model = build(variant).to_device(device)
    step = _training_step(model, variant=_at_middle_context(variant, {}), device=device)
    seconds = time_interleaved({"step": step}, repeats=2, device=device)["step"]
    return Cost(flops=flops, seconds=float(seconds.min()) * OVERHEAD, source="measured")


def _at_middle_context(variant: Variant, changes: dict[str, object]) -> Variant:
    recipe = variant.training
    middle = (recipe.contexts.minimum + recipe.contexts.maximum + 1) // 2
    contexts = recipe.contexts.model_copy(update={"minimum": middle, "maximum": middle})
    return variant.model_copy(update={"training": recipe.model_copy(update={**changes, "contexts": contexts})})


def _training_step(model: SceneModel, *, variant: Variant, device: str = "cpu") -> Callable[[], None]:
    recipe = variant.training
    batch = noise_for(model, recipe=recipe, image_size=variant.image_size, device=device)
    return training_action(model, recipe=recipe, batch=batch)


@functools.cache
def convolution_speed(device: str) -> float:
    """Measures the operations per second of a device in a convolution such as a recurrent core's."""
    channels, kernel, images, pixels = 128, 5, 16, 16
    weight = torch.ones(channels, channels, kernel, kernel, device=device)
    inputs = torch.ones(images, channels, pixels, pixels, device=device)
    convolve = functools.partial(F.conv2d, inputs, weight, padding=kernel // 2)
    seconds = time_interleaved({"convolution": convolve}, repeats=2, device=device)["convolution"]
    return float(2 * images * pixels**2 * (channels * kernel) ** 2 / seconds.min())


class CostBook:
    """The costs known in one output folder, in ``costs.json``.

    With it a wall-clock budget gives the same number of steps whenever the same command is run again, so that finished
    jobs are recognised.
    """

    def __init__(self, folder: Path, *, device: str, save: bool) -> None:
        """Reads the costs; with ``save`` new ones are written; raises ConfigError if the file is damaged."""
        self.path, self.device, self.save = folder / FILE, device, save
        known = load_yaml(self.path) if self.path.is_file() else {}
        self._entries = {key: parse(Cost, value, file=str(self.path), path=key) for key, value in known.items()}

    def cost(self, variant: Variant, *, budget: Budget | None) -> Cost:
        """Returns the cost of an update of a variant, measured only for a budget in seconds or a short step."""
        exact = budget is not None and budget.seconds is not None
        key = self._key(variant)
        known = self._entries.get(key)
        if known is None or (exact and known.source != "measured"):
            cost = measure_cost(variant, device=self.device, longest=math.inf if exact else MEASURED_ON_CPU)
            known = cost.model_copy(update={"variant": f"{variant.name}@{variant.size}"})
            self._entries[key] = known
            if self.save:
                write_json(self.path, {name: entry.model_dump() for name, entry in self._entries.items()})
        return known

    def _key(self, variant: Variant) -> str:
        """Returns a digest of what decides the cost of a step: neither name nor schedules do."""
        config = {name: value for name, value in variant.config().items() if name not in ("variant", "size")}
        schedules = ("steps", "learning_rate", "sigma", "beta")
        training = {name: value for name, value in config["training"].items() if name not in schedules}
        machine = torch.cuda.get_device_name() if self.device == "cuda" else self.device
        return hash_config({**config, "training": training, "device": machine})


def steps_within(budget: Budget | None, variant: Variant, cost: Cost) -> int:
    """Returns the number of updates that a budget allows, at least one; without a budget the registered number."""
    recipe = variant.training
    if budget is None:
        return recipe.steps
    if budget.steps is not None:
        return budget.steps
    if budget.scenes is not None:
        return max(1, round(budget.scenes / recipe.batch_size))
    if budget.flops is not None:
        return max(1, round(budget.flops / (cost.flops * recipe.batch_size)))
    assert budget.seconds is not None
    return max(1, int(budget.seconds / cost.seconds))


def with_steps(variant: Variant, steps: int) -> Variant:
    """Returns a variant that is trained for ``steps`` updates, its schedules stretched in proportion."""
    recipe = variant.training
    names = ("learning_rate", "sigma", "beta")
    changed = {name: getattr(recipe, name).stretched(steps / recipe.steps) for name in names}
    return variant.model_copy(update={"training": recipe.model_copy(update={**changed, "steps": steps})})
