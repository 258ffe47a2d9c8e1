"""GQN with attention along epipolar lines."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from einops import rearrange, repeat
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Size
from zoo.cores.gqn import Attend, AttendingGqn
from zoo.model.interfaces import CoreShapes, Representation
from zoo.nn.attention import POSITION_WIDTH, positions, with_pose_and_position
from zoo.nn.blocks import broadcast_conv
from zoo.nn.geometry import epipolar_samples

REACH_WIDTH = 4  # cosines that encode the distance along a ray


class GqnEpipolar(AttendingGqn):
    """E-GQN core, epipolar cross-attention (Tobin et al. 2019), latents of a query:

        p(x^q | v^q, M) = int prod_l pi(z_l | z_<l, v^q, M) N(x^q; eta_g(u_L), sigma^2) dz.

    M are the feature maps of all context views. The ray of a position of the query image projects to an epipolar line in
    every context view. In step l every position of h^g_l attends to samples along its lines: n comparisons, where
    attention to the whole map needs n^2. The map of results r_l replaces the sum r of GQN in the inference cell and in
    the generator cell of the step. The rest is GQN. h^g_l depends on the target through z_<l only, hence so does r_l.

    Keys and values are features with pose, position in the image and distance along the ray, so that samples of the same
    point in several views can match. A learned null token serves rays that no view contains.
    """

    class Config(AttendingGqn.Config):
        samples: Size = Field(default=16, description="samples per epipolar line")
        views: Literal["joint", "sum"] = Field(
            default="joint", description="one softmax over the lines in all views, or the sum of one per view"
        )

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        channels, height, width = shapes.representation
        if height == 1 or width == 1:
            raise ValueError(
                f"a representation of {height}x{width} cells per view has no epipolar lines; use an encoder with larger maps"
            )
        self.config = config
        self.widths = (config.heads * config.key_channels, config.value_channels)
        # Keys and values are linear in the features, so they are computed before sampling.
        self.from_features = nn.Conv2d(channels + shapes.pose_width + POSITION_WIDTH, sum(self.widths), 1)
        self.from_reach = nn.Linear(REACH_WIDTH, sum(self.widths), bias=False)
        self.nothing = nn.Parameter(torch.randn(sum(self.widths)) / sum(self.widths) ** 0.5)
        query_inputs = config.hidden_channels + shapes.query_width + POSITION_WIDTH
        self.ask = nn.Conv2d(query_inputs, config.hidden_channels, config.kernel_size, padding="same")
        self.to_query = nn.Conv2d(config.hidden_channels, config.heads * config.key_channels, 1)

    def lines(self, scene: Representation, poses: Tensor, query: Tensor) -> EpipolarTokens:
        """Samples keys and values along all epipolar lines, once for all steps."""
        config, (batch, number) = self.config, scene.mask.shape
        _, height, width = self.recurrence.state_shape
        samples = epipolar_samples(
            rearrange(query, "(b q) p -> b q p", b=batch),
            poses,
            height=height,
            width=width,
            num_samples=config.samples,
            field_of_view=config.field_of_view,
        )
        maps = self.from_features(with_pose_and_position(scene.per_view, poses).flatten(0, 1))
        places = rearrange(samples.places, "b q n h w s two -> (b n) (q h w) s two").to(maps.dtype)
        if number:
            maps = F.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=False)
        else:
            # Keeps the weights in the graph.
            maps = maps.sum(dim=(2, 3), keepdim=True).expand(-1, -1, *places.shape[1:3])
        found = rearrange(maps, "(b n) c (q h w) s -> (b q) (h w) n s c", b=batch, n=number, h=height, w=width)
        # Frequency 0 is the bias of the convolution of features.
        waves = torch.arange(1, REACH_WIDTH + 1).to(samples.reach) * torch.pi
        reach = torch.cos(waves * samples.reach[..., None])
        of_reach = self.from_reach(rearrange(reach, "b q n h w s k -> (b q) (h w) n s k").to(found.dtype))
        visible = rearrange(samples.visible & scene.mask[:, None, :, None, None], "b q n h w -> (b q) (h w) n")
        present = repeat(scene.mask, "b n -> (b q) 1 n", q=len(query) // batch)
        return EpipolarTokens(
            values=found + of_reach, mask=visible[..., None].expand(-1, -1, -1, config.samples), present=present
        )

    def reader(self, scene: Representation, poses: Tensor, query: Tensor) -> Attend:
        return self.attend_to(self.lines(scene, poses, query), query)

    def attend_to(self, lines: EpipolarTokens, query: Tensor) -> Attend:
        """Returns the attention of every position of a state to its lines."""
        config = self.config
        _, height, width = self.recurrence.state_shape
        tokens, mask, present = lines
        if config.views == "joint":
            tokens, mask = (rearrange(field, "m x n s ... -> m x 1 (n s) ...") for field in (tokens, mask))
            present = present.new_ones(len(tokens), 1, 1)
        views, heads = tokens.shape[2], config.heads
        null = self.nothing.to(tokens.dtype).expand(*tokens.shape[:3], 1, -1)
        key, value = (
            rearrange(torch.cat(parts, dim=3), "m x n t (k d) -> (m x n k) t d", k=heads)
            for parts in zip(*(part.split(self.widths, dim=-1) for part in (null, tokens)), strict=True)
        )
        # Views of padding have no null token either; their results are set to zero.
        valid = torch.cat([present[..., None].expand(*null.shape[:4]), mask], dim=3)
        padding = repeat(~present, "m one n -> m one n k d", k=heads, d=1)
        excluded = repeat(present[..., None] & ~valid, "m x n t -> (m x n k) 1 t", k=heads)
        bias = torch.zeros_like(excluded, dtype=key.dtype).masked_fill(excluded, -torch.inf)
        # Constant over the steps.
        of_hidden, of_pose, of_place = self.ask.weight.split(
            [config.hidden_channels, query.shape[1], POSITION_WIDTH], dim=1
        )
        border = (config.kernel_size // 2, config.kernel_size // 2)
        place = positions(height, width, like=of_place)[None]
        constant = F.conv2d(place, of_place, self.ask.bias, padding=border)
        constant = constant + broadcast_conv(query.to(of_pose.dtype), of_pose, size=(height, width), padding=border)

        def read(hidden: Tensor) -> Tensor:
            features = torch.relu(constant + F.conv2d(hidden, of_hidden, padding=border))
            queries = repeat(self.to_query(features), "m (k d) h w -> (m h w n k) 1 d", k=heads, n=views)
            # Every query has its own keys: batched products with vectors.
            scores = torch.baddbmm(bias, queries.to(key.dtype), key.transpose(1, 2), alpha=key.shape[-1] ** -0.5)
            found = torch.softmax(scores, dim=-1).to(value.dtype) @ value
            found = found[:, 0].unflatten(0, (len(hidden), height * width, views, heads))
            found = found.masked_fill(padding, 0.0).sum(2)
            return rearrange(found, "m (h w) k d -> m (k d) h w", h=height, w=width)

        return read


class EpipolarTokens(NamedTuple):
    """Keys and values along the epipolar lines of m = B * Q queries, for every position x of their maps."""

    values: Tensor  # [m, x, N, S, widths of keys and values]
    mask: Tensor  # [m, x, N, S] bool: False is padding, or a line outside of the view
    present: Tensor  # [m, 1, N] bool: False is padding
