"""The core of conditional neural processes."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Depth, Octaves, Settings, Size
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, DeterministicCore, Encode
from zoo.nn.attention import attend
from zoo.nn.blocks import ImageWriter, mlp
from zoo.nn.geometry import wave_features, wave_width


class ConditionalNeuralProcess(DeterministicCore):
    """Conditional neural process (Garnelo et al. 2018, "Conditional neural processes"), no latents:

        p(y^1..Q | x^1..Q, C) = prod_q p(y^q | d(x^q, C), x^q).

    d is the mean of the context's features or, with ``aggregation: attention``, cross-attention from the query. The
    objective is the predictive log-likelihood. Targets are independent given the context, so samples at neighbouring
    queries are not consistent. Feature maps of images are averaged over space.
    """

    class Config(Settings):
        """Sizes; defaults follow the public code of Lee et al. 2020."""

        aggregation: Literal["mean", "attention"] = Field(
            default="mean", description="of the context: mean over its points, or attention from the query"
        )
        hidden_channels: Size = Field(default=128, description="width of all hidden layers and of d")
        decoder_layers: Depth = Field(default=3, description="hidden layers of the decoder")
        heads: Size = Field(default=8, description="of the attention; must divide hidden_channels")
        octaves: Octaves = Field(
            default=0,
            description="Fourier features (Tancik et al. 2020): sines and cosines of 2^k x, k = -2, -1, ...; 0: x alone",
        )

    required_features = frozenset({"per_view"})
    query_kinds = frozenset({"poses", "inputs"})
    target_kinds = frozenset({"images", "values"})

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.deterministic = deterministic_path(config, shapes=shapes)
        self.decoder = PointDecoder(config, shapes=shapes, condition=config.hidden_channels)

    def decode(self, context: Views, query: Tensor, encode: Encode) -> Tensor:
        return self.decoder(self.deterministic(encode_mean(context, encode), query), query)


def encode_mean(views: Views, encode: Encode) -> Views:
    """Replaces the values of views by their encoding averaged over space, [B, N, C]."""
    representation = encode(views)
    return views._replace(values=representation.per_view.mean(dim=(-2, -1)), mask=representation.mask)


def masked_mean(features: Tensor, mask: Tensor) -> Tensor:
    """Averages [B, N, C] over the points that ``mask`` [B, N] keeps, [B, C]; zeros without points."""
    kept = mask.to(features.dtype)
    return torch.einsum("bnc,bn->bc", features, kept) / kept.sum(1, keepdim=True).clamp(min=1.0)


class MeanPath(nn.Module):
    """Deterministic path with mean aggregation: mean_i a(r_i), the same for every query."""

    def __init__(self, config: ConditionalNeuralProcess.Config, *, shapes: CoreShapes) -> None:
        super().__init__()
        self.each = mlp(shapes.representation.channels, config.hidden_channels, config.hidden_channels)

    def forward(self, encoded: Views, query: Tensor) -> Tensor:
        """Maps r_i [B, N, C] to [B, Q, hidden] for queries [B, Q, P]."""
        return masked_mean(self.each(encoded.values), encoded.mask)[:, None].expand(-1, query.shape[1], -1)


class AttentionPath(nn.Module):
    """Deterministic path with multi-head attention from query x: queries k(x), keys k(x_i), values a(r_i).

    Kim et al. 2019, section 3: k is one multilayer perceptron for queries and keys. Without points the values are zeros.

    Raises:
        ValueError: if the heads do not divide the hidden width.
    """

    def __init__(self, config: ConditionalNeuralProcess.Config, *, shapes: CoreShapes) -> None:
        super().__init__()
        hidden, self.heads = config.hidden_channels, config.heads
        if hidden % self.heads:
            raise ValueError(f"hidden_channels {hidden}: cannot be shared by {self.heads} heads")
        self.octaves = config.octaves
        self.place = mlp(wave_width(shapes.pose_width, octaves=config.octaves), hidden, hidden)
        self.each = mlp(shapes.representation.channels, hidden, hidden)
        self.merge = nn.Linear(hidden, hidden)

    def forward(self, encoded: Views, query: Tensor) -> Tensor:
        """Maps r_i [B, N, C] at x_i [B, N, P] to [B, Q, hidden] for queries [B, Q, P]."""
        features = encoded.values
        inputs, places = (
            wave_features(part.to(features.dtype), octaves=self.octaves) for part in (encoded.poses, query)
        )
        keys, queries, values = (
            rearrange(part, "b n (h c) -> b h n c", h=self.heads)
            for part in (self.place(inputs), self.place(places), self.each(features))
        )
        found = attend(queries, keys, values, encoded.mask[:, None, None])
        return self.merge(rearrange(found, "b h q c -> b q (h c)"))


def deterministic_path(config: ConditionalNeuralProcess.Config, *, shapes: CoreShapes) -> MeanPath | AttentionPath:
    """Returns the path d(x, C) that a configuration asks for."""
    return (MeanPath if config.aggregation == "mean" else AttentionPath)(config, shapes=shapes)


class PointDecoder(nn.Module):
    """Decoder from (condition, query) to the likelihood's parameters: an MLP, followed by an image decoder for images."""

    def __init__(self, config: ConditionalNeuralProcess.Config, *, shapes: CoreShapes, condition: int) -> None:
        super().__init__()
        _, height, width = shapes.target
        hidden, channels_out = config.hidden_channels, shapes.prediction_channels
        self.octaves = config.octaves
        widths = [condition + wave_width(shapes.query_width, octaves=config.octaves), *[hidden] * config.decoder_layers]
        self.output: nn.Module
        if height == width == 1:
            self.body = mlp(*widths, channels_out)
            self.output = nn.Unflatten(-1, (channels_out, 1, 1))
        else:
            self.body = nn.Sequential(mlp(*widths), nn.ReLU())
            self.output = ImageWriter(
                width_in=hidden,
                image_size=height,
                channels=max(1, hidden // 4),
                channels_out=channels_out,
                initial_prediction=shapes.initial_prediction,
            )

    def forward(self, condition: Tensor, query: Tensor) -> Tensor:
        """Maps conditions [..., condition] and queries [..., P] to [..., channels_out, H, W]."""
        features = wave_features(query.to(condition.dtype), octaves=self.octaves)
        joined = torch.cat([condition, features], dim=-1)
        return self.output(self.body(joined).flatten(0, -2)).unflatten(0, joined.shape[:-1])
