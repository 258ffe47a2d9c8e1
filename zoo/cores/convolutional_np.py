"""The core of convolutional neural processes."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Size
from zoo.cores.convolutional_cnp import ConvolutionalCnp, FromGrid, Grid, GridMaker, GridNetwork, ToGrid
from zoo.cores.neural_process import concatenate_views
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore
from zoo.nn.gaussian import DiagonalGaussian, at_least_float32, terms_of_group
from zoo.nn.noise import scene_sample_keys, standard_normal


class ConvolutionalNp(LatentCore):
    """Convolutional neural process (Foong et al. 2020, NeurIPS), latents of a scene on a grid:

        p(y^1..Q | x^1..Q, C) = int q(z | C) prod_q p(y^q | h_z(x^q)) dz,  h_z = SetConv(CNN(z)).

    q(z | set) = N(CNN(SetConv(set))) has a mean and a scale per cell; one network gives the prior q(z | C) and the
    posterior q(z | C, T) on the grid of the context. Targets share z, so samples at neighbouring queries are consistent.
    The objective is that of ``neural_process``, with the KL summed over cells.
    """

    class Config(ConvolutionalCnp.Config):
        z_channels: Size = Field(default=16, description="latents of every cell")
        layers: Depth = Field(default=4, description="residual convolutions of each network")

    required_features = frozenset()
    query_kinds = frozenset({"inputs"})
    target_kinds = frozenset({"values"})
    encodes_targets = True
    latents = "scene"
    shared_posterior = True

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.grid = GridMaker(config, dimensions=shapes.query_width)
        self.to_grid = ToGrid(spacing=self.grid.spacing)
        self.from_grid = FromGrid(spacing=self.grid.spacing)
        network = partial(GridNetwork, config, dimensions=shapes.query_width)
        self.encoder = network(channels=(1 + shapes.target[0], 2 * config.z_channels))
        self.decoder = network(channels=(config.z_channels, shapes.prediction_channels))

    def distribution(self, views: Views, grid: Grid) -> DiagonalGaussian:
        """Returns q(z | views), [B, z_channels, G, G or 1]."""
        return self._distributions(self._signal(views, grid), count=1)[0]

    def _signal(self, views: Views, grid: Grid) -> Tensor:
        return self.to_grid(views.values.flatten(2), views.poses, views.mask, grid)

    def _distributions(self, signals: Tensor, *, count: int) -> list[DiagonalGaussian]:
        """Returns q(z | views) of ``count`` sets of views per scene, with signals [count * B, ...]; see ``LatentPath``."""
        mean, omega = at_least_float32(self.encoder(signals)).chunk(2, dim=1)
        log_scale = torch.log(0.1 + 0.9 * torch.sigmoid(omega))
        pairs = zip(mean.chunk(count), log_scale.chunk(count), strict=True)
        return [DiagonalGaussian(mean=each, log_scale=scale) for each, scale in pairs]

    def _decode(self, z: Tensor, grid: Grid, query: Tensor) -> Tensor:
        """Returns predictions [S, B, Q, C', 1, 1] for latents [S, B, z_channels, G, G or 1] and queries [B, Q, P]."""
        features = self.decoder(z.to(query.dtype).flatten(0, 1)).unflatten(0, z.shape[:2])
        return self.from_grid(features, grid, query)[..., None, None]

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        grid = self.grid(episode.context.poses, episode.context.mask)
        sets = (episode.context, concatenate_views(episode.context, episode.target_views))
        prior, posterior = self._distributions(torch.cat([self._signal(views, grid) for views in sets]), count=2)
        z = posterior.sample(standard_normal(episode.key, tuple(prior.mean.shape[1:])))
        prediction = self._decode(z[None], grid, episode.query)[0]
        return CoreOutput(prediction, *terms_of_group(z, posterior=posterior, prior=prior))

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        grid = self.grid(context.poses, context.mask)
        prior = self.distribution(context, grid)
        keys = scene_sample_keys(key, num_samples=num_samples).T
        z = prior.sample(standard_normal(keys, tuple(prior.mean.shape[1:])), temperature=schedule.temperature)
        return self._decode(z, grid, query)
