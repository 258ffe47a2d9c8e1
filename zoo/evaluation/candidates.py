"""Log-probability of candidate cameras of one image, up to a constant: by inversion of a model, or by its density."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.data.camera import pose_vector
from zoo.episode import Episode, ScheduleValues, Views
from zoo.errors import ConfigError
from zoo.evaluation.poses import mixed_density, pose_density
from zoo.model.interfaces import Representation
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import fold

# Cameras [G, 5] -> nats [G] float64; differentiable with respect to the cameras.
CandidateScore = Callable[[Tensor], Tensor]


def localisation_method(model: SceneModel) -> str:
    """Returns ``inversion`` for models of images at viewpoints and ``direct`` for models of viewpoints of images.

    Raises:
        ConfigError: if the model is neither.
    """
    query, target = model.task.query_kind, model.task.target_kind
    if (query, target) == ("poses", "images"):
        return "inversion"
    if (query, target) == ("images", "poses"):
        pose_density(model)
        return "direct"
    raise ConfigError(
        f"a model that predicts {target} at {query} cannot localise; expected images at poses (task render), or poses "
        "of images (task localise)"
    )


def by_inversion(model: SceneModel, episode: Episode, *, schedule: ScheduleValues, samples: int) -> CandidateScore:
    """Returns the score v -> log p(x^q | v, r), the image's bound if the camera had been v (Rosenbaum et al. 2018).

    The context is encoded once. For the ELBO of models with latents of each query, or without latents, candidates are
    further queries of the one scene. With latents of the scene, and for the importance-weighted bound, every candidate is
    an episode of its own, and all share the noise of the latents.

    ``episode`` is one scene, B = 1, whose first target is the image; ``samples`` is K of the importance-weighted bound,
    0 the ELBO with its analytic KL.
    """
    with torch.no_grad():
        known = model.encoder(episode.context)
    as_queries = samples == 0 and model.core.latents != "scene"

    def score(cameras: Tensor) -> Tensor:
        poses = pose_vector(cameras).to(episode.query.dtype)
        candidates = _copies_at(episode, poses[None] if as_queries else poses[:, None])

        def encode(views: Views) -> Representation:
            if views is candidates.context:
                return Representation(*(_repeat(field, len(views.mask)) for field in known))
            return model.encoder(views)

        bounds = []
        for sample in range(max(1, samples)):
            keyed = candidates._replace(key=fold(candidates.key, sample)) if samples else candidates
            output = model.core(keyed, encode, schedule)
            bound = model.likelihood.log_prob(output.prediction, candidates.target, schedule).double().flatten()
            if samples:
                bound = bound - output.log_ratio.double()
            elif model.core.latents != "none":
                bound = bound - output.kl.double().reshape(len(cameras), -1).sum(1)
            bounds.append(bound)
        return torch.logsumexp(torch.stack(bounds), dim=0) - math.log(len(bounds))

    return score


def _copies_at(episode: Episode, poses: Tensor) -> Episode:
    """Returns copies of one scene with the image as their target at each of the poses [copies, Q, P]."""
    copies, queries = poses.shape[:2]
    target = episode.target[:, :1].expand(copies, queries, -1, -1, -1)
    return Episode(
        context=Views(*(_repeat(field, copies) for field in episode.context)),
        query=poses,
        target=target,
        target_views=Views(values=target, poses=poses, mask=torch.ones_like(poses[..., 0], dtype=torch.bool)),
        key=episode.key.expand(copies),
    )


def by_density(model: SceneModel, episode: Episode, *, schedule: ScheduleValues, samples: int) -> CandidateScore:
    """Returns the log-density v -> log p(v | x^q, r) of a reversed model, with latents the mean over prior samples.

    ``episode`` is one scene, B = 1, whose first query is the image. At least one sample is drawn.
    """
    density = pose_density(model)
    parameters = model.predict_parameters(
        episode._replace(query=episode.query[:, :1]),
        schedule,
        num_samples=max(1, samples) if model.core.latents != "none" else 1,
    )

    def score(cameras: Tensor) -> Tensor:
        return mixed_density(density, parameters, cameras[None, None]).double()[0, 0]

    return score


def _repeat(field: Tensor, count: int) -> Tensor:
    """Repeats a field of one scene, [1, ...], ``count`` times, without copying it."""
    return field.expand(count, *field.shape[1:])
