"""Poses as inputs of convolutions: repeated in every cell of a map, or as every cell's own ray."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Octaves, Settings
from zoo.nn.blocks import concatenated_conv
from zoo.nn.geometry import ray_waves, ray_width

POSE_WIDTH = 7  # of a camera's pose, which has rays


class PoseInputs(Settings):
    """How a pose enters the maps of a network."""

    pose: Literal["repeated", "rays"] = Field(
        default="repeated",
        description="the vector of the pose in every cell (Eslami et al. 2018), or origin and direction of the cell's ray "
        "with Fourier features (Mildenhall et al. 2020; Sajjadi et al. 2022)",
    )
    octaves: Octaves = Field(default=4, description="frequencies of the encoding of rays")
    field_of_view: float = Field(default=50.0, gt=0, lt=180, description="of the cameras, degrees across the image")


class PoseFeatures(NamedTuple):
    """The features of n poses on a map."""

    vector: Tensor  # [n, P']: the same in all cells
    maps: Tensor | None  # [n, C, h, w]: those of every cell; None without any

    def beside(self, maps: Tensor | None) -> Tensor | None:
        """Returns the features of the cells before other maps [n, C', h, w], if there are any of either."""
        if self.maps is None or maps is None:
            return maps if self.maps is None else self.maps
        return torch.cat([self.maps.to(maps.dtype), maps], dim=1)

    def after(self, layer: nn.Conv2d, maps: Tensor) -> Tensor:
        """Returns ``layer`` of maps [n, C', h, w], the features of the cells and the vector, concatenated in this order."""
        both = maps if self.maps is None else torch.cat([maps, self.maps.to(maps.dtype)], dim=1)
        return concatenated_conv(layer, both, self.vector)


class PoseEncoding:
    """Encodes poses [n, P] for maps of any size, with ``width`` features.

    Raises:
        ValueError: if inputs that are not poses are to have rays.
    """

    def __init__(self, config: PoseInputs, *, pose_width: int) -> None:
        self.config = config
        if config.pose == "repeated":
            self.width = pose_width
            return
        if pose_width != POSE_WIDTH:
            raise ValueError(f"pose 'rays': needs poses of {POSE_WIDTH} numbers, and these inputs have {pose_width}")
        self.width = ray_width(config.octaves)

    def __call__(self, poses: Tensor, *, height: int, width: int) -> PoseFeatures:
        """Returns the features of poses [n, P] on maps of height x width cells that span the image."""
        if self.config.pose == "repeated":
            return PoseFeatures(vector=poses, maps=None)
        view, octaves = self.config.field_of_view, self.config.octaves
        rays = ray_waves(poses, height=height, width=width, field_of_view=view, octaves=octaves)
        return PoseFeatures(vector=rays.origin, maps=rays.direction)

    def apply(self, network: nn.Sequential, images: Tensor, poses: Tensor) -> Tensor:
        """Applies a network to images [n, C, H, W]; its first layer, a convolution, sees their poses in further channels."""
        first = network[0]
        assert isinstance(first, nn.Conv2d)
        pose = self(poses, height=images.shape[-2], width=images.shape[-1])
        return network[1:](pose.after(first, images))
