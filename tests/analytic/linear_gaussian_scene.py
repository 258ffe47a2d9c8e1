"""A scene model with one z a scene, whose joint likelihood is known in closed form, written as a third party's core.

    z ~ N(E r, 1)        x_q = A_q z + B v_q + F r + b + sigma * noise,   A_q = U diag(G v_q),   q = 1..K

All images of a scene share z, so that jointly they are Gaussian with covariance blocks A_i A_j^T, plus sigma^2 where
i = j. The columns of U are orthonormal, which makes the posterior of z a diagonal Gaussian like those of the zoo:
S = 1 / (1 + sum_q (G v_q)^2 / sigma^2), m = E r + S sum_q A_q^T (x_q - mu_q) / sigma^2.
"""

import math
from typing import NamedTuple

import torch
from pydantic import Field

from zoo.config.settings import Settings
from zoo.episode import CoreOutput, Episode, ScheduleValues
from zoo.model.interfaces import CoreShapes, LatentCore
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import scene_sample_keys, standard_normal


class Beliefs(NamedTuple):
    """What a scene's latents look like before and after its targets were seen."""

    prior: DiagonalGaussian  # [B, Z]
    exact: DiagonalGaussian  # the true posterior
    approximate: DiagonalGaussian  # q, wrong by as much as the settings say


class SceneLinearGaussian(LatentCore):
    """The model above; q is the exact posterior moved by ``shift`` of its scales and stretched by ``stretch``."""

    class Config(Settings):
        """How wrong q is."""

        z_channels: int = 2
        shift: float = Field(default=0.0, description="of the mean, in scales of the exact posterior")
        stretch: float = Field(default=0.0, description="added to the log-scale of the exact posterior")

    required_features = frozenset({"pooled"})
    latents = "scene"

    def __init__(self, config: Config, *, shapes: CoreShapes):
        super().__init__(config, shapes=shapes)
        self.config, self.target_shape = config, shapes.target
        dims, width, channels = math.prod(shapes.target), config.z_channels, shapes.representation.channels

        def random(*size):
            return torch.nn.Parameter(torch.randn(*size, dtype=torch.float64) * 0.3)

        # Not a parameter: a step of training would take it away from orthonormal columns.
        self.register_buffer("U", torch.linalg.qr(torch.randn(dims, width, dtype=torch.float64))[0])
        self.G, self.E = random(width, shapes.query_width), random(width, channels)
        self.B, self.F, self.b = random(dims, shapes.query_width), random(dims, channels), random(dims)

    def offset(self, pooled, query):
        """B v_q + F r + b, [B, Q, D]."""
        return query.double() @ self.B.T + (pooled.flatten(1) @ self.F.T)[:, None] + self.b

    def lengths(self, query):
        """G v_q, [B, Q, Z]."""
        return query.double() @ self.G.T

    def prior(self, pooled):
        mean = pooled.flatten(1) @ self.E.T
        return DiagonalGaussian(mean=mean, log_scale=torch.zeros_like(mean))

    def beliefs(self, pooled, query, target, sigma) -> Beliefs:
        prior, lengths = self.prior(pooled), self.lengths(query)
        residual = (target.flatten(2) - self.offset(pooled, query)) @ self.U - lengths * prior.mean[:, None]
        variance = 1.0 / (1.0 + lengths.square().sum(1) / sigma**2)
        mean = prior.mean + variance * (lengths * residual).sum(1) / sigma**2
        exact = DiagonalGaussian(mean=mean, log_scale=0.5 * variance.log())
        approximate = DiagonalGaussian(
            mean=mean + self.config.shift * variance.sqrt(), log_scale=exact.log_scale + self.config.stretch
        )
        return Beliefs(prior=prior, exact=exact, approximate=approximate)

    def decode(self, z, pooled, query):
        """Images [..., B, Q, C, H, W] of latents [..., B, Z]."""
        means = (z[..., None, :] * self.lengths(query)) @ self.U.T + self.offset(pooled, query)
        return means.unflatten(-1, self.target_shape)

    def forward(self, episode: Episode, encode, schedule: ScheduleValues) -> CoreOutput:
        pooled = encode(episode.context).pooled
        beliefs = self.beliefs(pooled, episode.query, episode.target, schedule.sigma)
        q = beliefs.approximate
        z = q.sample(standard_normal(episode.key, q.mean.shape[1:]))
        return CoreOutput(
            prediction=self.decode(z, pooled, episode.query),
            kl=kl_divergence(q, beliefs.prior),
            log_ratio=(q.log_prob(z) - beliefs.prior.log_prob(z)).sum(1),
        )

    def predict(self, context, query, key, *, encode, schedule, num_samples):
        pooled = encode(context).pooled
        prior = self.prior(pooled)
        noise = standard_normal(scene_sample_keys(key, num_samples=num_samples).T, prior.mean.shape[1:])
        return self.decode(prior.sample(noise, temperature=schedule.temperature), pooled, query)
