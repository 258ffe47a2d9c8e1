"""The dictionary encoder of attention GQN: patches of the context images, each encoded by itself."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Settings
from zoo.episode import Views
from zoo.model.interfaces import Encoder, Representation, RepresentationShape, ViewShape, represent
from zoo.nn.attention import POSITION_WIDTH, positions
from zoo.nn.blocks import expand_to_map


class Patches(Encoder):
    """r^i_k = psi(patch k of x^i [, v^i, k]), one vector a patch: a dictionary for cores that attend.

    Rosenbaum et al. 2018 cut images of 32x32 into overlapping patches of 8x8 pixels, 4 pixels apart, and encode each by
    a small convolutional network. That alone is what a patch looks like, ``pose: left_out``; a core that looks a patch up
    by its looks puts the pose and the place beside it. With ``pose: joined`` both are fused in here, so that r^i_k knows
    where it was seen from and the sum over views, which is the pooled representation, means something too.
    """

    class Config(Settings):
        """How images are cut, and the sizes of the network."""

        channels: int = Field(default=64, ge=2, multiple_of=2, description="width of a patch's vector")
        patch_size: int = Field(default=8, ge=2, multiple_of=2, description="pixels of a patch in both directions")
        stride: int = Field(
            default=4, ge=1, description="pixels from one patch to the next; less than a patch: overlap"
        )
        pose: Literal["joined", "left_out"] = Field(
            default="joined", description="left_out: a patch's vector says what it looks like and not where it was seen"
        )

    context_kind = "images"
    features = frozenset({"pooled", "per_view"})
    views_apart = True

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        size, stride = config.patch_size, config.stride
        if any(side < size or (side - size) % stride for side in (view.height, view.width)):
            raise ValueError(
                f"images of {view.height}x{view.width} pixels: cannot be covered by patches of {size} pixels, "
                f"{stride} pixels apart"
            )
        self.config = config
        self._shape = RepresentationShape(
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
        self.join = None
        if config.pose == "joined":
            joined = config.channels + view.pose_width + POSITION_WIDTH
            self.join = nn.Sequential(
                nn.Conv2d(joined, config.channels, 1), nn.ReLU(), nn.Conv2d(config.channels, config.channels, 1)
            )

    @property
    def shape(self) -> RepresentationShape:
        return self._shape

    def _psi(self, images: Tensor, poses: Tensor) -> Tensor:
        """Maps images [n, C, H, W] and poses [n, P] to one vector a patch, [n, channels, h, w]."""
        size, (_, height, width) = self.config.patch_size, self._shape
        patches = (
            F.unfold(images, size, stride=self.config.stride)
            if len(images)
            else images.new_zeros(0, images.shape[1] * size * size, height * width)
        )
        cut = rearrange(patches, "n (c a b) t -> (n t) c a b", a=size, b=size)
        features = rearrange(self.network(cut), "(n h w) c -> n c h w", h=height, w=width)
        if self.join is None:
            return features
        place = positions(height, width, like=features).expand(len(features), -1, -1, -1)
        pose = expand_to_map(poses, height=height, width=width).to(features.dtype)
        return self.join(torch.cat([F.relu(features), pose, place], dim=1))

    def forward(self, views: Views) -> Representation:
        return represent(views, self._psi)
