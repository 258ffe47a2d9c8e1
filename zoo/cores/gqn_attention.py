"""GQN that looks patches of the context up, step by step, in place of a summed representation."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth, Size
from zoo.cores.gqn import Gqn, make_recurrence
from zoo.episode import CoreOutput, Episode, ScheduleValues, Views
from zoo.model.interfaces import CoreShapes, Encode, LatentCore, Representation
from zoo.model.query_latents import sample_queries, score_queries
from zoo.nn.attention import POSITION_WIDTH, NullToken, attend, positions, view_tokens
from zoo.nn.blocks import expand_to_map
from zoo.nn.geometry import ray_features, ray_width
from zoo.nn.latent_groups import Rollout, Source
from zoo.nn.recurrence import Attend


class GqnAttention(LatentCore):
    """p(x^q | v^q, D) = int prod_l pi(z_l | z_<l, v^q, D) N(x^q; eta_g(u_L), sigma^2) dz  (Rosenbaum et al. 2018).

    D is a dictionary of all patches of all context views. In every step l the generator's state before the step, h^g_l,
    and v^q make a key; what a softmax over the dictionary's keys finds, r_l = sum_k a_lk value_k, stands where GQN has
    the sum r: in the inference cell and in the generator cell of that step. The order of prior, posterior and generator
    is GQN's. h^g_l knows the target through z_<l only, and so does what it looks up. The latents belong to a query.

    Values are the patch's features, normalised, with its place: the pose of its view and its position in the image, as
    in the paper, or its ray. Keys are made of the features alone, as in the paper, or with the place. A learned token,
    "nothing", is part of every dictionary (the paper has none): it is what a scene without views offers.
    """

    class Config(Gqn.Config):
        """The sizes of GQN, and how the dictionary is read."""

        steps: Depth = Field(default=8, ge=1, description="L, groups of latents, each with a look into the dictionary")
        reads: Literal["step", "position"] = Field(
            default="step", description="one key for the whole step (the paper), or one for every position of the state"
        )
        keys: Literal["features", "placed"] = Field(
            default="features", description="what a key is made of: features (the paper), or also pose and place"
        )
        places: Literal["pose", "rays"] = Field(
            default="pose",
            description="how a place is described: the view's pose and the cell's position (the paper), or the cell's ray",
        )
        octaves: Depth = Field(default=4, ge=1, description="frequencies in which a ray is described")
        field_of_view: float = Field(default=50.0, gt=0, lt=180, description="of the cameras, degrees; used for rays")
        key_channels: Size = Field(default=64, ge=1, description="numbers in a key of one head")
        value_channels: Size = Field(default=128, ge=1, description="channels of what a step finds, all heads together")
        heads: Size = Field(default=1, ge=1, description="keys asked side by side; must divide value_channels")

    required_features = frozenset({"per_view"})
    latents = "query"

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        if config.value_channels % config.heads:
            raise ValueError(f"heads {config.heads}: must divide value_channels {config.value_channels}")
        self.config = config
        self.feature_channels = shapes.representation.channels
        poses = config.places == "pose"
        widths = self.feature_channels + (shapes.pose_width + POSITION_WIDTH if poses else ray_width(config.octaves))
        self.recurrence = make_recurrence(config, shapes=shapes, attended_channels=config.value_channels)
        self.norm = nn.LayerNorm(self.feature_channels)
        self.null_token = NullToken(widths)
        self.to_key = nn.Linear(
            self.feature_channels if config.keys == "features" else widths,
            config.heads * config.key_channels,
            bias=False,
        )
        self.to_value = nn.Linear(widths, config.value_channels)
        asking = shapes.query_width + POSITION_WIDTH if poses else ray_width(config.octaves)
        self.ask = nn.Conv2d(
            config.hidden_channels + asking,
            config.hidden_channels,
            config.kernel_size,
            padding=config.kernel_size // 2,
        )
        # The place goes past the convolution too, so that keys can ask for places like it.
        self.to_query = nn.Linear(config.hidden_channels + asking, config.heads * config.key_channels)

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
            attend=self.reader(scene, poses, query),
            target=target,
            source=source,
            temperature=schedule.temperature,
        )

    def reader(self, scene: Representation, poses: Tensor, query: Tensor) -> Attend:
        """Makes keys and values once for all steps and queries; returns how a state looks them up."""
        config, batch = self.config, len(scene.mask)
        _, height, width = self.recurrence.state_shape
        per_view = scene.per_view
        where = self._places(poses.flatten(0, 1), height=per_view.shape[-2], width=per_view.shape[-1])
        where = where.to(per_view.dtype).view(*per_view.shape[:2], *where.shape[1:])
        features = self.norm(per_view.movedim(2, -1)).movedim(-1, 2)
        tokens = self.null_token(view_tokens(torch.cat([features, where], dim=2), scene.mask))
        known = tokens.values if config.keys == "placed" else tokens.values[..., : self.feature_channels]
        key = rearrange(self.to_key(known), "b t (k d) -> b k t d", k=config.heads)
        value = rearrange(self.to_value(tokens.values), "b t (k d) -> b k t d", k=config.heads)
        mask = tokens.mask[:, None, None]
        here = self._places(query, height=height, width=width).to(per_view.dtype)
        one_key = config.reads == "step"
        # What does not change over the steps is convolved and multiplied here.
        of_hidden, of_place = self.ask.weight.split([config.hidden_channels, here.shape[1]], dim=1)
        border = config.kernel_size // 2
        asked_there = F.conv2d(here, of_place, self.ask.bias, padding=border)
        by_asked, by_place = self.to_query.weight.split([config.hidden_channels, here.shape[1]], dim=1)

        def by_cell(maps: Tensor) -> Tensor:
            maps = maps.mean(dim=(2, 3), keepdim=True) if one_key else maps
            return rearrange(maps, "(b q) c h w -> b (q h w) c", b=batch)

        place = F.linear(by_cell(here), by_place, self.to_query.bias)
        shape = (1, 1) if one_key else (height, width)

        def read(hidden: Tensor) -> Tensor:
            asked = torch.relu(asked_there + F.conv2d(hidden, of_hidden, padding=border))
            asking = place + F.linear(by_cell(asked), by_asked)
            found = attend(rearrange(asking, "b m (k d) -> b k m d", k=config.heads), key, value, mask)
            read = rearrange(found, "b k (q h w) d -> (b q) (k d) h w", h=shape[0], w=shape[1])
            return read.expand(-1, -1, height, width)

        return read

    def _places(self, poses: Tensor, *, height: int, width: int) -> Tensor:
        """Describes the cells of the maps of n cameras [n, P]: [n, C, height, width]."""
        config = self.config
        if config.places == "rays":
            return ray_features(
                poses, height=height, width=width, field_of_view=config.field_of_view, octaves=config.octaves
            )
        cells = positions(height, width, like=poses).expand(len(poses), -1, -1, -1)
        return torch.cat([expand_to_map(poses, height=height, width=width), cells], dim=1)
