"""step -> schedule values and learning rate: what anneals in training, and what is fixed at evaluation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.config.recipe import LearningRate, Schedule, TrainingRecipe
from zoo.episode import ScheduleValues


def value_at(schedule: Schedule, step: int) -> float:
    """Returns a schedule's value at a step: start at 0, end from ``steps`` on, along its shape between."""
    factor = min(1.0, (step + 1) / schedule.warm_up) if isinstance(schedule, LearningRate) and schedule.warm_up else 1.0
    if step >= schedule.steps:
        return factor * schedule.end
    if schedule.levels:
        return factor * next((level.value for level in schedule.levels[::-1] if level.step <= step), schedule.start)
    first, start, last, end = 0, schedule.start, schedule.steps, schedule.end
    if schedule.middle is not None:
        if step < schedule.middle.step:
            last, end = schedule.middle.step, schedule.middle.value
        else:
            first, start = schedule.middle.step, schedule.middle.value
    done = (step - first) / (last - first)
    if schedule.shape == "cosine":
        done = 0.5 * (1.0 - math.cos(math.pi * done))
    return factor * (start + (end - start) * done)


def schedule_values(
    *, sigma: float, beta: float = 1.0, temperature: float = 1.0, device: torch.device | str = "cpu"
) -> ScheduleValues:
    """Makes schedule values of numbers. Without ``beta`` and ``temperature`` these are the schedule values of evaluation."""

    def scalar(value: float) -> Tensor:
        # Filled where it is used: a number made on the host would have to travel, and the host to wait for it.
        return torch.full((), value, dtype=torch.float32, device=device)

    return ScheduleValues(beta=scalar(beta), sigma=scalar(sigma), temperature=scalar(temperature))


def schedule_values_at(recipe: TrainingRecipe, step: int, *, device: torch.device | str = "cpu") -> ScheduleValues:
    """Returns the schedule values of a training step (0 is the first)."""
    return schedule_values(sigma=value_at(recipe.sigma, step), beta=value_at(recipe.beta, step), device=device)


def evaluation_schedule_values(
    recipe: TrainingRecipe, *, sigma: float | None = None, device: torch.device | str = "cpu"
) -> ScheduleValues:
    """Returns the fixed schedule values of evaluation: beta 1 and the end of sigma's schedule, unless a sigma is given."""
    return schedule_values(sigma=recipe.sigma.end if sigma is None else sigma, device=device)
