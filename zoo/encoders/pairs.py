"""The encoder of neural processes: every pair of an input and a value by itself."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings
from zoo.episode import Views
from zoo.model.interfaces import Encoder, Representation, RepresentationShape, ViewShape, represent
from zoo.nn.blocks import mlp


class Pairs(Encoder):
    """r_i = psi(x_i, y_i), a vector for every point; their sum is the pooled representation (Garnelo et al. 2018)."""

    class Config(Settings):
        """Sizes of psi."""

        channels: int = Field(default=128, ge=1, description="width of r_i and of the hidden layers")
        layers: int = Field(default=3, ge=1, description="linear layers, the last one included")

    context_kind = "values"
    features = frozenset({"pooled", "per_view"})
    views_apart = True

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.config = config
        self.network = mlp(view.channels + view.pose_width, *[config.channels] * (config.layers - 1), config.channels)

    @property
    def shape(self) -> RepresentationShape:
        return RepresentationShape(channels=self.config.channels, height=1, width=1)

    def _psi(self, values: Tensor, inputs: Tensor) -> Tensor:
        return self.network(torch.cat([values.flatten(1), inputs], dim=-1))[..., None, None]

    def forward(self, views: Views) -> Representation:
        return represent(views, self._psi)
