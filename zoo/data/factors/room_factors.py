"""Factors of rooms with solid objects: the walls, the light, and every object; also what other scenes in a room share."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from zoo.config.settings import Settings, one_of
from zoo.data.factors.hues import HUES, HueName, hue_of
from zoo.data.factors.scene_factors import VERSION, Angle, Colour, LabelValues, Place, SceneFactors, check_hue, refuse
from zoo.data.render.caption_grammar import check_describable
from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.rooms import radius_of
from zoo.data.render.scene import Room, Scene, SceneObject
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES

MOST_OBJECTS = 8
_TOLERANCE = 1e-6  # scene units, for sums that are rounded

Stretch = Annotated[float, Field(gt=0.0, le=10.0)]
Part = Annotated[float, Field(ge=-1.0, le=1.0)]


def check_holds(room: Room, position: tuple[float, ...], *, radius: float, depth: float, field: str) -> None:
    """Checks that something stays within the walls and above the floor.

    Args:
        room: which holds it.
        position: x, y, z of its origin.
        radius: how far it reaches sideways, scene units.
        depth: how far it reaches below its origin, scene units.
        field: the place of the position in the document.

    Raises:
        DataError: if it is, wholly or partly, outside of the room.
    """
    limit = room.width / 2.0 - radius + _TOLERANCE
    if max(abs(position[0]), abs(position[1])) > limit:
        expected = f"x and y within {max(limit, 0.0):.4g} either way, so that the object is inside of the room"
        raise refuse(field, found=list(position), expected=expected)
    if position[2] < depth - _TOLERANCE:
        raise refuse(field, found=list(position), expected=f"z of {depth:.4g} or more, so that it is above the floor")


WALL_VALUES: LabelValues = {"wall": tuple(WALL_TEXTURES), "floor": tuple(FLOOR_TEXTURES)}


class ObjectFactors(Settings):
    """One solid object."""

    shape: Annotated[str, one_of(PRIMITIVE_NAMES)]
    colour: Colour = Field(description="red, green, blue, 0 to 1")
    hue: HueName | None = Field(default=None, description="the nearest named hue of the colour")
    position: Place = Field(description="x, y, z of the origin of the shape, scene units")
    scale: tuple[Stretch, Stretch, Stretch] = Field(description="of the canonical shape along its own axes")
    turn: Angle = Field(description="about the z axis, radians, counter-clockwise seen from above")
    tilt: tuple[Part, Part, Part, Part] | None = Field(
        default=None, description="unit quaternion w, x, y, z, after turn"
    )

    @classmethod
    def of(cls, item: SceneObject) -> ObjectFactors:
        """Returns the factors of an object."""
        return cls(
            shape=item.shape,
            colour=item.colour,
            hue=hue_of(item.colour),
            position=item.centre,
            scale=item.scale,
            turn=item.turn,
            tilt=item.tilt,
        )

    def item(self) -> SceneObject:
        """Returns the object."""
        return SceneObject(self.shape, self.position, self.scale, self.turn, self.colour, tilt=self.tilt)

    def check(self, room: Room, *, field: str) -> None:
        """Checks hue, tilt and position; see :meth:`SceneFactors.check`."""
        check_hue(self.colour, self.hue, field=f"{field}.hue")
        solid = PRIMITIVES[self.shape]
        radius, depth = solid.half_width * max(self.scale[:2]), solid.half_height * self.scale[2]
        if self.tilt is not None:
            length = math.hypot(*self.tilt)
            if abs(length - 1.0) > _TOLERANCE:
                raise refuse(f"{field}.tilt", found=list(self.tilt), expected=f"length 1 instead of {length:.4g}")
            radius, depth = solid.bound * max(self.scale), 0.0
        check_holds(room, self.position, radius=radius, depth=depth, field=f"{field}.position")


class RoomFactors(SceneFactors):
    """A room with solid objects: ``rooms_*`` and ``captioned_rooms``."""

    label_values: ClassVar[LabelValues] = {"shape": PRIMITIVE_NAMES, "colour": tuple(HUES), **WALL_VALUES}

    kind: Literal["room"] = "room"
    room: Room
    light: Place = Field(description="position of the lamp, scene units")
    objects: list[ObjectFactors] = Field(min_length=1, max_length=MOST_OBJECTS)

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """Returns the factors of a scene."""
        assert scene.room is not None
        objects = [ObjectFactors.of(item) for item in scene.objects]
        return cls(version=VERSION, room=scene.room, light=scene.light, objects=objects)

    def scene(self) -> Any:
        """Returns the scene."""
        return Scene(tuple(item.item() for item in self.objects), self.light, self.room)

    def check(self) -> None:
        """See :meth:`SceneFactors.check`."""
        for index, item in enumerate(self.objects):
            item.check(self.room, field=f"objects.{index}")

    def labels(self) -> list[dict[str, str]]:
        """Returns shape, colour, wall and floor of every object."""
        return [{"shape": item.shape, "colour": hue_of(item.colour), **self.room.labels} for item in self.objects]


def check_captions(factors: RoomFactors) -> None:
    """Checks that captions can describe a room; raises DataError."""
    check_describable(factors.scene())


def check_inside_room(scene: Scene, cameras: np.ndarray) -> None:
    """Checks that cameras [V, 5] are between the walls of the scene's room.

    Raises:
        DataError: naming the width of the room that they need.
    """
    if scene.room is not None and len(cameras):
        widest = 2.0 * float(np.abs(cameras[:, :2]).max())
        if widest >= scene.room.width:
            raise refuse("room.width", found=scene.room.width, expected=f"more than {widest:.4g}, where cameras are")


def check_clear_of_objects(scene: Scene, cameras: np.ndarray) -> None:
    """Checks that no camera [V, 5] is within an upright object, taken for as wide everywhere as at its widest.

    Raises:
        DataError: naming the object and the camera.
    """
    for index, item in enumerate(scene.objects):
        if item.tilt is not None:
            continue
        x, y, z = item.centre
        half_height = PRIMITIVES[item.shape].half_height * item.scale[2]
        aside = np.hypot(cameras[:, 0] - x, cameras[:, 1] - y)
        within = np.flatnonzero((aside < radius_of(item)) & (np.abs(cameras[:, 2] - z) < half_height))
        if len(within):
            place = [round(float(number), 3) for number in cameras[within[0], :3]]
            raise refuse(
                f"objects.{index}.position", found=list(item.centre), expected=f"room for the camera at {place}"
            )
