"""The encoder of the Scene Representation Transformer."""

from __future__ import annotations

from typing import cast

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth, Octaves, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import Encoder, Representation, RepresentationShape, ViewShape
from zoo.nn.attention import SelfAttentionBlock, view_tokens
from zoo.nn.blocks import broadcast_conv, divide_size, image_inputs, initialise_layers, pool_views
from zoo.nn.geometry import ray_parts, ray_waves, ray_width


class Transformer(Encoder):
    """SRT encoder, {r^i_k} = transformer({psi(x^i, rays of v^i)_k}) over patches k of views i (Sajjadi et al. 2022).

    A convolutional network encodes every image, with the ray of every pixel, as one token per patch; then all tokens of a
    scene attend to each other. The map of a view depends on the other views. Views have no order: only their rays differ.

    Pooled is the mean of the maps of the views, zero without views. It is not additive over views.
    """

    class Config(Settings):
        channels: Size = Field(default=256, ge=8, description="width of a token")
        halvings: Depth = Field(default=3, description="a token represents 2^halvings pixels in both directions")
        first_channels: Size = Field(default=32, description="channels after the first halving; doubled by each")
        blocks: Depth = Field(default=4, description="self-attention layers over all tokens of a scene")
        heads: Size = Field(default=4, description="of attention; must divide channels")
        hidden_channels: Size = Field(default=512, description="of the feed-forward network of a layer")
        octaves: Octaves = Field(default=8, description="frequencies of the encoding of rays")
        field_of_view: float = Field(default=50.0, gt=0, lt=180, description="of the cameras, degrees across the image")

    context_kind = "images"
    features = frozenset({"pooled", "per_view"})

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        height, width = divide_size(view.size, 2**config.halvings, name="the patch size")
        self.config = config
        self.shape = RepresentationShape(channels=config.channels, height=height, width=width)
        layers: list[nn.Module] = []
        before = view.channels + ray_width(config.octaves)
        for level in range(config.halvings):
            after = config.first_channels * 2**level
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(after, after, 3, stride=2, padding=1), nn.ReLU()]
            before = after
        self.network = nn.Sequential(*layers, nn.Conv2d(before, config.channels, 1))
        initialise_layers(self.network, image_inputs(view.channels), ray_width(config.octaves))
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(channels=config.channels, heads=config.heads, hidden=config.hidden_channels)
            for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.channels)

    def _psi(self, images: Tensor, poses: Tensor) -> Tensor:
        """Maps images [n, C, H, W] and poses [n, 7] to tokens [n, channels, h, w], per view."""
        height, width = images.shape[-2:]
        octaves = self.config.octaves
        rays = ray_waves(poses, height=height, width=width, field_of_view=self.config.field_of_view, octaves=octaves)
        first = cast("nn.Conv2d", self.network[0])
        # The pixels of a view share the encoding of the ray's origin.
        of_images, *of_rays = first.weight.split([images.shape[1], *ray_parts(octaves)], dim=1)
        of_origin, of_direction = (torch.cat(of_rays[start::2], dim=1) for start in range(2))
        features = F.conv2d(
            torch.cat([images, rays.direction.to(images.dtype)], dim=1),
            torch.cat([of_images, of_direction], dim=1),
            first.bias,
            padding=1,
        )
        origin = broadcast_conv(rays.origin.to(images.dtype), of_origin, size=(height, width), padding=(1, 1))
        return self.network[1:](features + origin)

    def forward(self, views: Views) -> Representation:
        (batch, number), (_, height, width) = views.mask.shape, self.shape
        alone = self._psi(views.values.flatten(0, 1), views.poses.flatten(0, 1))
        tokens = view_tokens(alone.view(batch, number, *alone.shape[1:]), views.mask)
        for block in self.blocks:
            tokens = block(tokens)
        per_view = rearrange(self.norm(tokens.values), "b (n h w) c -> b n c h w", n=number, h=height, w=width)
        pooled = pool_views(per_view, views.mask, pooling="mean")
        return Representation(pooled=pooled, per_view=per_view, mask=views.mask)
