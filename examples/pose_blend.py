"""A core without latents that blends the given images, for the example ``your_own_core.py``."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.blocks import ImageWriter, match_size


class PoseBlend(DeterministicCore):
    """p(x^q | v^q, C) = N(x^q; a_0 g(r, v^q) + sum_i a_i x^i, sigma^2) with a = softmax(0, k(v^q) . k(v^1), ...).

    The weights a depend on poses alone; g generates what no given view shows. For likelihoods with a mean alone.
    """

    class Config(Settings):
        """Sizes of the two networks."""

        width: Size = Field(default=64, description="of the vectors k of poses")
        channels: Size = Field(default=32, description="channels of g at full resolution")

    required_features = frozenset({"pooled"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        channels, size, _ = shapes.target
        if shapes.prediction_channels != channels:
            raise ValueError(
                f"pose_blend: found a likelihood with {shapes.prediction_channels} parameters, expected {channels}"
            )
        self.key = nn.Sequential(
            nn.Linear(shapes.pose_width, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )
        self.writer = ImageWriter(
            width_in=shapes.representation.channels + shapes.query_width,
            image_size=size,
            channels=config.channels,
            channels_out=channels,
            initial_prediction=shapes.initial_prediction,
        )

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns the predicted images [B, Q, C, H, W] at poses [B, Q, P]."""
        r = match_size(encode(context).pooled, height=1, width=1).flatten(1)
        query, poses, images = (each.to(r.dtype) for each in (query, context.poses, context.values))
        joined = torch.cat([r[:, None].expand(-1, query.shape[1], -1), query], dim=-1)
        generated = self.writer(joined.flatten(0, 1)).unflatten(0, query.shape[:2])
        likeness = torch.einsum("bqd,bnd->bqn", self.key(query), self.key(poses))
        likeness = likeness.masked_fill(~context.mask[:, None], -torch.inf)  # padding has no weight
        weights = torch.cat([torch.zeros_like(query[..., :1]), likeness], dim=-1).softmax(dim=-1)
        blended = torch.einsum("bqn,bnchw->bqchw", weights[..., 1:], images)
        return weights[..., 0, None, None, None] * generated + blended
