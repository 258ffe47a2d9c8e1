"""The core of reversed GQN with attention to patches of the context."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.blocks import ImageReader, match_size, mlp

SHARPNESS = 10.0  # initial weight of a cosine in the first softmax


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
        self.match = PoseCrossAttention(config, shapes=shapes)
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


class PoseCrossAttention(nn.Module):
    """Recurrent attention from an image to patches of the context (Rosenbaum et al. 2018).

        f = image(x^q) + mean_p g(token_p, sum_i softmax_i(sharpness cos(key_i, key_p)) value_i)
        h_0 = tanh f;   a_l = softmax(key_i . question(h_l));   h_{l+1} = GRU((sum_i a_l,i value_i, f), h_l)

    for l = 0 .. L-1. A token i is a patch of a context view's map with the view's pose and the patch's position. A learned
    token makes attention without context well defined. The order of the views does not matter.

    Two parts are not in the paper and speed up learning: the image's own tokens p are made by the context's encoder at
    pose 0, so that similar patches match before training, and f is an input of every step and part of the result.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    def __init__(self, config: ReversedAttention.Config, *, shapes: CoreShapes) -> None:
        super().__init__()
        width, heads, scene_channels = config.width, config.heads, shapes.representation.channels
        image_channels, image_size, _ = shapes.query
        if width % heads:
            raise ValueError(f"width {width}: {heads} heads do not divide it")
        self.steps, self.heads, self.patches = config.steps, heads, config.patches
        self.image = ImageReader(
            channels_in=image_channels, image_size=image_size, channels=config.channels, width_out=width
        )
        self.token = nn.Sequential(*mlp(scene_channels + shapes.pose_width + 2, width, width), nn.ReLU())
        self.nothing = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.keys = nn.Linear(width, width, bias=False)  # a bias cancels in the softmax
        self.values = nn.Linear(width, width)
        self.likeness = nn.Linear(scene_channels, width, bias=False)
        self.nothing_like_it = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(SHARPNESS)))
        self.resembling = mlp(2 * width, width, width)
        self.question = nn.Linear(width, width)
        self.cell = nn.GRUCell(2 * width, width)

    def forward(self, images: Tensor, own: Tensor, per_view: Tensor, *, poses: Tensor, mask: Tensor) -> Tensor:
        """Maps images [B, Q, C, H, W] to vectors [B, Q, 2 * width], the last state and f.

        ``own`` are their maps by the context's encoder, [B, Q, C', h, w]; ``per_view`` those of the context views,
        [B, N, C', h, w], with poses [B, N, P] and mask [B, N].
        """
        batch, queries = images.shape[:2]
        maps, own = self._small(per_view), self._small(own)
        tokens = self._tokens(maps, poses).flatten(1, 2)
        tokens = torch.cat([self.nothing.to(tokens.dtype).expand(batch, 1, -1), tokens], dim=1)
        kept = F.pad(mask.repeat_interleave(math.prod(maps.shape[-2:]), dim=1), (1, 0), value=True)
        keys, values = (self._by_head(layer(tokens)) for layer in (self.keys, self.values))
        similar = self._similar(_flat(own), _flat(maps), values=values, kept=kept)
        own_tokens = self._tokens(own, poses.new_zeros(batch, queries, poses.shape[-1]))
        matched = self.resembling(torch.cat([own_tokens, similar], dim=-1)).mean(2)
        seen = F.silu(self.image(images.flatten(0, 1)) + matched.flatten(0, 1))
        state = torch.tanh(seen)
        for _ in range(self.steps):
            question = self._by_head(self.question(state).unflatten(0, (batch, queries)))
            read = F.scaled_dot_product_attention(question, keys, values, attn_mask=kept[:, None, None])
            state = self.cell(torch.cat([self._joined(read).flatten(0, 1), seen], dim=1), state)
        return torch.cat([state, seen], dim=1).unflatten(0, (batch, queries))

    def _similar(self, own: Tensor, maps: Tensor, *, values: Tensor, kept: Tensor) -> Tensor:
        """Returns the values of the context's patches that are similar to the image's, [B, Q, patches, width].

        Similarity is the cosine of the encoder's features; only the values contain the poses.
        """
        batch, queries, number, _ = own.shape
        looks = self.likeness(maps.flatten(1, 2))
        nothing = self.nothing_like_it.to(looks.dtype).expand(batch, 1, -1)
        looks = self._by_head(torch.cat([nothing, looks], dim=1))
        asked = self._by_head(self.likeness(own.flatten(1, 2)))
        sharpness = self.log_sharpness.exp() * math.sqrt(looks.shape[-1])  # attention divides by the root
        asked, looks = sharpness * F.normalize(asked, dim=-1), F.normalize(looks, dim=-1)
        read = F.scaled_dot_product_attention(asked, looks, values, attn_mask=kept[:, None, None])
        return self._joined(read).unflatten(1, (queries, number))

    def _by_head(self, vectors: Tensor) -> Tensor:
        """Turns [B, T, width] into [B, heads, T, width / heads]."""
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    @staticmethod
    def _joined(read: Tensor) -> Tensor:
        """Turns [B, heads, T, width / heads] into [B, T, width]."""
        return read.transpose(1, 2).flatten(2)

    def _small(self, maps: Tensor) -> Tensor:
        """Reduces maps [B, N, C', h, w] to at most ``patches`` in each direction."""
        height, width = (min(self.patches, size) for size in maps.shape[-2:])
        return match_size(maps.flatten(0, 1), height=height, width=width).unflatten(0, maps.shape[:2])

    def _tokens(self, maps: Tensor, poses: Tensor) -> Tensor:
        """Returns tokens [B, N, h * w, width] of maps [B, N, C', h, w] at poses [B, N, P]."""
        height, width = maps.shape[-2:]
        axes = (torch.linspace(-1.0, 1.0, size, dtype=maps.dtype, device=maps.device) for size in (height, width))
        places = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(*maps.shape[:2], -1, -1, -1)
        pose = poses[..., None, None].expand(-1, -1, -1, height, width).to(maps.dtype)
        return self.token(_flat(torch.cat([maps, pose, places], dim=2)))


def _flat(maps: Tensor) -> Tensor:
    """Turns maps [B, N, C, h, w] into patches [B, N, h * w, C]."""
    return maps.flatten(3).transpose(2, 3)
