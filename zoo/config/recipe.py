"""The training recipe of a variant: its ``training:`` section in the registry.

Defaults are those of Eslami et al. 2018 (supplement): Adam(0.9, 0.999, 1e-8), learning rate 5e-4 to 5e-5 over 1.6e6
steps, pixel sigma 2.0 to 0.7 over 2e5 steps, batches of 36 scenes, 2e6 steps.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from zoo.config.settings import Settings, Size

MOST = 1_000_000  # of a batch, and of sigma, beta and the learning rate
MOST_STEPS = 1_000_000_000


class Point(Settings):
    """A value at a step of a schedule."""

    step: int = Field(gt=0, lt=MOST_STEPS, description="an update")
    value: float = Field(gt=0, le=MOST, description="the schedule's value at it")


class Schedule(Settings):
    """A value that changes from ``start`` (at step 0) to ``end`` (at ``steps``) and is constant afterwards."""

    start: float = Field(gt=0, le=MOST, description="the value at step 0")
    end: float = Field(gt=0, le=MOST, description="the value from steps on")
    steps: int = Field(
        ge=0, le=MOST_STEPS, description="updates from start to end; 0 holds the value at end throughout"
    )
    middle: Point | None = Field(
        default=None, description="a point between: from start to it, and on to end; for a sigma that falls and rises"
    )
    levels: list[Point] = Field(
        default=[],
        description="values that are held from their step to the next one, without ramps; start is held before the first",
    )
    shape: Literal["linear", "cosine"] = Field(
        default="linear", description="of every part; cosine is half a wave (Loshchilov and Hutter 2017)"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.middle is not None and self.middle.step >= self.steps:
            raise ValueError(f"middle.step ({self.middle.step}) below steps ({self.steps})")
        levels = [level.step for level in self.levels]
        if levels and (self.middle is not None or sorted({*levels, self.steps}) != [*levels, self.steps]):
            raise ValueError(f"levels at rising steps ({levels}) below steps ({self.steps}), and no middle")
        return self

    def stretched(self, factor: float) -> Self:
        """Returns the schedule with its steps times ``factor``; points that fall on an end of it are left out."""
        steps = round(self.steps * factor)
        middle = self.middle and self.middle.model_copy(update={"step": round(self.middle.step * factor)})
        if middle is not None and not 0 < middle.step < steps:
            middle = None
        levels = [level.model_copy(update={"step": round(level.step * factor)}) for level in self.levels]
        levels = [level for level in levels if 0 < level.step < steps]
        return self.model_copy(update={"steps": steps, "middle": middle, "levels": levels})


class LearningRate(Schedule):
    """A schedule that may be preceded by a warm-up (Goyal et al. 2017)."""

    warm_up: int = Field(
        default=0,
        ge=0,
        le=MOST_STEPS,
        description="updates over which the schedule's value is multiplied by a factor that rises linearly to 1",
    )

    def stretched(self, factor: float) -> Self:
        """Returns the schedule and its warm-up with their steps times ``factor``."""
        return super().stretched(factor).model_copy(update={"warm_up": round(self.warm_up * factor)})


class Warmup(Schedule):
    """The weight of the KL in the loss; 1 throughout is the ELBO."""

    start: float = Field(default=1.0, ge=0, le=MOST, description="the weight at step 0")
    end: float = Field(default=1.0, gt=0, le=MOST, description="the weight from steps on")
    steps: int = Field(default=0, ge=0, le=MOST_STEPS, description="updates from start to end")


class Range(Settings):
    """How many views an episode has: drawn uniformly for each batch, both ends included."""

    minimum: int = Field(default=1, ge=0, le=16_384, description="fewest views")
    maximum: int = Field(default=5, ge=0, le=16_384, description="most views")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) not above maximum ({self.maximum})")
        return self


class Optimizer(Settings):
    """Adam, or AdamW when ``weight_decay`` is positive."""

    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=[0.9, 0.999],
        min_length=2,
        max_length=2,
        description="decay of the averages of gradient and squared gradient",
    )
    epsilon: float = Field(default=1e-8, gt=0, description="added to the root of the averaged squared gradient")
    weight_decay: float = Field(default=0.0, ge=0, description="positive: AdamW")


class TrainingRecipe(Settings):
    """Everything that decides which weights a training run ends with, apart from the model, the data and the seed."""

    steps: int = Field(default=2_000_000, gt=0, le=MOST_STEPS, description="optimiser updates in the whole run")
    batch_size: int = Field(
        default=36, gt=0, le=MOST, description="scenes per update, over all processes and accumulations"
    )
    learning_rate: LearningRate = Field(
        default=LearningRate(start=5e-4, end=5e-5, steps=1_600_000), description="of the optimiser"
    )
    sigma: Schedule = Field(
        default=Schedule(start=2.0, end=0.7, steps=200_000), description="standard deviation of the annealed Gaussian"
    )
    beta: Warmup = Field(default=Warmup(), description="the weight of the KL in the loss")
    objective: Literal["elbo", "importance_weighted", "maximum_likelihood"] = Field(
        default="elbo",
        description="what training maximises: the ELBO; the importance-weighted bound of K samples of the posterior (Burda et "
        "al. 2016); or log (1/K sum_k p(targets | z_k)) with K samples of the prior (Foong et al. 2020)",
    )
    importance_samples: int = Field(default=1, gt=0, le=MOST, description="K of the other objectives than elbo")
    free_bits: float = Field(
        default=0.0,
        ge=0,
        le=MOST,
        description="nats per target below which the KL costs nothing more (Kingma et al. 2016, equation 15): the ELBO's loss "
        "has max(KL, free_bits) of the latents of every query, or max(KL, targets * free_bits) of those of a scene",
    )
    contexts: Range = Field(default=Range(), description="context views of a scene in one episode")
    targets: Size | Range = Field(
        default=1,
        description="queries of a scene in one episode: a number, or a range from which every batch draws one",
    )
    optimizer: Optimizer = Field(default=Optimizer(), description="Adam or AdamW")
    gradient_clip: float | None = Field(default=None, gt=0, description="largest norm of the whole gradient")
    gradient_accumulation: int = Field(default=1, gt=0, le=MOST, description="forward passes that share one update")
    ema_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="0 keeps no averaged weights; approached as (1 + step) / (10 + step), so that a young average forgets "
        "the initial weights",
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = Field(
        default="no", description="of forward and backward passes; sums of log-probabilities stay in float32"
    )

    @property
    def most_targets(self) -> int:
        """The largest number of targets in an episode."""
        return self.targets if isinstance(self.targets, int) else self.targets.maximum

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if isinstance(self.targets, Range) and self.targets.minimum < 1:
            raise ValueError(f"targets.minimum ({self.targets.minimum}) at least 1")
        return self

    @model_validator(mode="after")
    def _has_one_objective(self) -> Self:
        if self.objective == "elbo" and self.importance_samples > 1:
            raise ValueError(f"importance_samples ({self.importance_samples}) 1 with objective 'elbo'")
        if self.objective != "elbo" and self.free_bits:
            raise ValueError(f"free_bits ({self.free_bits:g}) 0 with objective {self.objective!r}, which has no KL")
        points = [*self.beta.levels, *([self.beta.middle] if self.beta.middle else [])]
        betas = {self.beta.start, self.beta.end, *(point.value for point in points)}
        if self.objective == "maximum_likelihood" and betas != {1.0}:
            raise ValueError("beta 1 throughout with objective 'maximum_likelihood', which has no KL")
        return self

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"batch_size ({self.batch_size}) to be divisible by gradient_accumulation ({self.gradient_accumulation})"
            )
        return self
