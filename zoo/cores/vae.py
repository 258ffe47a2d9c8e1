"""The core of variational autoencoders, the baseline without context."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, Size
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.nn.blocks import ImageReader, ImageWriter
from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.latent_groups import terms_of_group
from zoo.nn.noise import query_keys, sample_keys, standard_normal


class Vae(LatentCore):
    """Variational autoencoder core (Kingma & Welling 2013), one group of latents per query:

        p(x^q) = int N(z; 0, 1) p(x^q | z) dz,  q(z | x^q).

    Context and query are ignored: the baseline that measures what conditional models gain from them.
    """

    class Config(Settings):
        z_channels: Size = Field(default=128, description="width of the latent vector")
        channels: Size = Field(default=64, description="channels at full resolution; at most four times as many below")

    required_features = frozenset()
    query_kinds = frozenset({"poses", "nothing"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        channels, size, _ = shapes.target
        self.config = config
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
        """Returns what is known of an image before it is seen, nothing: [B, Q, 0]."""
        return query.new_zeros(*query.shape[:2], 0)

    def prior_of(self, condition: Tensor) -> DiagonalGaussian:
        """Returns N(0, 1), [..., z_channels], for conditions [..., 0]."""
        zeros = condition.new_zeros(*condition.shape[:-1], self.config.z_channels)
        return DiagonalGaussian(mean=zeros, log_scale=zeros)

    def posterior_of(self, target: Tensor, condition: Tensor) -> DiagonalGaussian:
        """Returns q(z | x), [B, Q, z_channels], of images [B, Q, C, H, W]."""
        parameters = self.reader(target.flatten(0, 1)).unflatten(0, target.shape[:2])
        return DiagonalGaussian.from_parameters(parameters, dim=-1)

    def write(self, z: Tensor, condition: Tensor) -> Tensor:
        """Returns predictions [..., C', H, W] for z [..., z_channels]."""
        return self.writer(z.flatten(0, -2)).unflatten(0, z.shape[:-1])

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        condition = self.condition_of(episode.context, episode.query, encode)
        posterior = self.posterior_of(episode.target, condition)
        prior = self.prior_of(condition)
        keys = query_keys(episode.key, num_queries=episode.target.shape[1])
        z = posterior.sample(standard_normal(keys, (self.config.z_channels,)))
        return CoreOutput(self.write(z, condition), *terms_of_group(z, posterior=posterior, prior=prior))

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        keys = sample_keys(key, num_samples=num_samples, num_queries=query.shape[1])
        z = schedule.temperature * standard_normal(keys.transpose(0, 1), (self.config.z_channels,))
        return self.write(z.to(query.dtype), self.condition_of(context, query, encode))
