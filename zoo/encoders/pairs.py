"""The encoder of neural processes: pairs of an input and a value."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Octaves, Settings, Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.blocks import mlp
from zoo.nn.geometry import wave_features, wave_width


class Pairs(PerViewEncoder):
    """Pair encoder, r_i = psi(x_i, y_i), a vector per point, and r = sum_i r_i (Garnelo et al. 2018)."""

    class Config(Settings):
        channels: Size = Field(default=128, description="width of r_i and of the hidden layers")
        layers: Depth = Field(default=3, description="linear layers, including the last")
        octaves: Octaves = Field(
            default=0,
            description="Fourier features (Tancik et al. 2020): sines and cosines of 2^k x, k = -2, -1, ...; 0: x alone",
        )

    context_kind = "values"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.shape = RepresentationShape(channels=config.channels, height=1, width=1)
        self.octaves = config.octaves
        width = view.channels + wave_width(view.pose_width, octaves=config.octaves)
        self.network = mlp(width, *[config.channels] * (config.layers - 1), config.channels)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        features = wave_features(poses, octaves=self.octaves)
        return self.network(torch.cat([values.flatten(1), features], dim=-1))[..., None, None]
