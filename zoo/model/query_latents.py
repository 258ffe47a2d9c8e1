"""Cores whose latents range over queries: scores and predictions from one rollout per core, or from one vector per query."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from einops import rearrange, repeat
from torch import Tensor

from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import Encode, LatentCore, Representation
from zoo.nn.gaussian import DiagonalGaussian, LatentSource, Rollout, terms_of_group
from zoo.nn.noise import query_keys, sample_keys, standard_normal


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


class QueryVectorCore(LatentCore):
    """p(target | y) = int p(z | y) p(target | z, y) dz with one vector z per query, given what is known before, y.

    ``__init__`` sets ``z_channels``.
    """

    latents = "query"
    z_channels: int  # width of z

    @abstractmethod
    def condition_of(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns y, [B, Q, width], which may be 0 wide: what is known of a target before it is seen."""

    @abstractmethod
    def prior_of(self, condition: Tensor) -> DiagonalGaussian:
        """Returns p(z | y), [..., z_channels], for y [..., width]."""

    @abstractmethod
    def posterior_of(self, target: Tensor, condition: Tensor) -> DiagonalGaussian:
        """Returns q(z | x, y), [B, Q, z_channels], of targets [B, Q, C, H, W] and y [B, Q, width]."""

    @abstractmethod
    def write(self, z: Tensor, condition: Tensor) -> Tensor:
        """Returns predictions [..., C', H, W] for z [..., z_channels] and y [..., width]."""

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        """Predicts the targets with latents drawn from the posterior."""
        condition = self.condition_of(episode.context, episode.query, encode)
        posterior, prior = self.posterior_of(episode.target, condition), self.prior_of(condition)
        keys = query_keys(episode.key, num_queries=episode.target.shape[1])
        z = posterior.sample(standard_normal(keys, (self.z_channels,)))
        return CoreOutput(self.write(z, condition), *terms_of_group(z, posterior=posterior, prior=prior))

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        """Predicts [S, B, Q, C', H, W] with latents drawn from the prior."""
        condition = self.condition_of(context, query, encode)
        keys = sample_keys(key, num_samples=num_samples, num_queries=query.shape[1]).transpose(0, 1)
        noise = standard_normal(keys, (self.z_channels,))
        z = self.prior_of(condition).sample(noise, temperature=schedule.temperature)
        return self.write(z, condition.expand(num_samples, *condition.shape))
