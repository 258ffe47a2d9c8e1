"""Terrains: a path over open land with lakes, hills, trees and towers, for localising where an image was taken.

Rosenbaum et al., "Learning models for visual 3D localization with implicit mapping" (2018), let an agent move at random
over Minecraft landscapes and asked from where an image was seen; a path had 100 images, 32 pixels wide. The
landscape here is our own: smooth relief, seen through fog that hides its end.

Coordinates are relative to the middle of the path. x and y of every camera lie within ``[-EXTENT, EXTENT]``, so that a
grid over that square holds all possible places; z is relative to the middle of the heights of the cameras, so
that 0 is a fair guess for a place that has not been visited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from zoo.data.built_in import BuiltIn, DrawnScene, Rendering, stack_cameras
from zoo.data.render.terrain_caster import render_lands
from zoo.data.render.terrain_grid import LandTensors, look_up, stack_lands
from zoo.data.render.terrain_land import Land, build_land, canonical
from zoo.data.render.terrain_path import EXTENT, draw_path
from zoo.data.source import MAP, ExtraShape, Split


@dataclass(frozen=True)
class Terrain:
    """The land of a scene and its place in it.

    Attributes:
        number: of the land, which follows from it.
        origin: where the origin of the scene lies in the land, scene units.
        land: made of the number.
    """

    number: int
    origin: tuple[float, float, float]
    land: Land = field(repr=False, compare=False)


@dataclass(frozen=True)
class Terrains(BuiltIn):
    """The data set; its extra is ``map`` [H, W, 3] uint8, see :func:`draw_map`."""

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the type and shape of the map."""
        return {MAP: ExtraShape("uint8", (image_size, image_size, 3), per_view=False)}

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws terrain ``index`` of a split with the cameras of its path."""
        number, name, rng = self.draw_content(_draw_number, seed=seed, split=split, index=index)
        land = build_land(number)
        path = draw_path(rng, land=land, num_views=self.num_views)
        return DrawnScene(Terrain(number, path.origin, land), name, path.cameras.astype(np.float32))

    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Renders drawn terrains and their maps."""
        terrains, cameras = tuple(item.scene for item in drawn), stack_cameras(drawn)
        lands = stack_lands([item.land for item in terrains], origins=[item.origin for item in terrains], device=device)
        frames = render_lands(lands, cameras=cameras, image_size=image_size)
        maps = draw_map(lands, image_size=image_size)
        return Rendering(frames, cameras, terrains, {MAP: maps.cpu().numpy()})


def draw_map(lands: LandTensors, *, image_size: int) -> Tensor:
    """Draws lands from straight above, without perspective: the square ``[-EXTENT, EXTENT]`` in x and y of each scene.

    North (+y) is up and east (+x) is right: (x, y) is at column ``(x / EXTENT + 1) / 2 * image_size`` and row
    ``(1 - y / EXTENT) / 2 * image_size``, in continuous pixels.

    Returns:
        [B, H, W, 3] uint8 on the device of the lands.
    """
    device = lands.height.device
    num_scenes = lands.origin.shape[0]
    shape = (num_scenes, image_size, image_size)
    pixel = 2.0 * EXTENT / image_size
    place = ((torch.arange(image_size, device=device) + 0.5) * pixel - EXTENT).float()
    x = (lands.origin[:, 0, None, None] + place).expand(shape)
    y = (lands.origin[:, 1, None, None] - place[:, None]).expand(shape)
    scene = torch.arange(num_scenes, dtype=torch.int32, device=device)[:, None, None].expand(shape)
    colour = look_up(
        lands, scene=scene.flatten(), x=x.flatten(), y=y.flatten(), footprint=torch.full_like(x, pixel).flatten()
    )
    return (torch.stack(colour, dim=-1) + 0.5).to(torch.uint8).view(*shape, 3)


def _draw_number(rng: np.random.Generator) -> tuple[int, str]:
    number = int(rng.random() * 2**53)
    return number, canonical(number)


TERRAIN = Terrains(
    name="terrain",
    num_views=100,
    description="a path over open land with lakes, hills, trees and towers, and its map",
)
