"""Rendering a scene from its factors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.factors.parsing import parse_factors
from zoo.data.factors.room_factors import check_inside_room
from zoo.data.factors.scene_factors import SceneFactors
from zoo.data.render.maze_layout import Maze
from zoo.data.render.maze_surfaces import stack_mazes
from zoo.data.render.mazes import render_mazes
from zoo.data.render.raycaster import render
from zoo.data.render.scene import stack_scenes
from zoo.data.render.terrain_caster import render_lands, stack_lands
from zoo.data.render.terrain_land import Terrain
from zoo.data.source import check_numbers
from zoo.errors import DataError


def render_scene(
    factors: SceneFactors | Mapping[str, Any],
    cameras: np.ndarray | Tensor,
    *,
    image_size: int = 64,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Renders a scene from its factors.

    The cameras of a store give the images of the store, bit for bit on the device that rendered them.

    Args:
        factors: a factor document, for example one of :meth:`zoo.data.store.SceneStore.read_factors`.
        cameras: [V, 5] float: x, y, z in scene units, yaw and pitch in radians; rounded to float32 as in a store.
        image_size: height and width, pixels.
        device: of torch.

    Returns:
        frames [V, H, W, 3] uint8.

    Raises:
        DataError: if the factors, the cameras or the size are not valid; a camera must be inside of the room.
    """
    if not isinstance(factors, SceneFactors):
        factors = parse_factors(factors, origin="factors")
    places = np.asarray(cameras, np.float32)
    if places.ndim != 2 or places.shape[1] != CAMERA_WIDTH or not len(places):
        raise DataError(f"cameras: the shape is {places.shape}, expected (V, {CAMERA_WIDTH}) with V of 1 or more")
    check_numbers(places, kind="cameras", origin="cameras")
    if image_size < 1:
        raise DataError(f"image_size: {image_size} is not a positive number")
    scene = factors.scene()
    views = torch.from_numpy(places)[None]
    if isinstance(scene, Maze):
        frames = render_mazes(stack_mazes([scene], device=device), cameras=views, image_size=image_size)
    elif isinstance(scene, Terrain):
        lands = stack_lands([scene.land], origins=[scene.origin], device=device)
        frames = render_lands(lands, cameras=views, image_size=image_size)
    else:
        check_inside_room(scene, places)
        frames = render(stack_scenes([scene], device=device), cameras=views, image_size=image_size)
    return frames[0].cpu().numpy()
