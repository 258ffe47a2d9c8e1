"""The fixture of all checks: a variant in float64 and random scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.checks.outputs import validate_outputs
from zoo.config.schedules import schedule_values
from zoo.episode import ElboTerms, Episode, SceneBatch, ScheduleValues
from zoo.evaluation.throughput import random_batch
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import fold, standard_normal
from zoo.registry.variant import Variant, build

NUM_SCENES, NUM_CONTEXT, NUM_TARGETS = 3, 3, 2
SCORED = ("log_likelihood", "kl", "log_ratio")  # the terms of a scene that are random or learned
SMALL_STEP = 0.03  # standard deviation of the noise on weights that are all equal, as gates and biases are at first


class CheckContext(NamedTuple):
    """A model in float64, so that rounding hides nothing, with random scenes and schedule values."""

    model: SceneModel
    batch: SceneBatch
    schedule: ScheduleValues

    def episode(self, batch: SceneBatch | None = None, *, num_context: int = NUM_CONTEXT) -> Episode:
        """Splits scenes, those of the fixture by default, into context and targets."""
        return self.model.episode(batch or self.batch, num_context=num_context)

    def terms(self, batch: SceneBatch | None = None, *, num_context: int = NUM_CONTEXT) -> ElboTerms:
        """Returns the ELBO terms of scenes."""
        return self.model.score(self.episode(batch, num_context=num_context), self.schedule)

    def predict(self, batch: SceneBatch | None = None, *, num_context: int = NUM_CONTEXT) -> Tensor:
        """Predicts the targets of scenes from the prior with two samples, [2, B, Q, C', H, W]."""
        return self.model.predict(batch or self.batch, self.schedule, num_context, num_samples=2).parameters

    def predict_parameters(
        self, episode: Episode, *, schedule: ScheduleValues | None = None, num_samples: int = 1
    ) -> Tensor:
        """Predicts the targets of episodes from the prior, [S, B, Q, C', H, W]."""
        return self.model.core.predict(
            episode.context,
            episode.query,
            episode.key,
            encode=self.model.encoder,
            schedule=schedule or self.schedule,
            num_samples=num_samples,
        )

    @property
    def has_latents(self) -> bool:
        """Whether predictions are random."""
        return self.model.core.latents != "none"

    @property
    def is_conditional(self) -> bool:
        """Whether predictions depend on a context: an encoded one, or the points of a function themselves."""
        return bool(self.model.encoder.features) or self.model.task.query_kind == "inputs"


def make_fixture(variant: Variant, *, seed: int = 0) -> CheckContext:
    """Builds a variant for the checks; its components raise CheckFailedError when they return a wrong type or shape.

    Raises:
        RegistryError, ConfigError: as :func:`zoo.registry.variant.build`; a component may raise anything else.
    """
    model = build(variant, seed=seed).double().eval()
    split = model.episode

    def in_float64(batch: SceneBatch, *, num_context: int) -> Episode:
        return _cast(split(batch, num_context=num_context))

    model.episode = in_float64  # type: ignore[method-assign]
    validate_outputs(model)
    batch = random_scenes(model, image_size=variant.image_size, seed=seed)
    return CheckContext(model=model, batch=batch, schedule=_cast(schedule_values(sigma=0.7)))


def random_scenes(model: SceneModel, *, image_size: int, seed: int, num_scenes: int = NUM_SCENES) -> SceneBatch:
    """Makes scenes of NUM_CONTEXT + NUM_TARGETS views in float64, with the extras of the model's task."""
    return random_batch(
        batch_size=num_scenes,
        num_views=NUM_CONTEXT + NUM_TARGETS,
        image_size=image_size,
        extras=model.task.extras,
        seed=seed,
    ).apply(_cast)


def _cast(value: Any) -> Any:
    """Returns a tensor, or a tuple of tensors at any depth, in float64; integers stay as they are."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    return type(value)(*map(_cast, value))


@contextmanager
def perturbed_weights(fixture: CheckContext, *, by: float = 0.5, scale: float = 1.0) -> Iterator[None]:
    """Perturbs every weight of a model and restores it afterwards, so that no fault hides behind a gate of zero.

    A tensor of weights is multiplied by ``scale`` and gets noise whose standard deviation is ``by`` times its own;
    SMALL_STEP where all its entries are equal, as gates, biases and embeddings are at first.
    """
    weights = list(fixture.model.parameters())
    start = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for number, weight in enumerate(weights):
                key = fold(torch.ones((), dtype=torch.int64, device=weight.device), number)
                noise = standard_normal(key, (weight.numel(),)).view(weight.shape).to(weight.dtype)
                own = weight.std() if weight.numel() > 1 else weight.abs().mean()
                spread = scale * by * own if own > 1e-6 else torch.full_like(own, SMALL_STEP)
                weight.mul_(scale).add_(spread * noise)
        yield
    finally:
        with torch.no_grad():
            for weight, before in zip(weights, start, strict=True):
                weight.copy_(before)


def select_views(fixture: CheckContext, order: Sequence[int]) -> SceneBatch:
    """Returns the scenes of a fixture with the views of the given indices, in that order."""
    indices, batch, extras = list(order), fixture.batch, dict(fixture.batch.extras)
    for name, extra in fixture.model.task.extras.items():
        if extra.per_view:
            extras[name] = extras[name][:, indices]
    return batch._replace(frames=batch.frames[:, indices], cameras=batch.cameras[:, indices], extras=extras)
