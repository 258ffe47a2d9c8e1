"""Reversed GQN with attention: it looks up in the context where it has seen something like the image."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.blocks import mlp
from zoo.nn.pose_cross_attention import PoseCrossAttention


class ReversedAttention(DeterministicCore):
    """p(v^q | x^q, patches) = likelihood(MLP(h_L, f(x^q))), h_L after L looks; no latents  (Rosenbaum et al. 2018).

    The paper's attention takes the place of the pooled representation: at every step the state makes a query, and the
    weighted sum of the patches of all context views with their poses updates the state (section 3.3). One set of
    weights serves all steps.
    """

    class Config(Settings):
        """Sizes of the network."""

        steps: Depth = Field(default=10, ge=1, description="L, looks at the context")
        heads: Size = Field(default=1, ge=1, description="places looked at in one step")
        patches: Size = Field(default=8, ge=1, description="patches of a view in each direction, at most")
        channels: Size = Field(default=64, ge=1, description="channels of the image's feature maps at full resolution")
        width: Size = Field(default=512, ge=1, description="of the state, of keys and values, and of the MLP")

    required_features = frozenset({"per_view"})
    query_kinds = frozenset({"images"})
    target_kinds = frozenset({"poses"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        channels, size, _ = shapes.query
        self.match = PoseCrossAttention(
            image_channels=channels,
            image_size=size,
            scene_channels=shapes.representation.channels,
            pose_width=shapes.pose_width,
            channels=config.channels,
            width=config.width,
            steps=config.steps,
            heads=config.heads,
            patches=config.patches,
        )
        self.read_out = mlp(2 * config.width, config.width, shapes.prediction_channels)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns [B, Q, C', 1, 1] for images [B, Q, C, H, W]."""
        found = encode(context)
        # Each image is encoded as a scene of its own: encoders whose views know of each other mix no queries.
        images = query.flatten(0, 1)[:, None]
        nowhere = context.poses.new_zeros(len(images), 1, context.poses.shape[-1])
        alone = Views(values=images, poses=nowhere, mask=torch.ones_like(nowhere[..., 0], dtype=torch.bool))
        own = encode(alone).per_view[:, 0].unflatten(0, query.shape[:2])
        state = self.match(query, own, found.per_view, poses=context.poses, mask=found.mask)
        return self.read_out(state)[..., None, None]
