"""The core of reversed GQN with latents."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, Size
from zoo.cores.reversed import PosePooling
from zoo.data.camera import pose_vector
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, Encode
from zoo.model.query_latents import QueryVectorCore
from zoo.nn.blocks import mlp
from zoo.nn.gaussian import DiagonalGaussian


class ReversedLatent(QueryVectorCore):
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

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        width = config.width
        latent = self.z_channels = config.z_channels
        self.match = PosePooling(shapes, channels=config.channels, width=width)
        self.eta_pi = mlp(width, width, 2 * latent)
        self.eta_q = mlp(width + shapes.pose_width, width, 2 * latent)
        self.read_out = mlp(width + latent, width, shapes.prediction_channels)

    def condition_of(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        return self.match(query, encode(context).pooled)

    def prior_of(self, condition: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_parameters(self.eta_pi(condition), dim=-1)

    def posterior_of(self, target: Tensor, condition: Tensor) -> DiagonalGaussian:
        poses = pose_vector(target[..., 0, 0]).to(condition.dtype)
        return DiagonalGaussian.from_parameters(self.eta_q(torch.cat([condition, poses], dim=-1)), dim=-1)

    def write(self, z: Tensor, condition: Tensor) -> Tensor:
        return self.read_out(torch.cat([condition, z.to(condition.dtype)], dim=-1))[..., None, None]
