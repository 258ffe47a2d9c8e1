"""The patch encoder of attention GQN."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.nn.attention import POSITION_WIDTH, positions
from zoo.nn.blocks import expand_to_map, image_inputs, initialise_layers


class Patches(PerViewEncoder):
    """Patch dictionary, r^i_k = psi(patch k of x^i [, v^i, k]), one vector per patch (Rosenbaum et al. 2018).

    The paper cuts images of 32x32 into overlapping patches of 8x8 pixels, 4 pixels apart, and encodes each by a small
    convolutional network. With ``pose: left_out``, as in the paper, a vector describes the appearance alone, and an
    attending core adds pose and position. With ``pose: joined`` the encoder fuses both, so that the sum over views, the
    pooled representation, is meaningful too.
    """

    class Config(PerViewEncoder.Config):
        channels: Size = Field(default=64, multiple_of=2, description="width of the vector of a patch")
        patch_size: Size = Field(default=8, multiple_of=2, description="pixels of a patch in both directions")
        stride: Size = Field(default=4, description="pixels from one patch to the next")
        pose: Literal["joined", "left_out"] = Field(
            default="joined", description="whether the vector of a patch includes pose and position"
        )

    context_kind = "images"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        size, stride = config.patch_size, config.stride
        if any(side < size or (side - size) % stride for side in (view.height, view.width)):
            raise ValueError(
                f"images of {view.height}x{view.width} pixels: cannot be covered by patches of {size} pixels, "
                f"{stride} pixels apart"
            )
        self.config = config
        self.shape = RepresentationShape(
            channels=config.channels,
            height=(view.height - size) // stride + 1,
            width=(view.width - size) // stride + 1,
        )
        half = config.channels // 2
        self.network = nn.Sequential(
            nn.Conv2d(view.channels, half, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(half * (size // 2) ** 2, config.channels),
        )
        initialise_layers(self.network, image_inputs(view.channels))
        self.join = None
        if config.pose == "joined":
            joined = config.channels + view.pose_width + POSITION_WIDTH
            self.join = nn.Sequential(
                nn.Conv2d(joined, config.channels, 1), nn.ReLU(), nn.Conv2d(config.channels, config.channels, 1)
            )
            initialise_layers(self.join, config.channels, view.pose_width, POSITION_WIDTH)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        """Maps images [n, C, H, W] and poses [n, P] to one vector per patch, [n, channels, h, w]."""
        size, (_, height, width) = self.config.patch_size, self.shape
        patches = (
            F.unfold(values, size, stride=self.config.stride)
            if len(values)
            else values.new_zeros(0, values.shape[1] * size * size, height * width)
        )
        patches = rearrange(patches, "n (c a b) t -> (n t) c a b", a=size, b=size)
        features = rearrange(self.network(patches), "(n h w) c -> n c h w", h=height, w=width)
        if self.join is None:
            return features
        place = positions(height, width, like=features).expand(len(features), -1, -1, -1)
        pose = expand_to_map(poses, height=height, width=width).to(features.dtype)
        return self.join(torch.cat([F.relu(features), pose, place], dim=1))
