"""Attention over sets with padding: multi-head attention, pre-norm blocks, and context views as tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

POSITION_WIDTH = 2


class Tokens(NamedTuple):
    """A set of vectors per scene."""

    values: Tensor  # [B, T, C]; T may be 0
    mask: Tensor  # [B, T] bool: False is padding


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Returns softmax(queries keys' / sqrt(D)) values over the keys that ``mask`` keeps, [..., M, E]; zeros without keys.

    Queries are [..., M, D], keys [..., T, D] with T of 0 or more, values [..., T, E]; the mask broadcasts to [..., M, T].
    """
    if keys.shape[-2] == 0:
        # A product over an empty axis: zeros, with all inputs in the graph.
        return queries @ keys.transpose(-1, -2) @ values
    queries, values = queries.to(keys.dtype), values.to(keys.dtype)
    any_key = mask.any(-1, keepdim=True)
    # A softmax over no key is NaN, and so is its gradient: such a row attends to all keys and is then set to zero.
    found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask | ~any_key)
    return torch.where(any_key, found, torch.zeros_like(found))


class MultiHeadAttention(nn.Module):
    """Multi-head scaled dot-product attention between two sets (Vaswani et al. 2017).

    Raises:
        ValueError: if the heads do not divide the channels.
    """

    def __init__(self, *, token_channels: int, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"heads {heads}: must divide the {channels} channels of attention")
        self.heads = heads
        self.to_query = nn.Linear(channels, channels)
        # A bias of the keys adds a constant to all scores of a query, which the softmax cancels.
        self.to_key = nn.Linear(token_channels, channels, bias=False)
        self.to_value = nn.Linear(token_channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, queries: Tensor, tokens: Tokens) -> Tensor:
        """Attends from queries [B, M, channels] to the tokens of their scene; returns [B, M, channels]."""
        projections = (self.to_query(queries), self.to_key(tokens.values), self.to_value(tokens.values))
        query, key, value = (rearrange(part, "b t (h d) -> b h t d", h=self.heads) for part in projections)
        return self.out(rearrange(attend(query, key, value, tokens.mask[:, None, None]), "b h t d -> b t (h d)"))


def feed_forward(channels: int, *, hidden: int) -> nn.Sequential:
    """Returns the pre-norm two-layer network of a transformer block."""
    return nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


class SelfAttentionBlock(nn.Module):
    """Pre-norm transformer block over a set: x + attention(norm x), then + feed-forward."""

    def __init__(self, *, channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = MultiHeadAttention(token_channels=channels, channels=channels, heads=heads)
        self.feed_forward = feed_forward(channels, hidden=hidden)

    def forward(self, tokens: Tokens) -> Tokens:
        """Attends among the tokens of a scene, padding excluded."""
        normed = self.norm(tokens.values)
        values = tokens.values + self.attention(normed, tokens._replace(values=normed))
        return tokens._replace(values=values + self.feed_forward(values))


class CrossAttentionBlock(nn.Module):
    """Pre-norm cross-attention block: x + attention(norm x, norm tokens), then + feed-forward."""

    def __init__(self, *, channels: int, token_channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.token_norm = nn.LayerNorm(token_channels)
        self.attention = MultiHeadAttention(token_channels=token_channels, channels=channels, heads=heads)
        self.feed_forward = feed_forward(channels, hidden=hidden)

    def forward(self, queries: Tensor, tokens: Tokens) -> Tensor:
        """Attends from queries [B, M, channels] to the tokens of their scene."""
        found = self.attention(self.norm(queries), tokens._replace(values=self.token_norm(tokens.values)))
        queries = queries + found
        return queries + self.feed_forward(queries)


class NullToken(nn.Module):
    """Adds one learned token to every scene's set, so that attention is defined without views and may ignore all of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.randn(channels) / channels**0.5)

    def forward(self, tokens: Tokens) -> Tokens:
        """Maps [B, T, C] to [B, 1 + T, C]."""
        batch = len(tokens.values)
        nothing = repeat(self.nothing.to(tokens.values.dtype), "c -> b 1 c", b=batch)
        return Tokens(
            values=torch.cat([nothing, tokens.values], dim=1),
            mask=torch.cat([tokens.mask.new_ones(batch, 1), tokens.mask], dim=1),
        )


def positions(height: int, width: int, *, like: Tensor) -> Tensor:
    """Returns the centres of a map's cells, [2, height, width]: x rightwards, y downwards, -1 to 1 across the image."""
    x, y = (((torch.arange(size, dtype=torch.float64) + 0.5) * (2.0 / size) - 1.0).to(like) for size in (width, height))
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


def view_tokens(per_view: Tensor, mask: Tensor) -> Tokens:
    """Flattens the maps of all views of a scene, [B, N, C, h, w], to one set of N * h * w tokens."""
    height, width = per_view.shape[-2:]
    return Tokens(
        values=rearrange(per_view, "b n c h w -> b (n h w) c"), mask=repeat(mask, "b n -> b (n t)", t=height * width)
    )


def with_pose_and_position(per_view: Tensor, poses: Tensor) -> Tensor:
    """Concatenates maps [B, N, C, h, w], the views' poses [B, N, P] and the cells' positions: [B, N, C + P + 2, h, w]."""
    batch, number, _, height, width = per_view.shape
    pose = repeat(poses.to(per_view.dtype), "b n p -> b n p h w", h=height, w=width)
    position = positions(height, width, like=per_view).expand(batch, number, -1, -1, -1)
    return torch.cat([per_view, pose, position], dim=2)
