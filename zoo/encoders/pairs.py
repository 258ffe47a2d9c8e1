"""The encoder of neural processes: pairs of an input and a value."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Settings, Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.blocks import mlp


class Pairs(PerViewEncoder):
    """Pair encoder, r_i = psi(x_i, y_i), a vector per point, and r = sum_i r_i (Garnelo et al. 2018)."""

    class Config(Settings):
        channels: Size = Field(default=128, description="width of r_i and of the hidden layers")
        layers: Depth = Field(default=3, description="linear layers, including the last")

    context_kind = "values"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.shape = RepresentationShape(channels=config.channels, height=1, width=1)
        self.network = mlp(view.channels + view.pose_width, *[config.channels] * (config.layers - 1), config.channels)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        return self.network(torch.cat([values.flatten(1), poses], dim=-1))[..., None, None]
