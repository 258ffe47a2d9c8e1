"""Cores whose latents range over queries: scores and predictions from one rollout per core."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from einops import rearrange, repeat
from torch import Tensor

from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import Encode, LatentCore, Representation
from zoo.nn.latent_groups import LatentSource, Rollout
from zoo.nn.noise import query_keys, sample_keys


class RolloutInputs(NamedTuple):
    """B encoded scenes and n = B * Q queries, those of a scene adjacent."""

    scene: Representation
    poses: Tensor  # [B, N, P], of the context views
    query: Tensor  # [n, P]; P may be 0
    keys: Tensor  # [n] int64, seeds of the latent noise
    target: Tensor | None  # [n, C, H, W], needed by the posterior; None for latents from the prior
    source: LatentSource  # where z_l comes from: the posterior, the prior, or L given tensors
    temperature: Tensor  # scales the prior's standard deviation when sampling

    @property
    def num_queries(self) -> int:
        """Q."""
        return len(self.query) // len(self.scene.mask)


class QueryLatentCore(LatentCore):
    """p(target | query, context) = int p(target | z, query, context) p(z | query, context) dz for every query."""

    latents = "query"

    @abstractmethod
    def rollout(self, inputs: RolloutInputs) -> Rollout:
        """Draws the L groups of latents, predicts [n, C', H, W], and gives posteriors where there is a target."""

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        """Predicts the targets with latents drawn from the posterior."""
        shape = (episode.target.shape[0], episode.target.shape[1])
        inputs = RolloutInputs(
            scene=encode(episode.context),
            poses=episode.context.poses,
            query=episode.query.flatten(0, 1),
            keys=query_keys(episode.key, num_queries=shape[1]).flatten(),
            target=episode.target.flatten(0, 1),
            source="posterior",
            temperature=schedule.temperature,
        )
        found = self.rollout(inputs)
        terms = found.terms()
        return CoreOutput(
            prediction=found.prediction.unflatten(0, shape),
            kl=terms.kl.unflatten(0, shape),
            log_ratio=terms.log_ratio.unflatten(0, shape).sum(1),
        )

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        """Predicts [S, B, Q, C', H, W] with latents drawn from the prior."""
        batch, queries = query.shape[:2]
        # Samples are further queries of a scene, so that all of them share its representation and convolutions.
        inputs = RolloutInputs(
            scene=encode(context),
            poses=context.poses,
            query=repeat(query, "b q p -> (b s q) p", s=num_samples),
            keys=sample_keys(key, num_samples=num_samples, num_queries=queries).flatten(),
            target=None,
            source="prior",
            temperature=schedule.temperature,
        )
        return rearrange(self.rollout(inputs).prediction, "(b s q) c h w -> s b q c h w", b=batch, s=num_samples)
