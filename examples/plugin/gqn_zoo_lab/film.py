"""Variational autoencoder with feature-wise modulation (FiLM, Perez et al. 2018) of its latents."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings, Size
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.nn.blocks import ImageReader, ImageWriter, match_size
from zoo.nn.gaussian import DiagonalGaussian, kl_divergence, standard_like
from zoo.nn.noise import query_keys, sample_keys, standard_normal


class FilmVae(LatentCore):
    """p(x^q | v^q, r) = int N(z; 0, 1) p(x^q | a(y) * W z + b(y)) dz with y = (r, v^q), q(z | x^q, y)."""

    class Config(Settings):
        """Sizes of the networks."""

        z_channels: Size = Field(default=128, description="width of the latent vector")
        channels: Size = Field(default=64, description="channels of the image networks at full resolution")
        condition_channels: Size = Field(default=256, description="width of y and of the modulated vector")

    required_features = frozenset({"pooled"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.z_channels, width = config.z_channels, config.condition_channels
        channels, size, _ = shapes.target
        self.condition = nn.Sequential(
            nn.Linear(shapes.representation.channels + shapes.query_width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.reader = ImageReader(channels_in=channels, image_size=size, channels=config.channels, width_out=width)
        self.posterior = nn.Linear(2 * width, 2 * config.z_channels)
        self.project = nn.Linear(config.z_channels, width)
        self.film = nn.Linear(width, 2 * width)
        self.writer = ImageWriter(
            width_in=width,
            image_size=size,
            channels=config.channels,
            channels_out=shapes.prediction_channels,
            initial_prediction=shapes.initial_prediction,
        )

    def _condition(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns y, [B, Q, condition_channels]."""
        pooled = match_size(encode(context).pooled, height=1, width=1).flatten(1)
        pooled = pooled[:, None].expand(-1, query.shape[1], -1)
        return self.condition(torch.cat([pooled, query.to(pooled.dtype)], dim=-1))

    def _decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Returns the parameters of the likelihood, [..., C', H, W]."""
        scale, shift = self.film(condition).chunk(2, dim=-1)
        modulated = torch.nn.functional.silu((1 + scale) * self.project(z.to(condition.dtype)) + shift)
        return self.writer(modulated.flatten(0, -2)).unflatten(0, modulated.shape[:-1])

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        """Predicts the targets with latents from the posterior."""
        condition = self._condition(episode.context, episode.query, encode)
        image = self.reader(episode.target.flatten(0, 1)).unflatten(0, episode.target.shape[:2])
        posterior = DiagonalGaussian.from_parameters(self.posterior(torch.cat([image, condition], dim=-1)), dim=-1)
        prior = standard_like(posterior)
        keys = query_keys(episode.key, num_queries=episode.query.shape[1])
        z = posterior.sample(standard_normal(keys, (self.z_channels,)))
        return CoreOutput(
            prediction=self._decode(z, condition),
            kl=kl_divergence(posterior, prior),
            log_ratio=(posterior.log_prob(z) - prior.log_prob(z)).sum(dim=(1, 2)),
        )

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        """Predicts the targets with latents from the prior, [S, B, Q, C', H, W]."""
        condition = self._condition(context, query, encode)
        keys = sample_keys(key, num_samples=num_samples, num_queries=query.shape[1])
        z = schedule.temperature * standard_normal(keys.transpose(0, 1), (self.z_channels,))
        return self._decode(z, condition.expand(num_samples, -1, -1, -1))
