"""Joint features of an image of unknown pose and a scene's pooled representation, for pose inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.nn.blocks import ImageReader, ResidualBlock, halvings_to, match_size

SMALLEST = 4  # height and width of the smallest map of an image


class PosePooling(nn.Module):
    """f(x^q, r): residual blocks over the concatenated feature map of an image and pooled map of a scene.

    The image is reduced to the size of the scene's map, or to 4x4 if that is smaller.
    """

    def __init__(
        self, *, image_channels: int, image_size: int, scene_channels: int, scene_size: int, channels: int, width: int
    ) -> None:
        """``channels`` are those of the image's features; ``width`` is that of the result."""
        super().__init__()
        halvings = halvings_to(image_size, smallest=max(scene_size, SMALLEST))
        self.size = image_size // 2**halvings
        layers: list[nn.Module] = [nn.Conv2d(image_channels, channels, 3, padding=1)]
        for _ in range(halvings):
            layers += [
                ResidualBlock(channels_in=channels, channels_out=channels),
                nn.Conv2d(channels, channels, 2, stride=2),
            ]
        self.image = nn.Sequential(*layers)
        self.both = nn.Sequential(
            ResidualBlock(channels_in=channels + scene_channels, channels_out=2 * channels),
            ImageReader(channels_in=2 * channels, image_size=self.size, channels=2 * channels, width_out=width),
            nn.SiLU(),
        )

    def forward(self, images: Tensor, pooled: Tensor) -> Tensor:
        """Maps images [B, Q, C, H, W] and scenes [B, C', h, w] to [B, Q, width]."""
        batch, queries = images.shape[:2]
        features = self.image(images.flatten(0, 1))
        scene = match_size(pooled, height=self.size, width=self.size).repeat_interleave(queries, dim=0)
        return self.both(torch.cat([features, scene.to(features.dtype)], dim=1)).unflatten(0, (batch, queries))
