"""Factors of rooms with solid objects: the walls, the light, and every object; also what other scenes in a room share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from zoo.config.settings import Settings
from zoo.data.factors.hues import HUES, HueName, hue_of
from zoo.data.factors.scene_factors import VERSION, Angle, Colour, Place, SceneFactors, check_hue, one_of, refuse
from zoo.data.render.caption_grammar import check_describable
from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.scene import Room, Scene, SceneObject
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES

MOST_OBJECTS = 8
_TOLERANCE = 1e-6  # scene units, for sums that are rounded

Stretch = Annotated[float, Field(gt=0.0, le=10.0)]
Part = Annotated[float, Field(ge=-1.0, le=1.0)]


class WallFactors(Settings):
    """An empty square room, centred on the z axis."""

    width: float = Field(gt=0.0, le=100.0, description="from wall to opposite wall, scene units")
    wall_height: float = Field(gt=0.0, le=100.0, description="scene units; the sky begins above")
    wall: Annotated[str, one_of(tuple(WALL_TEXTURES))] = Field(description="texture")
    floor: Annotated[str, one_of(tuple(FLOOR_TEXTURES))] = Field(description="texture")

    @classmethod
    def of(cls, room: Room | None) -> WallFactors:
        """Returns the factors of a room."""
        assert room is not None
        return cls(width=room.width, wall_height=room.wall_height, wall=room.wall, floor=room.floor)

    def room(self) -> Room:
        """Returns the room."""
        return Room(self.width, self.wall_height, self.wall, self.floor)

    @property
    def labels(self) -> dict[str, str]:
        """The named factors that all objects of the room share."""
        return {"wall": self.wall, "floor": self.floor}

    def check_holds(self, position: tuple[float, ...], *, radius: float, depth: float, field: str) -> None:
        """Checks that something stays within the walls and above the floor.

        Args:
            position: x, y, z of its origin.
            radius: how far it reaches sideways, scene units.
            depth: how far it reaches below its origin, scene units.
            field: the place of the position in the document.

        Raises:
            DataError: if it is, wholly or partly, outside of the room.
        """
        room = self.width / 2.0 - radius + _TOLERANCE
        if max(abs(position[0]), abs(position[1])) > room:
            limit = f"x and y within {max(room, 0.0):.4g} either way, so that the object is inside of the room"
            raise refuse(field, found=list(position), expected=limit)
        if position[2] < depth - _TOLERANCE:
            raise refuse(
                field, found=list(position), expected=f"z of {depth:.4g} or more, so that it is above the floor"
            )


WALL_VALUES: Mapping[str, tuple[str, ...]] = {"wall": tuple(WALL_TEXTURES), "floor": tuple(FLOOR_TEXTURES)}


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

    def check(self, walls: WallFactors, *, field: str) -> None:
        """Checks hue, tilt and position; see :meth:`SceneFactors.check`."""
        check_hue(self.colour, self.hue, field=f"{field}.hue")
        solid = PRIMITIVES[self.shape]
        radius, depth = solid.half_width * max(self.scale[:2]), solid.half_height * self.scale[2]
        if self.tilt is not None:
            length = math.hypot(*self.tilt)
            if abs(length - 1.0) > _TOLERANCE:
                raise refuse(f"{field}.tilt", found=list(self.tilt), expected=f"length 1 instead of {length:.4g}")
            radius, depth = solid.bound * max(self.scale), 0.0
        walls.check_holds(self.position, radius=radius, depth=depth, field=f"{field}.position")


class RoomFactors(SceneFactors):
    """A room with solid objects: ``rooms_*`` and ``captioned_rooms``."""

    kind: Literal["room"] = "room"
    room: WallFactors
    light: Place = Field(description="position of the lamp, scene units")
    objects: list[ObjectFactors] = Field(min_length=1, max_length=MOST_OBJECTS)

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """Returns the factors of a scene."""
        objects = [ObjectFactors.of(item) for item in scene.objects]
        return cls(version=VERSION, room=WallFactors.of(scene.room), light=scene.light, objects=objects)

    def scene(self) -> Any:
        """Returns the scene."""
        return Scene(tuple(item.item() for item in self.objects), self.light, self.room.room())

    def check(self) -> None:
        """See :meth:`SceneFactors.check`."""
        for index, item in enumerate(self.objects):
            item.check(self.room, field=f"objects.{index}")

    def labels(self) -> list[dict[str, str]]:
        """Returns shape, colour, wall and floor of every object."""
        return [{"shape": item.shape, "colour": hue_of(item.colour), **self.room.labels} for item in self.objects]

    @classmethod
    def label_values(cls) -> Mapping[str, tuple[str, ...]]:
        """Returns the names of :meth:`labels` and their values."""
        return {"shape": PRIMITIVE_NAMES, "colour": tuple(HUES), **WALL_VALUES}


def check_captions(factors: RoomFactors) -> None:
    """Checks that captions can describe a room; raises DataError."""
    check_describable(factors.scene())
