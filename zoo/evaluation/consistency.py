"""Consistency of the images of one sample: pairs of views that are predicted jointly, compared.

A sample is one draw of the latents from the prior. A model with latents of the scene renders all queries from one draw,
so that they agree; a model with latents of a query draws new ones for every query (Kumar et al., Consistent generative
query networks, arXiv 1807.02033, 2018, figure 7).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.episode import SceneBatch
from zoo.errors import ConfigError
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.model.scene_model import SceneModel


class Disagreement(NamedTuple):
    """Differences between predictions, per scene and turn of the camera, in units of the 0-to-1 range squared.

    Half the mean squared difference of two predictions, averaged over pixels and pairs: for a turn of 0, the same query
    twice, it is the variance of the prediction. ``within`` compares two queries of one sample, ``between`` the same two
    queries of two samples. Latents of each query give ``within = between`` on average, latents of the scene a smaller
    ``within``, which is 0 for the same query twice.
    """

    within: np.ndarray  # [num_scenes, T] float64
    between: np.ndarray  # [num_scenes, T] float64


def rotated(cameras: Tensor, turn: Tensor | float) -> Tensor:
    """Rotates cameras [..., 5], their places and directions, around the z axis by an angle [...] in radians."""
    x, y, z, yaw, pitch = cameras.unbind(-1)
    angle = torch.as_tensor(turn, dtype=cameras.dtype, device=cameras.device)
    x, y = x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()
    yaw = torch.remainder(yaw + angle + math.pi, 2.0 * math.pi) - math.pi
    return torch.stack(torch.broadcast_tensors(x, y, z, yaw, pitch), dim=-1)


def with_queries(batch: SceneBatch, *, num_context: int, cameras: Tensor) -> SceneBatch:
    """Returns the same contexts with other queries, cameras [B, K, 5] with black images, which must not be scored."""
    context = batch.frames[:, :num_context]
    blank = context.new_zeros(*cameras.shape[:2], *batch.frames.shape[2:])
    return batch._replace(
        frames=torch.cat([context, blank], dim=1),
        cameras=torch.cat([batch.cameras[:, :num_context], cameras.to(batch.cameras)], dim=1),
        extras={},
    )


def has_camera_queries(model: SceneModel) -> bool:
    """Returns whether a model predicts images at poses, and its task reads no more than images and cameras."""
    task = model.task
    return task.query_kind == "poses" and task.target_kind == "images" and not task.extras


def require_camera_queries(model: SceneModel) -> None:
    """Raises ConfigError if a model lacks what :func:`has_camera_queries` asks for."""
    task = model.task
    if not has_camera_queries(model):
        raise ConfigError(
            f"consistency: predicts images at arbitrary cameras given images, but task {type(task).__name__} "
            f"predicts {task.target_kind} at {task.query_kind} and reads {sorted(task.extras) or 'nothing'} beside them"
        )


def disagreement(
    model: SceneModel,
    evaluation: Evaluation,
    *,
    num_samples: int,
    turns: Sequence[float] = (0.0, math.radians(5.0), math.radians(15.0)),
) -> Disagreement:
    """Predicts the first target's camera and rotated ones jointly, and compares the images.

    ``turns`` are the rotations in radians around the z axis, at which the cameras of the scenes must look.

    Raises:
        ConfigError: for fewer than two samples, or a task without such queries.
    """
    require_camera_queries(model)
    if num_samples < 2:
        raise ConfigError(f"samples to compare: found {num_samples}, expected 2 or more")

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        first = part.batch.cameras[:, part.num_context, None]
        angles = torch.tensor([0.0, *turns], dtype=first.dtype, device=first.device)
        batch = with_queries(part.batch, num_context=part.num_context, cameras=rotated(first, angles))
        expected = model.predict(batch, evaluation.schedule, part.num_context, num_samples=num_samples).expected
        images = expected.double().flatten(3)  # [S, B, 1 + T, C H W]
        first, others = images[:, :, :1], images[:, :, 1:]
        # The first query against the others, in the same sample and then in the sample so many places away.
        squared = torch.stack([0.5 * (first - others.roll(shift, 0)).square().mean(-1) for shift in range(num_samples)])
        return {"within": squared[0].mean(0), "between": squared[1:].mean(dim=(0, 1))}

    return Disagreement(**evaluation.score(score, model=model))
