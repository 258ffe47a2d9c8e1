"""Encoder paths and the decoder of neural processes: from the features of a set of points to predictions."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.nn.attention import attend
from zoo.nn.blocks import ImageWriter, mlp
from zoo.nn.gaussian import DiagonalGaussian, at_least_float32

Aggregation = Literal["mean", "attention"]


def masked_mean(features: Tensor, mask: Tensor) -> Tensor:
    """Averages [B, N, C] over the points that ``mask`` [B, N] keeps, [B, C]; zeros without points."""
    kept = mask.to(features.dtype)
    return torch.einsum("bnc,bn->bc", features, kept) / kept.sum(1, keepdim=True).clamp(min=1.0)


class LatentPath(nn.Module):
    """q(z | set) = N(mu(s), (0.1 + 0.9 sigmoid(omega(s)))^2) with s = mean_i a(r_i), whatever set is given.

    The bounded scale is that of Kim et al. 2019 ("Attentive neural processes", ICLR, and its public code): neither does
    it collapse nor does the divergence of two such distributions run away.
    """

    def __init__(self, *, channels: int, hidden: int, z_channels: int) -> None:
        super().__init__()
        self.each = mlp(channels, hidden, hidden)
        self.whole = mlp(hidden, hidden, 2 * z_channels)

    def forward(self, features: Tensor, mask: Tensor) -> DiagonalGaussian:
        """Maps r_i [B, N, C] with their mask [B, N] to a distribution over [B, z_channels]."""
        mean, omega = at_least_float32(self.whole(masked_mean(self.each(features), mask))).chunk(2, dim=-1)
        return DiagonalGaussian(mean=mean, log_scale=torch.log(0.1 + 0.9 * torch.sigmoid(omega)))


class MeanPath(nn.Module):
    """Deterministic path with mean aggregation: mean_i a(r_i), the same for every query."""

    def __init__(self, *, channels: int, hidden: int) -> None:
        super().__init__()
        self.each = mlp(channels, hidden, hidden)

    def forward(self, features: Tensor, inputs: Tensor, mask: Tensor, query: Tensor) -> Tensor:
        """Maps r_i [B, N, C] at [B, N, P] with their mask [B, N] to [B, Q, hidden] for queries [B, Q, P]."""
        return masked_mean(self.each(features), mask)[:, None].expand(-1, query.shape[1], -1)


class AttentionPath(nn.Module):
    """Deterministic path with multi-head attention from query x: queries k(x), keys k(x_i), values a(r_i).

    Kim et al. 2019, section 3: k is one multilayer perceptron for queries and keys. Without points the values are zeros.

    Raises:
        ValueError: if the heads do not divide the hidden width.
    """

    def __init__(self, *, channels: int, input_width: int, hidden: int, heads: int) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden_channels {hidden}: cannot be shared by {heads} heads")
        self.heads = heads
        self.place = mlp(input_width, hidden, hidden)
        self.each = mlp(channels, hidden, hidden)
        self.merge = nn.Linear(hidden, hidden)

    def forward(self, features: Tensor, inputs: Tensor, mask: Tensor, query: Tensor) -> Tensor:
        """Maps r_i [B, N, C] at [B, N, P] with their mask [B, N] to [B, Q, hidden] for queries [B, Q, P]."""
        keys, queries, values = (
            rearrange(part, "b n (h c) -> b h n c", h=self.heads)
            for part in (self.place(inputs), self.place(query), self.each(features))
        )
        return self.merge(rearrange(attend(queries, keys, values, mask[:, None, None]), "b h q c -> b q (h c)"))


def deterministic_path(
    aggregation: Aggregation, *, channels: int, input_width: int, hidden: int, heads: int
) -> MeanPath | AttentionPath:
    """Returns the deterministic path from features of ``channels`` at inputs of width ``input_width`` to ``hidden``."""
    if aggregation == "mean":
        return MeanPath(channels=channels, hidden=hidden)
    return AttentionPath(channels=channels, input_width=input_width, hidden=hidden, heads=heads)


class PointDecoder(nn.Module):
    """Decoder from (condition, query) to the likelihood's parameters: an MLP, followed by an image decoder for images.

    Args:
        condition: width of the condition.
        query: width of a query.
        hidden: width of the hidden layers.
        layers: linear layers before the last one.
        target: [C, H, W] of one target.
        channels_out: parameters of the likelihood per pixel.
    """

    def __init__(
        self, *, condition: int, query: int, hidden: int, layers: int, target: tuple[int, int, int], channels_out: int
    ) -> None:
        super().__init__()
        _, height, width = target
        hiddens = [hidden] * layers
        self.output: nn.Module
        if height == width == 1:
            self.body = mlp(condition + query, *hiddens, channels_out)
            self.output = nn.Unflatten(-1, (channels_out, 1, 1))
        else:
            self.body = nn.Sequential(mlp(condition + query, *hiddens), nn.ReLU())
            self.output = ImageWriter(
                width_in=hidden, image_size=height, channels=max(1, hidden // 4), channels_out=channels_out
            )

    def forward(self, condition: Tensor, query: Tensor) -> Tensor:
        """Maps conditions [..., condition] and queries [..., P] to [..., channels_out, H, W]."""
        joined = torch.cat([condition, query.to(condition.dtype)], dim=-1)
        return self.output(self.body(joined).flatten(0, -2)).unflatten(0, joined.shape[:-1])
