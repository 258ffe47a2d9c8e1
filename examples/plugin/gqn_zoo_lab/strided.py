"""Encoder of two strided convolutions."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings, Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.blocks import expand_to_map, image_inputs, initialise_layers


class Strided(PerViewEncoder):
    """r = sum_i psi(x^i, v^i), a map of 1/4 of the image's size."""

    class Config(Settings):
        """Size of the network."""

        channels: Size = Field(default=128, description="channels of the representation")

    context_kind = "images"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        if view.height % 4 or view.width % 4:
            raise ValueError(f"images of {view.height}x{view.width} pixels: Strided needs sizes divisible by 4")
        self.shape = RepresentationShape(channels=config.channels, height=view.height // 4, width=view.width // 4)
        self.network = nn.Sequential(
            nn.Conv2d(view.channels + view.pose_width, config.channels, kernel_size=2, stride=2),
            nn.SiLU(),
            nn.Conv2d(config.channels, config.channels, kernel_size=2, stride=2),
        )
        initialise_layers(self.network, image_inputs(view.channels), view.pose_width)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        """Maps images [n, C, H, W] with poses [n, P] to psi, [n, channels, H / 4, W / 4]."""
        maps = expand_to_map(poses, height=values.shape[-2], width=values.shape[-1])
        return self.network(torch.cat([values, maps.to(values.dtype)], dim=1))
