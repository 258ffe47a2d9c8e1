"""Errors and log-densities of predicted cameras."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from zoo.data.camera import CAMERA_FIELDS, camera_axes
from zoo.errors import ConfigError
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.model.scene_model import SceneModel


class PoseDensity(Protocol):
    """A likelihood of cameras whose density can be evaluated anywhere."""

    coordinates: tuple[str, ...]  # those of zoo.data.camera.CAMERA_FIELDS that it models

    def log_density(self, prediction: Tensor, cameras: Tensor) -> Tensor:
        """Returns log p, [..., G], nats, of cameras [..., G, 5] under predictions [..., C', 1, 1]."""

    def mean(self, prediction: Tensor) -> Tensor:
        """Returns one representative camera [..., 5, 1, 1] of a prediction."""


class PoseErrors(NamedTuple):
    """Distances between cameras; both fields have the same shape."""

    position: Tensor  # scene units
    angle: Tensor  # degrees, between the directions of view


def pose_density(model: SceneModel) -> PoseDensity:
    """Returns the model's likelihood as a density of cameras.

    Raises:
        ConfigError: if its density can only be evaluated at a target.
    """
    likelihood = model.likelihood
    if not (hasattr(likelihood, "log_density") and hasattr(likelihood, "coordinates")):
        raise ConfigError(
            f"likelihood {type(likelihood).__name__}: has no log_density and coordinates, so that its "
            "density cannot be evaluated at other cameras"
        )
    return cast("PoseDensity", likelihood)


def pose_errors(estimate: Tensor, truth: Tensor, *, coordinates: tuple[str, ...] = CAMERA_FIELDS) -> PoseErrors:
    """Compares cameras [..., 5]; coordinates that are not named count as 0 in both.

    The angle is at most 180 degrees; for level cameras it is the difference of yaws.
    """
    named = torch.tensor([name in coordinates for name in CAMERA_FIELDS], device=truth.device)
    ours, theirs = (camera.double() * named for camera in (estimate, truth))
    one, other = camera_axes(ours).forward, camera_axes(theirs).forward
    # The arc cosine alone would lose half of the digits at small angles.
    angle = torch.atan2(torch.linalg.cross(one, other).norm(dim=-1), (one * other).sum(-1))
    return PoseErrors(position=(ours - theirs)[..., :3].norm(dim=-1), angle=torch.rad2deg(angle))


def mixed_density(density: PoseDensity, parameters: Tensor, cameras: Tensor) -> Tensor:
    """Returns log (1/S sum_s p(v | z_s, x, r)), [B, Q, G], nats, at cameras v [B, Q, G, 5].

    ``parameters`` [S, B, Q, C', 1, 1] are predictions from the prior.
    """
    each = density.log_density(parameters, cameras.expand(len(parameters), *cameras.shape))
    return torch.logsumexp(each, dim=0) - math.log(len(parameters))


def point_estimate(density: PoseDensity, parameters: Tensor) -> Tensor:
    """Returns the representative camera of a sample that is most probable under all samples, [B, Q, 5].

    An average of cameras would lie between the modes.
    """
    candidates = density.mean(parameters).flatten(-3).movedim(0, -2)
    if len(parameters) == 1:
        return candidates[..., 0, :]
    best = mixed_density(density, parameters, candidates).argmax(-1)
    return torch.take_along_dim(candidates, best[..., None, None], dim=-2).squeeze(-2)


def score_poses(model: SceneModel, evaluation: Evaluation, *, num_samples: int) -> dict[str, np.ndarray]:
    """Compares point estimates and densities from the prior with the true cameras.

    Returns:
        Arrays [num_scenes] float64, averaged over a scene's targets: ``position_error`` (scene units) and ``angle_error``
        (degrees between the directions of view) of ``point_estimate``, both of the coordinates that the likelihood
        scores, and ``pose_log_density`` (nats), the logarithm of the mean over samples of p(v | z, x, r).

    Raises:
        ConfigError: as ``pose_density``.
    """
    density = pose_density(model)

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        episode = model.episode(part.batch, num_context=part.num_context)
        parameters = model.predict_parameters(
            episode, evaluation.schedule, num_samples=num_samples if model.core.latents != "none" else 1
        )
        truth = episode.target.flatten(2)
        errors = pose_errors(point_estimate(density, parameters), truth, coordinates=density.coordinates)
        log_density = mixed_density(density, parameters, truth.unsqueeze(-2)).squeeze(-1)
        columns = {"position_error": errors.position, "angle_error": errors.angle, "pose_log_density": log_density}
        return {name: values.double().mean(1) for name, values in columns.items()}

    return evaluation.score(score, model=model)
