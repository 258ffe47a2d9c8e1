"""Scores and predictions of cores whose latents range over queries, from one rollout per core."""

from __future__ import annotations

from typing import Protocol

from einops import rearrange, repeat
from torch import Tensor

from zoo.episode import CoreOutput, Episode
from zoo.nn.latent_groups import Rollout, Source
from zoo.nn.noise import query_keys, sample_keys


class QueryRollout(Protocol):
    """The L steps of a core for n = B * Q queries, given its scenes and schedule values."""

    def __call__(self, query: Tensor, keys: Tensor, *, target: Tensor | None, source: Source) -> Rollout:
        """Runs the L steps.

        Args:
            query: [n, P], the queries of a scene adjacent; P may be 0.
            keys: [n] int64, seeds of the latent noise.
            target: [n, C, H, W], needed by the posterior; None for latents from the prior.
            source: where z_l comes from: the posterior, the prior, or L given tensors.
        """


def score_queries(rollout: QueryRollout, episode: Episode) -> CoreOutput:
    """Returns predictions and KL of the targets, with latents from the posterior."""
    shape = (episode.target.shape[0], episode.target.shape[1])
    keys = query_keys(episode.key, num_queries=shape[1]).flatten()
    target = episode.target.flatten(0, 1)
    found = rollout(episode.query.flatten(0, 1), keys, target=target, source="posterior")
    terms = found.terms()
    return CoreOutput(
        prediction=found.prediction.unflatten(0, shape),
        kl=terms.kl.unflatten(0, shape),
        log_ratio=terms.log_ratio.unflatten(0, shape).sum(1),
    )


def sample_queries(rollout: QueryRollout, query: Tensor, key: Tensor, *, num_samples: int) -> Tensor:
    """Returns predictions [S, B, Q, C', H, W] with latents from the prior; ``query`` and ``key`` as in ``predict``."""
    batch, queries = query.shape[:2]
    # Samples are further queries of a scene, so that all of them share its representation and convolutions.
    keys = sample_keys(key, num_samples=num_samples, num_queries=queries).flatten()
    repeated = repeat(query, "b q p -> (b s q) p", s=num_samples)
    found = rollout(repeated, keys, target=None, source="prior")
    return rearrange(found.prediction, "(b s q) c h w -> s b q c h w", b=batch, s=num_samples)
