"""The core of variational autoencoders, the baseline without context."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, Encode
from zoo.model.query_latents import QueryVectorCore
from zoo.nn.blocks import ImageReader, ImageWriter
from zoo.nn.gaussian import DiagonalGaussian


class Vae(QueryVectorCore):
    """Variational autoencoder core (Kingma & Welling 2013), one group of latents per query:

        p(x^q) = int N(z; 0, 1) p(x^q | z) dz,  q(z | x^q).

    Context and query are ignored: the baseline that measures what conditional models gain from them.
    """

    class Config(Settings):
        z_channels: Size = Field(default=128, description="width of the latent vector")
        channels: Size = Field(default=64, description="channels at full resolution; at most four times as many below")

    required_features = frozenset()
    query_kinds = frozenset({"poses", "nothing"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        channels, size, _ = shapes.target
        self.config, self.z_channels = config, config.z_channels
        self.reader = ImageReader(
            channels_in=channels, image_size=size, channels=config.channels, width_out=2 * config.z_channels
        )
        self.writer = ImageWriter(
            width_in=config.z_channels,
            image_size=size,
            channels=config.channels,
            channels_out=shapes.prediction_channels,
            initial_prediction=shapes.initial_prediction,
        )

    def condition_of(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        return query.new_zeros(*query.shape[:2], 0)

    def prior_of(self, condition: Tensor) -> DiagonalGaussian:
        zeros = condition.new_zeros(*condition.shape[:-1], self.z_channels)
        return DiagonalGaussian(mean=zeros, log_scale=zeros)

    def posterior_of(self, target: Tensor, condition: Tensor) -> DiagonalGaussian:
        parameters = self.reader(target.flatten(0, 1)).unflatten(0, target.shape[:2])
        return DiagonalGaussian.from_parameters(parameters, dim=-1)

    def write(self, z: Tensor, condition: Tensor) -> Tensor:
        return self.writer(z.to(condition.dtype).flatten(0, -2)).unflatten(0, z.shape[:-1])
