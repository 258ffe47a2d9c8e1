"""A latent core of transformers: tokens of the queried view read the scene's tokens, and latents join them in groups."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Depth, Settings, Size
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore, Representation
from zoo.model.query_latents import sample_queries, score_queries
from zoo.nn.attention import CrossAttentionBlock, NullToken, SelfAttentionBlock, Tokens, view_tokens
from zoo.nn.blocks import divide_size
from zoo.nn.geometry import ray_features, ray_width
from zoo.nn.latent_groups import Rollout, Source, draw_group, given_groups, stacked


class Transformer(LatentCore):
    """p(x^q | v^q, S) = int prod_l p(z_l | z_<l, v^q, S) N(x^q; g(u_L), sigma^2) dz, q(z_l | z_<l, x^q, v^q, S).

    The decoder of the Scene Representation Transformer (Sajjadi et al. 2022), which is deterministic, under GQN's ELBO:
    the queried image is a set of patches, one token u_k each, which starts from the patch's rays. In every layer l the
    tokens read the scene's set of tokens S and each other; then a prior N(eta_pi(u)) of the layer's latents, one vector a
    token, is read off; the posterior N(eta_q(u + e(x^q))) sees the target's patches too; and z_l joins the tokens. After
    L layers and one more look at each other the tokens are written as patches of the image. u knows the target through
    z_<l only, so that the prior of training is the prior of generation. The latents belong to a query.
    """

    class Config(Settings):
        """Sizes of the tokens and of the layers."""

        steps: Depth = Field(default=4, ge=1, description="L, layers, each with a group of latents")
        channels: Size = Field(default=256, ge=8, description="width of a token")
        z_channels: Size = Field(default=8, ge=1, description="latents of a group in every token")
        patch_size: Size = Field(
            default=8, ge=1, description="pixels of a patch of the queried image in both directions"
        )
        heads: Size = Field(default=4, ge=1, description="of attention; must divide the channels")
        hidden_channels: Size = Field(default=512, ge=1, description="of the feed-forward networks")
        pixel_channels: Size = Field(default=32, ge=1, description="channels of the pixels before the last convolution")
        octaves: Depth = Field(default=8, ge=1, description="frequencies in which a patch's ray is described")
        field_of_view: float = Field(default=50.0, gt=0, lt=180, description="of the cameras, degrees across the image")

    required_features = frozenset({"per_view"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        size, (channels_in, height, width) = config.patch_size, shapes.target
        self.config = config
        self.grid = divide_size((height, width), size, name="patch_size")
        tokens = shapes.representation.channels
        self.null_token = NullToken(tokens)
        self.from_rays = nn.Sequential(
            nn.Linear(ray_width(config.octaves), config.channels),
            nn.GELU(),
            nn.Linear(config.channels, config.channels),
        )
        self.read_target = nn.Conv2d(channels_in, config.channels, size, stride=size)
        self.layers = nn.ModuleList(TransformerLayer(config, token_channels=tokens) for _ in range(config.steps))
        self.last = _block(config)
        self.to_pixels = nn.Sequential(
            nn.LayerNorm(config.channels), nn.Linear(config.channels, config.pixel_channels * size**2), nn.GELU()
        )
        self.to_prediction = nn.Conv2d(config.pixel_channels, shapes.prediction_channels, 3, padding=1)

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        return score_queries(partial(self.rollout, encode(episode.context), schedule=schedule), episode)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        rollout = partial(self.rollout, encode(context), schedule=schedule)
        return sample_queries(rollout, query, key, num_samples=num_samples)

    def rollout(
        self,
        scene: Representation,
        query: Tensor,
        keys: Tensor,
        *,
        target: Tensor | None,
        source: Source,
        schedule: ScheduleValues,
    ) -> Rollout:
        """Runs the L layers for encoded scenes; see :class:`zoo.model.query_latents.QueryRollout`.

        Latents, priors and posteriors are [L, n, T, z] for the T patches of the image.
        """
        batch, count = len(scene.mask), len(query)
        height, width = self.grid
        known = self.null_token(view_tokens(scene.per_view, scene.mask))
        rays = ray_features(
            query,
            height=height,
            width=width,
            field_of_view=self.config.field_of_view,
            octaves=self.config.octaves,
        )
        tokens = self.from_rays(rearrange(rays, "n c h w -> n (h w) c"))
        seen = None if target is None else rearrange(self.read_target(target), "n c h w -> n (h w) c")
        given = given_groups(source, keys, groups=self.config.steps, shape=(height * width, self.config.z_channels))
        latents: list[Tensor] = []
        priors: list[Tensor] = []
        posteriors: list[Tensor] = []
        for index, module in enumerate(self.layers):
            layer = cast("TransformerLayer", module)
            # Queries of a scene look at one set of tokens: beside each other they are one long list of queries.
            asked = rearrange(tokens, "(b q) t c -> b (q t) c", b=batch)
            tokens = rearrange(layer.look(asked, known), "b (q t) c -> (b q) t c", q=count // batch)
            tokens = layer.think(_whole(tokens)).values
            priors.append(layer.eta_pi(tokens))
            if seen is not None:
                posteriors.append(layer.eta_q(layer.compare(_whole(tokens + seen)).values))
            if source == "prior":
                z = draw_group(given[index], priors[-1], dim=-1, temperature=schedule.temperature)
            else:
                z = draw_group(given[index], posteriors[-1] if source == "posterior" else None, dim=-1)
            latents.append(z)
            tokens = tokens + layer.join(z.to(tokens.dtype))
        pixels = self.to_pixels(self.last(_whole(tokens)).values)
        size = self.config.patch_size
        pixels = rearrange(pixels, "n (h w) (c a b) -> n c (h a) (w b)", h=height, w=width, a=size, b=size)
        return Rollout(
            prediction=self.to_prediction(pixels),
            latents=torch.stack(latents),
            priors=stacked(priors, dim=2),
            posteriors=stacked(posteriors, dim=2) if posteriors else None,
        )


class TransformerLayer(nn.Module):
    """One look at the scene, one at each other, and a group of latents."""

    def __init__(self, config: Transformer.Config, *, token_channels: int) -> None:
        super().__init__()
        self.look = CrossAttentionBlock(
            channels=config.channels, token_channels=token_channels, heads=config.heads, hidden=config.hidden_channels
        )
        self.think = _block(config)
        self.eta_pi = _head(config)
        self.compare = _block(config)
        self.eta_q = _head(config)
        self.join = nn.Linear(config.z_channels, config.channels)


def _block(config: Transformer.Config) -> SelfAttentionBlock:
    return SelfAttentionBlock(channels=config.channels, heads=config.heads, hidden=config.hidden_channels)


def _head(config: Transformer.Config) -> nn.Sequential:
    head = nn.Linear(config.channels, 2 * config.z_channels)
    with torch.no_grad():
        # Tokens are of size 1 after their norm: as they come, such heads would set prior and posterior far apart.
        head.weight.mul_(0.1)
        head.bias.mul_(0.1)
    return nn.Sequential(nn.LayerNorm(config.channels), head)


def _whole(what: Tensor) -> Tokens:
    """Takes [n, T, C] as sets without padding."""
    return Tokens(values=what, mask=torch.ones(what.shape[:2], dtype=torch.bool, device=what.device))
