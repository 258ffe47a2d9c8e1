"""A transformer core: tokens of the target view attend to the tokens of the scene, with groups of latents."""

from __future__ import annotations

from typing import cast

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Depth, Octaves, Settings, Size
from zoo.model.interfaces import CoreShapes
from zoo.model.query_latents import QueryLatentCore, RolloutInputs
from zoo.nn.attention import CrossAttentionBlock, NullToken, SelfAttentionBlock, Tokens, view_tokens
from zoo.nn.blocks import divide_size, image_inputs, initialise, set_bias
from zoo.nn.gaussian import Rollout, draw_group, given_groups, stacked
from zoo.nn.geometry import ray_features, ray_width


class Transformer(QueryLatentCore):
    """Transformer core with latents, the decoder of SRT (Sajjadi et al. 2022) under GQN's ELBO, latents of a query:

        p(x^q | v^q, S) = int prod_l p(z_l | z_<l, v^q, S) N(x^q; g(u_L), sigma^2) dz,  q(z_l | z_<l, x^q, v^q, S).

    The target image is a set of patches with one token u_k each, initialised from the patch's rays. In layer l the tokens
    attend to the scene's tokens S and to each other; they give the prior N(eta_pi(u)) of one latent vector per token and,
    with the target's patches, the posterior N(eta_q(u + e(x^q))); z_l is added to the tokens. After a last self-attention
    the tokens are decoded to patches. u depends on the target through z_<l only.
    """

    class Config(Settings):
        steps: Depth = Field(default=4, description="L, layers, each with a group of latents")
        channels: Size = Field(default=256, ge=8, description="width of a token")
        z_channels: Size = Field(default=8, description="latents of a group per token")
        patch_size: Size = Field(default=8, description="pixels of a patch of the target in both directions")
        heads: Size = Field(default=4, description="of attention; must divide channels")
        hidden_channels: Size = Field(default=512, description="of the feed-forward networks")
        pixel_channels: Size = Field(default=32, description="channels of the pixels before the last convolution")
        octaves: Octaves = Field(default=8, description="frequencies of the encoding of rays")
        field_of_view: float = Field(default=50.0, gt=0, lt=180, description="of the cameras, degrees across the image")

    required_features = frozenset({"per_view"})

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
        initialise(self.read_target, image_inputs(channels_in))
        self.layers = nn.ModuleList(TransformerLayer(config, token_channels=tokens) for _ in range(config.steps))
        self.last = _block(config)
        self.to_pixels = nn.Sequential(
            nn.LayerNorm(config.channels), nn.Linear(config.channels, config.pixel_channels * size**2), nn.GELU()
        )
        self.to_prediction = nn.Conv2d(config.pixel_channels, shapes.prediction_channels, 3, padding=1)
        set_bias(self.to_prediction, shapes.initial_prediction, gain=0.25)

    def rollout(self, inputs: RolloutInputs) -> Rollout:
        """Runs the L layers; latents, priors and posteriors are [L, n, T, z] for the T patches of the image."""
        scene, query, target, source = inputs.scene, inputs.query, inputs.target, inputs.source
        batch, count = len(scene.mask), len(query)
        height, width = self.grid
        scene_tokens = self.null_token(view_tokens(scene.per_view, scene.mask))
        rays = ray_features(
            query,
            height=height,
            width=width,
            field_of_view=self.config.field_of_view,
            octaves=self.config.octaves,
        )
        tokens = self.from_rays(rearrange(rays, "n c h w -> n (h w) c"))
        of_target = None if target is None else rearrange(self.read_target(target), "n c h w -> n (h w) c")
        given = given_groups(
            source, inputs.keys, groups=self.config.steps, shape=(height * width, self.config.z_channels)
        )
        latents: list[Tensor] = []
        priors: list[Tensor] = []
        posteriors: list[Tensor] = []
        for index, module in enumerate(self.layers):
            layer = cast("TransformerLayer", module)
            # The queries of a scene share its tokens, so they are concatenated.
            grouped = rearrange(tokens, "(b q) t c -> b (q t) c", b=batch)
            tokens = rearrange(layer.look(grouped, scene_tokens), "b (q t) c -> (b q) t c", q=count // batch)
            tokens = layer.think(_without_padding(tokens)).values
            priors.append(layer.eta_pi(tokens))
            if of_target is not None:
                posteriors.append(layer.eta_q(layer.compare(_without_padding(tokens + of_target)).values))
            if source == "prior":
                z = draw_group(given[index], priors[-1], dim=-1, temperature=inputs.temperature)
            else:
                z = draw_group(given[index], posteriors[-1] if source == "posterior" else None, dim=-1)
            latents.append(z)
            tokens = tokens + layer.join(z.to(tokens.dtype))
        pixels = self.to_pixels(self.last(_without_padding(tokens)).values)
        size = self.config.patch_size
        pixels = rearrange(pixels, "n (h w) (c a b) -> n c (h a) (w b)", h=height, w=width, a=size, b=size)
        return Rollout(
            prediction=self.to_prediction(pixels),
            latents=torch.stack(latents),
            priors=stacked(priors, dim=2),
            posteriors=stacked(posteriors, dim=2) if posteriors else None,
        )


class TransformerLayer(nn.Module):
    """Cross-attention to the scene, self-attention, and a group of latents."""

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
        # Tokens have norm 1 per channel; default weights would set prior and posterior far apart.
        head.weight.mul_(0.1)
        head.bias.mul_(0.1)
    return nn.Sequential(nn.LayerNorm(config.channels), head)


def _without_padding(values: Tensor) -> Tokens:
    """Returns [n, T, C] as sets without padding."""
    return Tokens(values=values, mask=torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
