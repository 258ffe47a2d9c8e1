"""The core of reversed GQN with attention to patches of the context."""

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
    """Reversed GQN core with attention (Rosenbaum et al. 2018, section 3.3), no latents:

        p(v^q | x^q, patches) = likelihood(MLP(h_L, f(x^q))).

    In every step the state h_l attends to the patches of all context views with their poses, and the result updates the
    state. One set of weights serves all L steps.
    """

    class Config(Settings):
        steps: Depth = Field(default=10, description="L, attention steps")
        heads: Size = Field(default=1, description="attention heads")
        patches: Size = Field(default=8, description="patches of a view in each direction, at most")
        channels: Size = Field(default=64, description="channels of the image's feature maps at full resolution")
        width: Size = Field(default=512, description="of the state, of keys and values, and of the MLP")

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
        representation = encode(context)
        # Every query image is encoded as a scene of one view, so that no encoder mixes queries.
        images = query.flatten(0, 1)[:, None]
        no_poses = context.poses.new_zeros(len(images), 1, context.poses.shape[-1])
        single_views = Views(values=images, poses=no_poses, mask=torch.ones_like(no_poses[..., 0], dtype=torch.bool))
        own = encode(single_views).per_view[:, 0].unflatten(0, query.shape[:2])
        state = self.match(query, own, representation.per_view, poses=context.poses, mask=representation.mask)
        return self.read_out(state)[..., None, None]
