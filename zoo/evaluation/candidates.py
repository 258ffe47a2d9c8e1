"""log p of candidate cameras for one picture, up to a constant: by rendering from each of them, or by asking directly."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.contract import Representation
from zoo.data.camera import pose_vector
from zoo.episode import Episode, Knobs, Views
from zoo.errors import ConfigError
from zoo.evaluation.poses import mixed_density, pose_density
from zoo.model import SceneModel
from zoo.nn.noise import fold

# Cameras [G, 5] -> nats [G] float64; may be differentiated with respect to the cameras.
CandidateScore = Callable[[Tensor], Tensor]


def way_to_localise(model: SceneModel) -> str:
    """Returns ``inversion`` for models of pictures at viewpoints and ``direct`` for models of viewpoints of pictures.

    Raises:
        ConfigError: if the model is neither.
    """
    asked, predicted = model.task.query_kind, model.task.target_kind
    if (asked, predicted) == ("poses", "images"):
        return "inversion"
    if (asked, predicted) == ("images", "poses"):
        pose_density(model)
        return "direct"
    raise ConfigError(
        f"a model that predicts {predicted} at {asked} cannot localise; expected images at poses (task render), or poses "
        "of images (task localise)"
    )


def by_inversion(model: SceneModel, episode: Episode, *, knobs: Knobs, samples: int) -> CandidateScore:
    """Returns the score v -> log p(x^q | v, r), the picture's bound if the camera had been v (Rosenbaum et al. 2018).

    Every candidate is an episode of its own with one query, so that latents of a query and of a scene are treated
    alike; the context is encoded once, and all candidates share the noise of the latents, so that their differences
    come from the cameras alone.

    Args:
        model: a model of pictures at viewpoints.
        episode: one scene, B = 1; its first target is the picture.
        knobs: those of evaluation.
        samples: K of the importance-weighted bound; 0 is the ELBO with its analytic KL.
    """
    with torch.no_grad():
        known = model.encoder(episode.context)
    picture, key = episode.target[:, :1], episode.key

    def score(cameras: Tensor) -> Tensor:
        count = len(cameras)
        poses = pose_vector(cameras).to(episode.query.dtype)[:, None]
        context = Views(*(_for_all(field, count) for field in episode.context))
        target = _for_all(picture, count)
        evidence = Views(what=target, where=poses, mask=torch.ones_like(poses[..., 0], dtype=torch.bool))
        candidates = Episode(context=context, query=poses, target=target, evidence=evidence, key=key.expand(count))

        def encode(views: Views) -> Representation:
            if views is context:
                return Representation(*(_for_all(field, count) for field in known))
            return model.encoder(views)

        if samples == 0:
            output = model.core(candidates, encode, knobs)
            log_likelihood = model.likelihood.log_prob(output.prediction, target, knobs).double().sum(1)
            return log_likelihood - output.kl.double().flatten(1).sum(1)
        weights = []
        for sample in range(samples):
            output = model.core(candidates._replace(key=fold(candidates.key, sample)), encode, knobs)
            log_likelihood = model.likelihood.log_prob(output.prediction, target, knobs).double().sum(1)
            weights.append(log_likelihood - output.log_ratio.double())
        return torch.logsumexp(torch.stack(weights), dim=0) - math.log(samples)

    return score


def by_asking(model: SceneModel, episode: Episode, *, knobs: Knobs, samples: int) -> CandidateScore:
    """Returns the log-density v -> log p(v | x^q, r) of a reversed model; with latents the mean over prior samples.

    Args:
        model: a model of viewpoints of pictures.
        episode: one scene, B = 1; its first query is the picture.
        knobs: those of evaluation.
        samples: S, at least 1 are drawn; models without latents need one.
    """
    density = pose_density(model)
    with torch.no_grad():
        parameters = model.core.predict(
            episode.context,
            episode.query[:, :1],
            episode.key,
            encode=model.encoder,
            knobs=knobs,
            num_samples=max(1, samples) if model.core.latents != "none" else 1,
        )

    def score(cameras: Tensor) -> Tensor:
        return mixed_density(density, parameters, cameras[None, None]).double()[0, 0]

    return score


def _for_all(field: Tensor, count: int) -> Tensor:
    """Repeats a field of one scene, [1, ...], for so many candidates, without copying it."""
    return field.expand(count, *field.shape[1:])
