"""GQN that follows the rays of the queried view through the context views."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from einops import rearrange, repeat
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Size
from zoo.cores.gqn import Gqn, make_recurrence
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore, Representation
from zoo.model.query_latents import sample_queries, score_queries
from zoo.nn.attention import POSITION_WIDTH, positions, with_pose_and_position
from zoo.nn.broadcast_conv import broadcast_conv
from zoo.nn.geometry import epipolar_samples
from zoo.nn.latent_groups import Rollout, Source
from zoo.nn.recurrence import Attend

# Cosines in which the distance along a ray is told to keys and values.
REACH_WIDTH = 4


class GqnEpipolar(LatentCore):
    """p(x^q | v^q, M) = int prod_l pi(z_l | z_<l, v^q, M) N(x^q; eta_g(u_L), sigma^2) dz  (Tobin et al. 2019, E-GQN).

    M are the feature maps of all context views. What a position of the queried image shows lies somewhere on the
    position's ray, and the ray appears in a context view as a line, the epipolar line. In every step l each position of
    the generator's state h^g_l attends to places along its lines: n comparisons where attention to all of a map needs
    n^2. The map of what was found, r_l, stands where GQN has the sum r: in the inference cell and in the generator cell
    of that step. The order of prior, posterior and generator is GQN's. h^g_l knows the target through z_<l only, and so
    does what it finds. The latents belong to a query.

    Keys and values are features with pose and place as in attention GQN, and with the distance along the ray at which a
    place would lie, so that places in several views that are the same point of space can be told to be. Every position
    can also turn to a learned "nothing": a ray may be in no view.
    """

    class Config(Gqn.Config):
        """The sizes of GQN, and how lines are followed."""

        samples: Size = Field(default=16, ge=1, description="places along every epipolar line")
        views: Literal["joint", "sum"] = Field(
            default="joint",
            description="one softmax over the lines in all views, or one in each, the results summed over the views",
        )
        key_channels: Size = Field(default=64, ge=1, description="numbers in a key of one head")
        value_channels: Size = Field(
            default=128, ge=1, description="channels of what a position finds, all heads together"
        )
        heads: Size = Field(default=1, ge=1, description="keys asked side by side; must divide value_channels")
        field_of_view: float = Field(default=50.0, gt=0, lt=180, description="of the cameras, degrees across the image")

    required_features = frozenset({"per_view"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        channels, height, width = shapes.representation
        if height == 1 or width == 1:
            raise ValueError(
                f"a representation of {height}x{width} cells a view has no lines to follow: use an encoder with larger maps"
            )
        if config.value_channels % config.heads:
            raise ValueError(f"heads {config.heads}: must divide value_channels {config.value_channels}")
        self.config = config
        self.recurrence = make_recurrence(config, shapes=shapes, attended_channels=config.value_channels)
        self.numbers = (config.heads * config.key_channels, config.value_channels)
        # Keys and values of a place are linear in its features, so that they are made before the places are sampled.
        self.from_features = nn.Conv2d(channels + shapes.pose_width + POSITION_WIDTH, sum(self.numbers), 1)
        self.from_reach = nn.Linear(REACH_WIDTH, sum(self.numbers), bias=False)
        self.nothing = nn.Parameter(torch.randn(sum(self.numbers)) / sum(self.numbers) ** 0.5)
        asking = config.hidden_channels + shapes.query_width + POSITION_WIDTH
        self.ask = nn.Conv2d(asking, config.hidden_channels, config.kernel_size, padding=config.kernel_size // 2)
        self.to_query = nn.Conv2d(config.hidden_channels, config.heads * config.key_channels, 1)

    def forward(self, episode: Episode, encode: Encode, schedule: ScheduleValues) -> CoreOutput:
        scene = encode(episode.context)
        return score_queries(partial(self.rollout, scene, episode.context.poses, schedule=schedule), episode)

    def predict(
        self, context: Views, query: Tensor, key: Tensor, *, encode: Encode, schedule: ScheduleValues, num_samples: int
    ) -> Tensor:
        rollout = partial(self.rollout, encode(context), context.poses, schedule=schedule)
        return sample_queries(rollout, query, key, num_samples=num_samples)

    def rollout(
        self,
        scene: Representation,
        poses: Tensor,
        query: Tensor,
        keys: Tensor,
        *,
        target: Tensor | None,
        source: Source,
        schedule: ScheduleValues,
    ) -> Rollout:
        """Runs the L steps for encoded scenes with context poses [B, N, P]; see ``zoo.model.query_latents``."""
        return self.recurrence(
            query,
            keys,
            scene=None,
            num_queries=len(query) // len(scene.mask),
            attend=self.reader(self.lines(scene, poses, query), query),
            target=target,
            source=source,
            temperature=schedule.temperature,
        )

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
            maps = maps.sum(dim=(2, 3), keepdim=True).expand(-1, -1, *places.shape[1:3])  # of no views; in the graph
        found = rearrange(maps, "(b n) c (q h w) s -> (b q) (h w) n s c", b=batch, n=number, h=height, w=width)
        # A wave of frequency 0 would be a bias, which the convolution of the features has.
        waves = torch.arange(1, REACH_WIDTH + 1).to(samples.reach) * torch.pi
        reach = torch.cos(waves * samples.reach[..., None])
        told = self.from_reach(rearrange(reach, "b q n h w s k -> (b q) (h w) n s k").to(found.dtype))
        visible = rearrange(samples.visible & scene.mask[:, None, :, None, None], "b q n h w -> (b q) (h w) n")
        present = repeat(scene.mask, "b n -> (b q) 1 n", q=len(query) // batch)
        return EpipolarTokens(
            values=found + told, mask=visible[..., None].expand(-1, -1, -1, config.samples), present=present
        )

    def reader(self, lines: EpipolarTokens, query: Tensor) -> Attend:
        """Returns how every position of a state looks along its lines."""
        config = self.config
        _, height, width = self.recurrence.state_shape
        what, mask, present = lines
        if config.views == "joint":
            what, mask = (rearrange(field, "m x n s ... -> m x 1 (n s) ...") for field in (what, mask))
            present = present.new_ones(len(what), 1, 1)
        views, heads = what.shape[2], config.heads
        nothing = self.nothing.to(what.dtype).expand(*what.shape[:3], 1, -1)
        key, value = (
            rearrange(torch.cat(parts, dim=3), "m x n t (k d) -> (m x n k) t d", k=heads)
            for parts in zip(*(part.split(self.numbers, dim=-1) for part in (nothing, what)), strict=True)
        )
        # A view that is padding offers not even nothing. It is looked at all the same, and what is found is dropped.
        offered = torch.cat([present[..., None].expand(*nothing.shape[:4]), mask], dim=3)
        dropped = repeat(~present, "m one n -> m one n k d", k=heads, d=1)
        hidden_by = repeat(present[..., None] & ~offered, "m x n t -> (m x n k) 1 t", k=heads)
        bias = torch.zeros_like(hidden_by, dtype=key.dtype).masked_fill(hidden_by, -torch.inf)
        # What does not change over the steps is convolved here.
        of_hidden, of_pose, of_place = self.ask.weight.split(
            [config.hidden_channels, query.shape[1], POSITION_WIDTH], dim=1
        )
        border = (config.kernel_size // 2, config.kernel_size // 2)
        place = positions(height, width, like=of_place)[None]
        constant = F.conv2d(place, of_place, self.ask.bias, padding=border)
        constant = constant + broadcast_conv(query.to(of_pose.dtype), of_pose, size=(height, width), padding=border)

        def read(hidden: Tensor) -> Tensor:
            asked = torch.relu(constant + F.conv2d(hidden, of_hidden, padding=border))
            asking = repeat(self.to_query(asked), "m (k d) h w -> (m h w n k) 1 d", k=heads, n=views)
            # Every query has keys of its own, and one look at them: two products with vectors.
            scores = torch.baddbmm(bias, asking.to(key.dtype), key.transpose(1, 2), alpha=key.shape[-1] ** -0.5)
            found = torch.softmax(scores, dim=-1).to(value.dtype) @ value
            found = found[:, 0].unflatten(0, (len(hidden), height * width, views, heads))
            found = found.masked_fill(dropped, 0.0).sum(2)
            return rearrange(found, "m (h w) k d -> m (k d) h w", h=height, w=width)

        return read


class EpipolarTokens(NamedTuple):
    """What lies along the epipolar lines of m = B * Q queries, for every position x of their maps."""

    values: Tensor  # [m, x, N, S, keys and values]
    mask: Tensor  # [m, x, N, S] bool: False is padding, or a line that the view does not show
    present: Tensor  # [m, 1, N] bool: False is padding
