"""step -> knobs and learning rate: what anneals in training, and what is fixed at evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.episode import Knobs
from zoo.recipe import Linear, TrainingRecipe, Warmup


def value_at(schedule: Linear | Warmup, step: int) -> float:
    """Returns a schedule's value at a step: start at 0, end from ``steps`` on, on the straight line between."""
    if step >= schedule.steps:
        return schedule.end
    return schedule.start + (schedule.end - schedule.start) * (step / schedule.steps)


def knobs(*, sigma: float, beta: float = 1.0, temperature: float = 1.0, device: torch.device | str = "cpu") -> Knobs:
    """Makes knobs of numbers. Without ``beta`` and ``temperature`` these are the knobs of evaluation."""

    def scalar(value: float) -> Tensor:
        # Filled where it is used: a number made on the host would have to travel, and the host to wait for it.
        return torch.full((), value, dtype=torch.float32, device=device)

    return Knobs(beta=scalar(beta), sigma=scalar(sigma), temperature=scalar(temperature))


def knobs_at(recipe: TrainingRecipe, step: int, *, device: torch.device | str = "cpu") -> Knobs:
    """Returns the knobs of a training step (0 is the first)."""
    return knobs(sigma=value_at(recipe.sigma, step), beta=value_at(recipe.beta, step), device=device)


def evaluation_knobs(
    recipe: TrainingRecipe, *, sigma: float | None = None, device: torch.device | str = "cpu"
) -> Knobs:
    """Returns the fixed knobs of evaluation: beta 1 and the sigma at which training ends, unless one is given."""
    return knobs(sigma=recipe.sigma.end if sigma is None else sigma, device=device)
