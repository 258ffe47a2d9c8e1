"""Scenes: solid objects, a light and a room; and the same as tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings, one_of
from zoo.data.render.faces import FACE_TEXELS, SIDES, face_texels
from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.textures import ALL_TEXTURES, FLOOR_TEXTURES, WALL_TEXTURES
from zoo.errors import DataError

Quaternion = tuple[float, float, float, float]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class SceneObject:
    """One solid object."""

    shape: str  # a name of PRIMITIVES
    centre: Triple  # where the origin of the shape lies, scene units
    scale: Triple  # by how much the canonical shape is stretched along its own axes
    turn: float  # radians about the z axis, counter-clockwise seen from above
    colour: Triple  # red, green, blue, 0 to 1
    # Images on the sides of a box in the order of SIDES, as many as there are; see zoo.data.render.faces.
    faces: tuple[bytes, ...] = field(default=(), repr=False)
    ink: Triple = (0.0, 0.0, 0.0)  # the colour that these images are drawn in
    tilt: Quaternion | None = None  # a unit quaternion (w, x, y, z) by which the object is turned further, after turn


class Room(Settings):
    """A square room without a ceiling, centred on the z axis, its floor at z = 0. Cameras must be inside."""

    width: float = Field(gt=0.0, le=100.0, description="from wall to opposite wall, scene units")
    wall_height: float = Field(gt=0.0, le=100.0, description="scene units; the sky begins above")
    wall: Annotated[str, one_of(tuple(WALL_TEXTURES))] = Field(description="texture")
    floor: Annotated[str, one_of(tuple(FLOOR_TEXTURES))] = Field(description="texture")

    @property
    def labels(self) -> dict[str, str]:
        """The named factors that all objects of the room share."""
        return {"wall": self.wall, "floor": self.floor}


@dataclass(frozen=True)
class Scene:
    """The content of an image."""

    objects: tuple[SceneObject, ...]  # one or more
    light: Triple  # position of the point light, scene units
    room: Room | None = None  # without one the objects float before a plain grey background


class SceneTensors(NamedTuple):
    """B scenes, padded to K objects. How scenes are batched changes none of them."""

    present: Tensor  # [B, K] bool: False is padding
    shape: Tensor  # [B, K] int64: index into PRIMITIVE_NAMES
    centre: Tensor  # [B, K, 3]
    inverse: Tensor  # [B, K, 9]: rows of the matrix that takes world offsets into the frame of the shape
    bound: Tensor  # [B, K]: radius of a sphere round the centre that holds the object, scene units
    colour: Tensor  # [B, K, 3]
    ink: Tensor  # [B, K, 3]
    texels: Tensor  # [B, K, T] uint8: the images on the sides of each object; T = 0 if no object has any
    light: Tensor  # [B, 3]
    room_size: Tensor  # [B, 2]: half the width of the room, height of its walls; zeros without a room
    room_texture: Tensor  # [B, 2] int64: index of wall and floor into ALL_TEXTURES; -1 without a room


def rotation_matrix(turn: Quaternion) -> tuple[Triple, Triple, Triple]:
    """Returns the rows of the rotation matrix of a unit quaternion, in double precision."""
    w, x, y, z = turn
    return (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    )


def tilt_towards(direction: Triple) -> Quaternion:
    """Returns the shortest rotation that takes the z axis into a direction of any length but zero."""
    x, y, z = direction
    length = math.sqrt(x * x + y * y + z * z)
    if length == 0.0:
        raise ValueError("direction: has length 0")
    # Half the angle between the two lies at (1 + z, -y, x), which is nothing straight down.
    w = 1.0 + z / length
    size = math.sqrt(w * w + (x * x + y * y) / (length * length))
    if size < 1e-9:
        return (0.0, 1.0, 0.0, 0.0)
    return (w / size, -y / length / size, x / length / size, 0.0)


def _inverse(item: SceneObject) -> list[float]:
    """Returns diag(1 / scale) times the turn backwards times the tilt backwards, row-major."""
    cosine, sine = math.cos(item.turn), math.sin(item.turn)
    (a, b, c) = item.scale
    rows = [cosine / a, sine / a, 0.0, -sine / b, cosine / b, 0.0, 0.0, 0.0, 1.0 / c]
    if item.tilt is None:
        return rows
    tilt = rotation_matrix(item.tilt)
    return [x * p + y * q + z * r for x, y, z in (rows[:3], rows[3:6], rows[6:]) for p, q, r in tilt]


def stack_scenes(scenes: Sequence[Scene], *, device: torch.device | str = "cpu") -> SceneTensors:
    """Packs scenes for the ray-caster.

    The numbers are prepared in double precision on the host, scene by scene, so that a scene has the same bytes
    whichever batch or device it goes to.

    Raises:
        DataError: if a scene has no object, or only some of the scenes have a room.
    """
    if len({scene.room is None for scene in scenes}) != 1 or not all(scene.objects for scene in scenes):
        raise DataError(
            "scenes: a batch holds one scene or more, each with an object; all of them have a room or none has"
        )
    size = (len(scenes), max(len(scene.objects) for scene in scenes))
    has_faces = any(item.faces for scene in scenes for item in scene.objects)
    present, shape, bound = np.zeros(size, bool), np.zeros(size, np.int64), np.zeros(size, np.float32)
    centre, colour, ink = (np.zeros((*size, 3), np.float32) for _ in range(3))
    inverse = np.zeros((*size, 9), np.float32)
    texels = np.zeros((*size, len(SIDES) if has_faces else 0, FACE_TEXELS), np.uint8)
    light = np.array([scene.light for scene in scenes], np.float32)
    room_size = np.zeros((len(scenes), 2), np.float32)
    room_texture = np.full((len(scenes), 2), -1, np.int64)
    for b, scene in enumerate(scenes):
        for k, item in enumerate(scene.objects):
            present[b, k] = True
            shape[b, k] = PRIMITIVE_NAMES.index(item.shape)
            centre[b, k] = item.centre
            inverse[b, k] = _inverse(item)
            # A stretched shape lies within its canonical bounding sphere times the largest stretch; a little more
            # keeps rounding from cutting off a silhouette.
            bound[b, k] = PRIMITIVES[item.shape].bound * max(item.scale) * 1.0001
            colour[b, k] = item.colour
            ink[b, k] = item.ink
            for side, image in enumerate(item.faces):
                texels[b, k, side] = face_texels(image)
        if scene.room is not None:
            room_size[b] = (scene.room.width / 2.0, scene.room.wall_height)
            room_texture[b] = (ALL_TEXTURES.index(scene.room.wall), ALL_TEXTURES.index(scene.room.floor))
    faces = texels.reshape(*size, -1)
    arrays = (present, shape, centre, inverse, bound, colour, ink, faces, light, room_size, room_texture)
    return SceneTensors(*(torch.from_numpy(array).to(device) for array in arrays))
