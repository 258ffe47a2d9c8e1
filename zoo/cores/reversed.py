"""The core of reversed GQN, which predicts cameras."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.blocks import mlp
from zoo.nn.pose_pooling import PosePooling


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
        channels, size, _ = shapes.query
        self.match = PosePooling(
            image_channels=channels,
            image_size=size,
            scene_channels=shapes.representation.channels,
            scene_size=shapes.representation.height,
            channels=config.channels,
            width=config.width,
        )
        self.read_out = mlp(config.width, config.width, shapes.prediction_channels)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        """Returns [B, Q, C', 1, 1] for images [B, Q, C, H, W]."""
        return self.read_out(self.match(query, encode(context).pooled))[..., None, None]
