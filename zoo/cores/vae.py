"""The core of variational autoencoders, the baseline without context."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, Size
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.nn.blocks import ImageReader, ImageWriter
from zoo.nn.gaussian import DiagonalGaussian, standard_like
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

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        sizes = episode.target.shape[:2]
        read = self.reader(episode.target.flatten(0, 1)).unflatten(0, sizes)
        posterior = DiagonalGaussian.from_parameters(read, dim=-1)
        keys = query_keys(episode.key, num_queries=sizes[1])
        z = posterior.sample(standard_normal(keys, (self.config.z_channels,)))
        prediction = self.writer(z.flatten(0, 1)).unflatten(0, sizes)
        return CoreOutput(prediction, *terms_of_group(z, posterior=posterior, prior=standard_like(posterior)))

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        batch, queries = query.shape[:2]
        keys = sample_keys(key, num_samples=num_samples, num_queries=queries)
        z = schedule.temperature * standard_normal(keys.transpose(0, 1), (self.config.z_channels,))
        return self.writer(z.to(query.dtype).flatten(0, 2)).unflatten(0, (num_samples, batch, queries))
