"""The core of reversed GQN, which predicts cameras."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.blocks import ImageReader, ResidualBlock, halvings_to, match_size, mlp

SMALLEST = 4  # height and width of the smallest map of an image


class Reversed(DeterministicCore):
    """Reversed GQN core, the discriminative localisation of Rosenbaum et al. 2018 (section 4.2), no latents:

    p(v^q | x^q, r) = likelihood(MLP(f(x^q, r))) with the pooled context r.
    """

    class Config(Settings):
        channels: Size = Field(default=64, description="channels of the image's feature maps")
        width: Size = Field(default=512, description="of the joint vector of image and scene, and of the MLP")

    required_features = frozenset({"pooled"})
    query_kinds = frozenset({"images"})
    target_kinds = frozenset({"poses"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.match = PosePooling(shapes, channels=config.channels, width=config.width)
        self.read_out = mlp(config.width, config.width, shapes.prediction_channels)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns [B, Q, C', 1, 1] for images [B, Q, C, H, W]."""
        return self.read_out(self.match(query, encode(context).pooled))[..., None, None]


class PosePooling(nn.Module):
    """f(x^q, r): residual blocks over the concatenated feature map of an image and pooled map of a scene.

    The image is reduced to the size of the scene's map, or to 4x4 if that is smaller.
    """

    def __init__(self, shapes: CoreShapes, *, channels: int, width: int) -> None:
        """``channels`` are those of the image's features; ``width`` is that of the result."""
        super().__init__()
        image_channels, image_size, _ = shapes.query
        scene_channels, scene_size, _ = shapes.representation
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
