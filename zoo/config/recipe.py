"""The training recipe of a variant: its ``training:`` section in the registry.

Defaults are those of Eslami et al. 2018 (supplement): Adam(0.9, 0.999, 1e-8), learning rate 5e-4 to 5e-5 over 1.6e6
steps, pixel sigma 2.0 to 0.7 over 2e5 steps, batches of 36 scenes, 2e6 steps.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from zoo.config.settings import Settings, Size

MOST = 1_000_000  # of a batch, and of sigma, beta and the learning rate
MOST_STEPS = 1_000_000_000


class Linear(Settings):
    """A value that changes linearly from ``start`` (at step 0) to ``end`` (at ``steps``) and is constant afterwards."""

    start: float = Field(gt=0, le=MOST)
    end: float = Field(gt=0, le=MOST)
    steps: int = Field(ge=0, le=MOST_STEPS, description="0 holds the value at end throughout")


class Warmup(Settings):
    """The weight of the KL in the loss; 1 throughout is the ELBO."""

    start: float = Field(default=1.0, ge=0, le=MOST)
    end: float = Field(default=1.0, gt=0, le=MOST)
    steps: int = Field(default=0, ge=0, le=MOST_STEPS)


class Contexts(Settings):
    """How many context views an episode has: drawn uniformly for each batch, both ends included."""

    minimum: int = Field(default=1, ge=0, le=16_384)
    maximum: int = Field(default=5, ge=0, le=16_384)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) not above maximum ({self.maximum})")
        return self


class Optimizer(Settings):
    """Adam, or AdamW when ``weight_decay`` is positive."""

    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)


class TrainingRecipe(Settings):
    """Everything that decides which weights a training run ends with, apart from the model, the data and the seed."""

    steps: int = Field(default=2_000_000, gt=0, le=MOST_STEPS, description="optimiser updates in the whole run")
    batch_size: int = Field(
        default=36, gt=0, le=MOST, description="scenes per update, over all processes and accumulations"
    )
    learning_rate: Linear = Linear(start=5e-4, end=5e-5, steps=1_600_000)
    sigma: Linear = Linear(start=2.0, end=0.7, steps=200_000)
    beta: Warmup = Warmup()
    contexts: Contexts = Contexts()
    targets: Size = Field(default=1, description="queries of a scene in one episode")
    optimizer: Optimizer = Optimizer()
    gradient_clip: float | None = Field(default=None, gt=0, description="largest norm of the whole gradient")
    gradient_accumulation: int = Field(default=1, gt=0, le=MOST, description="forward passes that share one update")
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="0 keeps no averaged weights")
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"batch_size ({self.batch_size}) to be divisible by gradient_accumulation ({self.gradient_accumulation})"
            )
        return self
