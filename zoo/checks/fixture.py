"""What is on trial: a variant in float64, random scenes to try it on, and the words that every check uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.config.schedules import schedule_values
from zoo.episode import ElboTerms, Episode, SceneBatch, ScheduleValues
from zoo.errors import ZooError
from zoo.evaluation.throughput import random_batch
from zoo.model.interfaces import Task
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import fold, standard_normal
from zoo.registry.variant import Variant, build

NUM_SCENES, NUM_CONTEXT, NUM_TARGETS = 3, 3, 2
SCORED = ("log_likelihood", "kl", "log_ratio")  # the terms of a scene that are random or learned
SMALL_STEP = 0.03  # how far weights move that are all the same at the start, as gates and biases are


class CheckFailedError(ZooError):
    """A variant breaks the contract; the message says where."""

    exit_code = 1


class Subject(NamedTuple):
    """A model on trial, in float64 so that rounding hides nothing, with scenes to try it on."""

    model: SceneModel
    batch: SceneBatch
    schedule: ScheduleValues

    def terms(self, batch: SceneBatch | None = None, *, num_context: int = NUM_CONTEXT) -> ElboTerms:
        """Scores scenes."""
        return self.model(self.batch if batch is None else batch, self.schedule, num_context)

    def episode(self, batch: SceneBatch | None = None) -> Episode:
        """Cuts scenes into context and targets."""
        return self.model.task(self.batch if batch is None else batch, num_context=NUM_CONTEXT)

    def predict(self, batch: SceneBatch | None = None, *, num_context: int = NUM_CONTEXT) -> Tensor:
        """Predicts the targets of scenes from the prior twice: [2, B, Q, C', H, W]."""
        scenes = self.batch if batch is None else batch
        return self.model.predict(scenes, self.schedule, num_context, num_samples=2).parameters

    def predict_parameters(
        self, episode: Episode, *, schedule: ScheduleValues | None = None, num_samples: int = 1
    ) -> Tensor:
        """Predicts [S, B, Q, C', H, W] for the queries of episodes from the prior."""
        return self.model.core.predict(
            episode.context,
            episode.query,
            episode.key,
            encode=self.model.encoder,
            schedule=self.schedule if schedule is None else schedule,
            num_samples=num_samples,
        )

    @property
    def has_latents(self) -> bool:
        """Whether predictions are random."""
        return self.model.core.latents != "none"

    @property
    def is_conditional(self) -> bool:
        """Whether predictions are made from a context: one that is encoded, or the points of a function themselves."""
        return bool(self.model.encoder.features) or self.model.task.query_kind == "inputs"


def subject(variant: Variant, *, seed: int = 0) -> Subject:
    """Builds a variant for trial."""
    model = build(variant, seed=seed).double().eval()
    batch = random_scenes(model, image_size=variant.image_size, seed=seed)
    model.task = _CastingTask(model.task)  # type: ignore[assignment]
    return Subject(
        model=model, batch=batch, schedule=ScheduleValues(*(knob.double() for knob in schedule_values(sigma=0.7)))
    )


def random_scenes(model: SceneModel, *, image_size: int, seed: int) -> SceneBatch:
    """Makes NUM_SCENES scenes of NUM_CONTEXT + NUM_TARGETS views in float64, with the extras that the task asks for."""
    return random_batch(
        batch_size=NUM_SCENES,
        num_views=NUM_CONTEXT + NUM_TARGETS,
        image_size=image_size,
        extras=model.task.extras,
        seed=seed,
    ).apply(_in_float64)


def _in_float64(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


class _CastingTask:
    """A task whose episodes are in float64."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> object:
        return getattr(self._task, name)

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        return _cast(self._task(batch, num_context=num_context))


def _cast(value: Any) -> Any:
    return _in_float64(value) if isinstance(value, Tensor) else type(value)(*(_cast(part) for part in value))


@contextmanager
def moved_weights(trial: Subject, *, by: float = 0.5, scale: float = 1.0, seed: int = 1) -> Iterator[None]:
    """Moves every weight of a model, and puts it back: nothing hides behind a gate that is zero at the start.

    A tensor of weights gets noise whose standard deviation is ``by`` times its own, after it was multiplied by
    ``scale``; where all its entries are one number, which is how gates, biases and embeddings begin, it is SMALL_STEP.
    """
    weights = list(trial.model.parameters())
    start = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for number, weight in enumerate(weights):
                key = fold(torch.full((), seed, device=weight.device), number)
                noise = standard_normal(key, (weight.numel(),)).view(weight.shape).to(weight.dtype)
                own = weight.std() if weight.numel() > 1 else weight.abs().mean()
                spread = scale * by * own if own > 1e-6 else torch.full_like(own, SMALL_STEP)
                weight.mul_(scale).add_(spread * noise)
        yield
    finally:
        with torch.no_grad():
            for weight, before in zip(weights, start, strict=True):
                weight.copy_(before)


def chosen_views(trial: Subject, order: Sequence[int]) -> SceneBatch:
    """Returns the scenes of a trial with some of their views, in another order."""
    chosen = list(order)
    return trial.batch._replace(
        frames=trial.batch.frames[:, chosen],
        cameras=trial.batch.cameras[:, chosen],
        extras={
            name: trial.batch.extras[name][:, chosen] if extra.per_view else trial.batch.extras[name]
            for name, extra in trial.model.task.extras.items()
        },
    )


def require(condition: bool, message: str) -> None:
    """Raises CheckFailedError with a message unless a condition holds."""
    if not condition:
        raise CheckFailedError(message)


def close(one: Tensor, other: Tensor, *, tolerance: float = 1e-9) -> bool:
    """Returns whether two tensors are the same up to rounding in float64."""
    return bool(torch.allclose(one, other, rtol=tolerance, atol=tolerance))
