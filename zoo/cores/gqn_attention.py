"""GQN with attention to patches of the context."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Depth
from zoo.cores.gqn import Attend, AttendingGqn
from zoo.model.interfaces import CoreShapes, Representation
from zoo.nn.attention import POSITION_WIDTH, NullToken, attend, positions, view_tokens
from zoo.nn.blocks import expand_to_map
from zoo.nn.geometry import ray_features, ray_width


class GqnAttention(AttendingGqn):
    """Attention GQN core (Rosenbaum et al. 2018), latents of a query:

        p(x^q | v^q, D) = int prod_l pi(z_l | z_<l, v^q, D) N(x^q; eta_g(u_L), sigma^2) dz.

    D is a dictionary of the patches of all context views. In step l, h^g_l and v^q make an attention query; the result
    r_l = sum_k a_lk value_k replaces the sum r of GQN in the inference cell and in the generator cell of the step. The
    rest is GQN. h^g_l depends on the target through z_<l only, hence so does r_l.

    Values are normalised features with their place: pose and position in the image, as in the paper, or ray. Keys are the
    features alone, as in the paper, or features and place. Every dictionary has a learned null token (the paper has
    none), which is the whole dictionary of a scene without views.
    """

    class Config(AttendingGqn.Config):
        steps: Depth = Field(default=8, description="L, groups of latents, each with one attention to the dictionary")
        reads: Literal["step", "position"] = Field(
            default="step", description="one query per step (the paper), or one per position of the state"
        )
        keys: Literal["features", "placed"] = Field(
            default="features", description="keys of features (the paper), or of features and place"
        )
        places: Literal["pose", "rays"] = Field(
            default="pose", description="pose and position in the image (the paper), or the ray"
        )

    def __init__(self, config: Config, *, shapes: CoreShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.config = config
        self.feature_channels = shapes.representation.channels
        poses = config.places == "pose"
        widths = self.feature_channels + (shapes.pose_width + POSITION_WIDTH if poses else ray_width(config.octaves))
        self.norm = nn.LayerNorm(self.feature_channels)
        self.null_token = NullToken(widths)
        key_inputs = self.feature_channels if config.keys == "features" else widths
        self.to_key = nn.Linear(key_inputs, config.heads * config.key_channels, bias=False)
        self.to_value = nn.Linear(widths, config.value_channels)
        place_width = shapes.query_width + POSITION_WIDTH if poses else ray_width(config.octaves)
        query_inputs = config.hidden_channels + place_width
        self.ask = nn.Conv2d(query_inputs, config.hidden_channels, config.kernel_size, padding="same")
        # The place skips the convolution too, so that queries can match places.
        self.to_query = nn.Linear(query_inputs, config.heads * config.key_channels)

    def reader(self, scene: Representation, poses: Tensor, query: Tensor) -> Attend:
        """Computes keys and values once for all steps and queries; returns the attention of a state."""
        config, batch = self.config, len(scene.mask)
        _, height, width = self.recurrence.state_shape
        per_view = scene.per_view
        places = self._places(poses.flatten(0, 1), height=per_view.shape[-2], width=per_view.shape[-1])
        places = places.to(per_view.dtype).view(*per_view.shape[:2], *places.shape[1:])
        features = self.norm(per_view.movedim(2, -1)).movedim(-1, 2)
        tokens = self.null_token(view_tokens(torch.cat([features, places], dim=2), scene.mask))
        key_inputs = tokens.values if config.keys == "placed" else tokens.values[..., : self.feature_channels]
        key = rearrange(self.to_key(key_inputs), "b t (k d) -> b k t d", k=config.heads)
        value = rearrange(self.to_value(tokens.values), "b t (k d) -> b k t d", k=config.heads)
        mask = tokens.mask[:, None, None]
        here = self._places(query, height=height, width=width).to(per_view.dtype)
        one_query = config.reads == "step"
        # Constant over the steps.
        of_hidden, of_place = self.ask.weight.split([config.hidden_channels, here.shape[1]], dim=1)
        constant = F.conv2d(here, of_place, self.ask.bias, padding="same")
        to_query_hidden, to_query_place = self.to_query.weight.split([config.hidden_channels, here.shape[1]], dim=1)

        def by_cell(maps: Tensor) -> Tensor:
            maps = maps.mean(dim=(2, 3), keepdim=True) if one_query else maps
            return rearrange(maps, "(b q) c h w -> b (q h w) c", b=batch)

        place = F.linear(by_cell(here), to_query_place, self.to_query.bias)
        shape = (1, 1) if one_query else (height, width)

        def read(hidden: Tensor) -> Tensor:
            features = torch.relu(constant + F.conv2d(hidden, of_hidden, padding="same"))
            queries = place + F.linear(by_cell(features), to_query_hidden)
            result = attend(rearrange(queries, "b m (k d) -> b k m d", k=config.heads), key, value, mask)
            result = rearrange(result, "b k (q h w) d -> (b q) (k d) h w", h=shape[0], w=shape[1])
            return result.expand(-1, -1, height, width)

        return read

    def _places(self, poses: Tensor, *, height: int, width: int) -> Tensor:
        """Encodes the places of the cells of the maps of cameras [n, P]: [n, C, height, width]."""
        config = self.config
        if config.places == "rays":
            return ray_features(
                poses, height=height, width=width, field_of_view=config.field_of_view, octaves=config.octaves
            )
        cells = positions(height, width, like=poses).expand(len(poses), -1, -1, -1)
        return torch.cat([expand_to_map(poses, height=height, width=width), cells], dim=1)
