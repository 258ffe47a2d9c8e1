"""The core of reversed GQN with latents."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, Size
from zoo.cores.reversed import PosePooling
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.nn.blocks import mlp
from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.latent_groups import terms_of_group
from zoo.nn.noise import query_keys, sample_keys, standard_normal


class ReversedLatent(LatentCore):
    """Reversed GQN core with one group of latents per query, an extension of Rosenbaum et al. 2018:

        p(v^q | x^q, r) = int N(z; eta_pi(y)) p(v^q | z, y) dz with y = f(x^q, r),  q(z | v^q, y) = N(eta_q(v^q, y)).

    Even if p(v | z, y) has one mode, z can select one of several places.
    """

    class Config(Settings):
        z_channels: Size = Field(default=16, description="width of the latent vector")
        channels: Size = Field(default=64, description="channels of the image's feature maps")
        width: Size = Field(default=512, description="of the joint vector y of image and scene, and of the MLPs")

    required_features = frozenset({"pooled"})
    query_kinds = frozenset({"images"})
    target_kinds = frozenset({"poses"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config = config
        width, latent = config.width, config.z_channels
        self.match = PosePooling(shapes, channels=config.channels, width=width)
        self.eta_pi = mlp(width, width, 2 * latent)
        self.eta_q = mlp(width + shapes.pose_width, width, 2 * latent)
        self.read_out = mlp(width + latent, width, shapes.prediction_channels)

    def _prior(self, joined: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_parameters(self.eta_pi(joined), dim=-1)

    def _read_out(self, joined: Tensor, z: Tensor) -> Tensor:
        """Returns predictions [..., C', 1, 1] for y [..., width] and z [..., z_channels]."""
        return self.read_out(torch.cat([joined, z.to(joined.dtype)], dim=-1))[..., None, None]

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        joined = self.match(episode.query, encode(episode.context).pooled)
        poses = episode.target_views.poses.to(joined.dtype)
        posterior = DiagonalGaussian.from_parameters(self.eta_q(torch.cat([joined, poses], dim=-1)), dim=-1)
        prior = self._prior(joined)
        keys = query_keys(episode.key, num_queries=joined.shape[1])
        z = posterior.sample(standard_normal(keys, (self.config.z_channels,)))
        return CoreOutput(self._read_out(joined, z), *terms_of_group(z, posterior=posterior, prior=prior))

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        joined = self.match(query, encode(context).pooled)
        keys = sample_keys(key, num_samples=num_samples, num_queries=query.shape[1]).transpose(0, 1)
        noise = standard_normal(keys, (self.config.z_channels,))
        z = self._prior(joined).sample(noise, temperature=schedule.temperature)
        return self._read_out(joined.expand(num_samples, *joined.shape), z)
