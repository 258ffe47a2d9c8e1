"""One importance-weighted bound of a batch, as tests ask for it."""

from __future__ import annotations

from torch import Tensor

from zoo.episode import SceneBatch, ScheduleValues
from zoo.evaluation.bounds import importance_weighted
from zoo.model.scene_model import SceneModel, cached_encoder


def importance_weighted_nelbo(
    model: SceneModel, batch: SceneBatch, schedule: ScheduleValues, num_context: int, *, samples: int
) -> Tensor:
    """Returns -log (1/K sum_k p(x, z_k) / q(z_k)), [B], nats for all targets of a scene."""
    episode = model.episode(batch, num_context=num_context)
    encode = cached_encoder(model.encoder, episode)
    return importance_weighted(model, episode, schedule, numbers=(samples,), encode=encode)[samples]
