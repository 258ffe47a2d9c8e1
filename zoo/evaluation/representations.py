"""What a model makes of a set of views of a scene, its representation r; mean pixels; and images decoded from a given r."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange

from zoo.episode import ScheduleValues, Views
from zoo.evaluation.loop import batch_of, evaluation_mode
from zoo.model.interfaces import PerViewEncoder, Representation
from zoo.model.scene_model import SceneModel

# (frames [n, N, H, W, 3] uint8, cameras [n, N, 5]) -> features [n, D] of n sets of N views
Describe = Callable[[np.ndarray, np.ndarray], np.ndarray]
BATCH_SIZE = 64  # sets of views encoded at once


def has_representation(model: SceneModel) -> bool:
    """Whether a model reads a representation r of images that is pooled over the context views."""
    core = model.core
    pools = "pooled" in core.required_features | core.optional_features
    return model.task.context_kind == "images" and model.encoder.shape.channels > 0 and pools


def is_decodable(model: SceneModel) -> bool:
    """Whether r is a sum or mean over single views, and images at cameras are rendered from r alone."""
    core = model.core
    return (
        has_representation(model)
        and isinstance(model.encoder, PerViewEncoder)
        and core.required_features | core.optional_features == {"pooled"}
        and (model.task.target_kind, model.task.query_kind) == ("images", "poses")
    )


def encode_views(model: SceneModel, frames: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Returns r of n sets of views, pooled as the model pools, [n, C, h, w] float32.

    Args:
        model: one that :func:`has_representation`.
        frames: [n, N, H, W, 3] uint8.
        cameras: [n, N, 5]: x, y, z in scene units, yaw and pitch in radians.
    """
    found = []
    with evaluation_mode(model):
        for start in range(0, len(frames), BATCH_SIZE):
            chosen = slice(start, start + BATCH_SIZE)
            batch = batch_of(frames[chosen], cameras[chosen], device=model.device)
            context = model.episode(batch, num_context=frames.shape[1]).context
            found.append(model.encoder(context).pooled.float().cpu().numpy())
    return np.concatenate(found)


def mean_pixels(frames: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Returns the mean image of every set of views, [n, H * W * 3] float32 in [0, 1]; cameras are not used."""
    return (frames.astype(np.float32).mean(1) / np.float32(255.0)).reshape(len(frames), -1)


def decode(
    model: SceneModel, pooled: np.ndarray, cameras: np.ndarray, *, schedule: ScheduleValues, num_samples: int = 4
) -> np.ndarray:
    """Renders given representations: the mean over samples of the expected images, [n, Q, H, W, 3] float32 in [0, 1].

    The noise of the latents is the same for equal n, so that images of different representations can be compared.

    Args:
        model: one that :func:`is_decodable`.
        pooled: representations r, [n, C, h, w], in the place of those of the encoder.
        cameras: [n, Q, 5]: x, y, z in scene units, yaw and pitch in radians.
        schedule: the schedule values of evaluation.
        num_samples: of the latents, from the prior.
    """
    size, device = model.task.target_shape[-1], model.device
    blank = np.zeros((*cameras.shape[:2], size, size, 3), np.uint8)
    episode = model.episode(batch_of(blank, cameras, device=device), num_context=0)
    given = torch.from_numpy(np.ascontiguousarray(pooled)).to(device, episode.query.dtype)

    def encode(views: Views) -> Representation:
        return Representation(given, per_view=given[:, None][:, :0], mask=views.mask)

    with evaluation_mode(model):
        parameters = model.core.predict(
            episode.context, episode.query, episode.key, encode=encode, schedule=schedule, num_samples=num_samples
        )
        images = model.expected_image(parameters).mean(0)
    return rearrange(images, "n q c h w -> n q h w c").float().cpu().numpy()
