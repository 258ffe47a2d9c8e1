"""The core of neural processes, with or without a deterministic path."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Size
from zoo.cores.conditional_neural_process import (
    ConditionalNeuralProcess,
    PointDecoder,
    deterministic_path,
    encode_mean,
    masked_mean,
)
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, Encoder, LatentCore
from zoo.nn.blocks import mlp
from zoo.nn.gaussian import DiagonalGaussian, at_least_float32, terms_of_group
from zoo.nn.noise import scene_sample_keys, standard_normal


class NeuralProcess(LatentCore):
    """Neural process (Garnelo et al. 2018, "Neural processes"), latents of a scene:

        p(y^1..Q | x^1..Q, C) = int q(z | C) prod_q p(y^q | z, d(x^q, C), x^q) dz.

    One network maps a set of observations to q(z | set). The objective, with targets T, is

        E_{q(z | C, T)} log p(y^1..Q | z, C, x^1..Q) - KL(q(z | C, T) || q(z | C)).

    As q(z | C) replaces the posterior of the context under a fixed prior, this bounds the conditional model above, which
    is not a consistent stochastic process: conditioning on targets and predicting them first need not agree.

    ``path: latent`` has no d. With ``path: both`` d is the mean of the context's features (Kim et al. 2019, baseline) or,
    with ``aggregation: attention``, cross-attention from the query: the attentive neural process. Feature maps of images
    are averaged over space.
    """

    class Config(ConditionalNeuralProcess.Config):
        """Paths and sizes; defaults follow the public code of Lee et al. 2020."""

        path: Literal["latent", "both"] = Field(
            default="latent", description="inputs of the decoder: z alone, or z and a deterministic d"
        )
        z_channels: Size = Field(default=128, description="width of the latent vector")

    required_features = frozenset({"per_view"})
    query_kinds = frozenset({"poses", "inputs"})
    target_kinds = frozenset({"images", "values"})
    encodes_targets = True
    latents = "scene"
    shared_posterior = True

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        if config.path == "latent" and config.aggregation != "mean":
            raise ValueError("aggregation 'attention': path 'latent' has no deterministic path")
        self.config = config
        channels, hidden = shapes.representation.channels, config.hidden_channels
        self.latent = LatentPath(channels=channels, hidden=hidden, z_channels=config.z_channels)
        self.deterministic = deterministic_path(config, shapes=shapes) if config.path == "both" else None
        condition = config.z_channels + (hidden if self.deterministic else 0)
        self.decoder = PointDecoder(config, shapes=shapes, condition=condition)

    def distribution(self, views: Views) -> DiagonalGaussian:
        """Returns q(z | views), [B, z_channels], of encoded views."""
        return self.latent(views.values, views.mask)

    def _decode(self, z: Tensor, context: Views, query: Tensor) -> Tensor:
        """Returns predictions [S, B, Q, C', H, W] for latents [S, B, z_channels], the encoded context and queries [B, Q, P]."""
        samples, queries = len(z), query.shape[1]
        condition = z[:, :, None].expand(-1, -1, queries, -1)
        if self.deterministic is not None:
            deterministic = self.deterministic(context, query)
            condition = torch.cat(
                [condition.to(deterministic.dtype), deterministic.expand(samples, -1, -1, -1)], dim=-1
            )
        return self.decoder(condition, query.expand(samples, -1, -1, -1))

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        all_views = encode_mean(concatenate_views(episode.context, episode.target_views), encode)
        if isinstance(encode, Encoder) and encode.independent_views:
            # The vectors of the context are among those of all views.
            number = episode.context.mask.shape[1]
            context = Views(*(field[:, :number] for field in all_views))
        else:
            context = encode_mean(episode.context, encode)
        prior, posterior = self.distribution(context), self.distribution(all_views)
        z = posterior.sample(standard_normal(episode.key, (self.config.z_channels,)))
        prediction = self._decode(z[None], context, episode.query)[0]
        return CoreOutput(prediction, *terms_of_group(z, posterior=posterior, prior=prior))

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        keys = scene_sample_keys(key, num_samples=num_samples).T
        noise = standard_normal(keys, (self.config.z_channels,))
        encoded = encode_mean(context, encode)
        z = self.distribution(encoded).sample(noise, temperature=schedule.temperature)
        return self._decode(z, encoded, query)


def concatenate_views(context: Views, targets: Views) -> Views:
    """Concatenates context and targets, views of the same kind, to [B, N + Q, ...]."""
    return Views(*(torch.cat(pair, dim=1) for pair in zip(context, targets, strict=True)))


class LatentPath(nn.Module):
    """q(z | set) = N(mu(s), (0.1 + 0.9 sigmoid(omega(s)))^2) with s = mean_i a(r_i), whatever set is given.

    The bounded scale is that of Kim et al. 2019 ("Attentive neural processes", ICLR, and its public code): neither does
    it collapse nor does the divergence of two such distributions run away.
    """

    def __init__(self, *, channels: int, hidden: int, z_channels: int) -> None:
        super().__init__()
        self.each = mlp(channels, hidden, hidden)
        self.whole = mlp(hidden, hidden, 2 * z_channels)

    def forward(self, features: Tensor, mask: Tensor) -> DiagonalGaussian:
        """Maps r_i [B, N, C] with their mask [B, N] to a distribution over [B, z_channels]."""
        mean, omega = at_least_float32(self.whole(masked_mean(self.each(features), mask))).chunk(2, dim=-1)
        return DiagonalGaussian(mean=mean, log_scale=torch.log(0.1 + 0.9 * torch.sigmoid(omega)))
