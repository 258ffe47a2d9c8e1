"""A picture held against what is known of a scene: where might it have been taken?

Both networks return one vector for every picture, whatever the number of context views.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.blocks import ImageReader, ResidualBlock, halvings_to, match_size
from zoo.nn.perceptron import perceptron

SMALLEST = 4  # height and width of the smallest map of a picture


class PooledMatch(nn.Module):
    """Joins a picture's feature map with the scene's pooled map: f(x^q, r), convolutions and one linear map.

    The picture is brought down to the size of the scene's map (or to 4x4, if that is smaller), the maps are laid beside
    each other, and residual blocks read them together.
    """

    def __init__(
        self, *, picture_channels: int, image_size: int, scene_channels: int, scene_size: int, channels: int, width: int
    ) -> None:
        """``channels`` are those of the picture's features; ``width`` is that of the result."""
        super().__init__()
        halvings = halvings_to(image_size, smallest=max(scene_size, SMALLEST))
        self.size = image_size // 2**halvings
        layers: list[nn.Module] = [nn.Conv2d(picture_channels, channels, 3, padding=1)]
        for _ in range(halvings):
            layers += [
                ResidualBlock(channels_in=channels, channels_out=channels),
                nn.Conv2d(channels, channels, 2, stride=2),
            ]
        self.picture = nn.Sequential(*layers)
        self.both = nn.Sequential(
            ResidualBlock(channels_in=channels + scene_channels, channels_out=2 * channels),
            ImageReader(channels_in=2 * channels, image_size=self.size, channels=2 * channels, width_out=width),
            nn.SiLU(),
        )

    def forward(self, pictures: Tensor, pooled: Tensor) -> Tensor:
        """Maps pictures [B, Q, C, H, W] and scenes [B, C', h, w] to [B, Q, width]."""
        batch, queries = pictures.shape[:2]
        features = self.picture(pictures.flatten(0, 1))
        scene = match_size(pooled, height=self.size, width=self.size).repeat_interleave(queries, dim=0)
        return self.both(torch.cat([features, scene.to(features.dtype)], dim=1)).unflatten(0, (batch, queries))


class AttentiveMatch(nn.Module):
    """Looks several times at patches of the context, each time knowing what it saw before (Rosenbaum et al. 2018).

        h_0 = f(x^q);   a_l = softmax(key_i . query(h_l));   h_{l+1} = GRU((sum_i a_l,i value_i, h_0), h_l)

    for l = 0 .. L-1. The picture enters every step and stands beside the last state in the result: handed on by the state
    alone it would fade with every update, and nothing would be learned from it for a long time. A token i is a patch of a context view's map with the view's pose and the patch's place in the picture, so that a
    read says where something like it was seen from. A learned token that is always there makes attention to no context
    at all well defined. The order of the views does not matter.
    """

    def __init__(
        self,
        *,
        picture_channels: int,
        image_size: int,
        scene_channels: int,
        pose_width: int,
        channels: int,
        width: int,
        steps: int,
        heads: int,
        patches: int,
    ) -> None:
        """``steps`` is L; ``patches`` is how many patches a view has in each direction, at most.

        Raises:
            ValueError: if the width cannot be shared out among the heads.
        """
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width}: {heads} heads do not divide it")
        self.steps, self.heads, self.patches, self.width = steps, heads, patches, width
        self.picture = ImageReader(
            channels_in=picture_channels, image_size=image_size, channels=channels, width_out=width
        )
        self.token = nn.Sequential(*perceptron(scene_channels + pose_width + 2, width, width), nn.ReLU())
        self.nothing = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.keys = nn.Linear(width, width, bias=False)  # a bias would add the same to all and cancel in the softmax
        self.values = nn.Linear(width, width)
        self.question = nn.Linear(width, width)
        self.cell = nn.GRUCell(2 * width, width)

    def forward(self, pictures: Tensor, per_view: Tensor, *, where: Tensor, mask: Tensor) -> Tensor:
        """Maps pictures to vectors.

        Args:
            pictures: [B, Q, C, H, W].
            per_view: maps of the context views, [B, N, C', h, w].
            where: their poses, [B, N, P].
            mask: [B, N], False is padding.

        Returns:
            [B, Q, 2 * width], the last state and what the picture shows.
        """
        batch, queries = pictures.shape[:2]
        tokens, there = self._tokens(per_view, where, mask)
        keys, values = (self._by_head(layer(tokens)) for layer in (self.keys, self.values))
        seen = F.silu(self.picture(pictures.flatten(0, 1)))
        state = torch.tanh(seen)
        for _ in range(self.steps):
            question = self._by_head(self.question(state).unflatten(0, (batch, queries)))
            read = F.scaled_dot_product_attention(question, keys, values, attn_mask=there[:, None, None])
            read = read.transpose(1, 2).flatten(2).flatten(0, 1)
            state = self.cell(torch.cat([read, seen], dim=1), state)
        return torch.cat([state, seen], dim=1).unflatten(0, (batch, queries))

    def _by_head(self, vectors: Tensor) -> Tensor:
        """Turns [B, T, width] into [B, heads, T, width / heads]."""
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _tokens(self, per_view: Tensor, where: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns tokens [B, 1 + N h w, width], the first of them learned, and which of them are there, [B, 1 + N h w]."""
        batch, views = mask.shape
        height, width = (min(self.patches, size) for size in per_view.shape[-2:])
        maps = match_size(per_view.flatten(0, 1), height=height, width=width)
        down, across = (
            torch.linspace(-1.0, 1.0, size, dtype=maps.dtype, device=maps.device) for size in (height, width)
        )
        places = torch.stack(torch.meshgrid(down, across, indexing="ij")).expand(batch * views, -1, -1, -1)
        poses = where.flatten(0, 1)[:, :, None, None].expand(-1, -1, height, width).to(maps.dtype)
        joined = torch.cat([maps, poses, places], dim=1).flatten(2).transpose(1, 2)
        patches = self.token(joined).unflatten(0, (batch, views)).flatten(1, 2)
        tokens = torch.cat([self.nothing.to(patches.dtype).expand(batch, 1, -1), patches], dim=1)
        there = mask.repeat_interleave(height * width, dim=1)
        return tokens, torch.cat([torch.ones_like(there[:, :1]) if views else mask.new_ones(batch, 1), there], dim=1)
