"""The core of conditional variational autoencoders."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, Encode
from zoo.model.query_latents import QueryVectorCore
from zoo.nn.blocks import ImageReader, ImageWriter, match_size
from zoo.nn.gaussian import DiagonalGaussian


class Cvae(QueryVectorCore):
    """Conditional variational autoencoder core, one group of latents per query:

        p(x^q | y) = int p(z | y) p(x^q | z, y) dz with y = (r, v^q),  q(z | x^q, y).

    ``prior: standard`` is N(0, 1) (Kingma et al. 2014, M2), ``prior: conditional`` is N(eta(y)) (Sohn et al. 2015).
    """

    class Config(Settings):
        prior: Literal["standard", "conditional"] = Field(
            default="conditional", description="N(0, 1), or N(eta(y)): a network of the condition y"
        )
        z_channels: Size = Field(default=128, description="width of the latent vector")
        channels: Size = Field(default=64, description="channels at full resolution; at most four times as many below")
        condition_channels: Size = Field(default=256, description="width of y")

    required_features = frozenset({"pooled"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        channels, size, _ = shapes.target
        self.config, self.z_channels = config, config.z_channels
        width = config.condition_channels
        self.condition = nn.Sequential(
            nn.Linear(shapes.representation.channels + shapes.query_width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        self.reader = ImageReader(channels_in=channels, image_size=size, channels=config.channels, width_out=width)
        self.posterior = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 2 * config.z_channels))
        self.prior = nn.Linear(width, 2 * config.z_channels) if config.prior == "conditional" else None
        self.writer = ImageWriter(
            width_in=config.z_channels + width,
            image_size=size,
            channels=config.channels,
            channels_out=shapes.prediction_channels,
            initial_prediction=shapes.initial_prediction,
        )

    def condition_of(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        pooled = match_size(encode(context).pooled, height=1, width=1).flatten(1)
        return self.condition(
            torch.cat([pooled[:, None].expand(-1, query.shape[1], -1), query.to(pooled.dtype)], dim=-1)
        )

    def prior_of(self, condition: Tensor) -> DiagonalGaussian:
        if self.prior is not None:
            return DiagonalGaussian.from_parameters(self.prior(condition), dim=-1)
        zeros = condition.new_zeros(*condition.shape[:-1], 2 * self.z_channels)
        return DiagonalGaussian.from_parameters(zeros, dim=-1)

    def posterior_of(self, target: Tensor, condition: Tensor) -> DiagonalGaussian:
        image = self.reader(target.flatten(0, 1)).unflatten(0, target.shape[:2])
        return DiagonalGaussian.from_parameters(self.posterior(torch.cat([image, condition], dim=-1)), dim=-1)

    def write(self, z: Tensor, condition: Tensor) -> Tensor:
        joined = torch.cat([z.to(condition.dtype), condition], dim=-1)
        return self.writer(joined.flatten(0, -2)).unflatten(0, joined.shape[:-1])
