"""MyEncoder, an encoder: start from here, then run ``gqn-zoo check NAME``."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings, Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.blocks import divide_size, expand_to_map


class MyEncoder(PerViewEncoder):
    """r = sum_i psi(x^i, v^i), a map of 1/4 of the image's size."""

    class Config(Settings):
        """Settings with types and defaults, for registry files and ``--set encoder.channels=32``."""

        channels: Size = Field(default=64, ge=1, description="channels of the representation")

    context_kind = "images"  # or "captions", "values"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        height, width = divide_size(
            view.size, 4, name="the downsampling factor"
        )  # ValueError if it does not divide them
        self.shape = RepresentationShape(channels=config.channels, height=height, width=width)
        self.network = nn.Sequential(
            nn.Conv2d(view.channels + view.pose_width, config.channels, 4, stride=4),
            nn.ReLU(),
            nn.Conv2d(config.channels, config.channels, 3, padding=1),
        )

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        """Maps images [n, C, H, W] with poses [n, P] to psi, [n, channels, H / 4, W / 4]; n may be 0."""
        maps = expand_to_map(poses, height=values.shape[-2], width=values.shape[-1])
        return self.network(torch.cat([values, maps.to(values.dtype)], dim=1))
