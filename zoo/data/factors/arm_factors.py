"""Factors of the robot arm: its joints and its target."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from zoo.config.settings import Settings
from zoo.data.factors.hues import HUES, HueName, hue_of
from zoo.data.factors.room_factors import WALL_VALUES, check_holds
from zoo.data.factors.scene_factors import VERSION, Angle, Colour, LabelValues, Place, SceneFactors, check_hue, refuse
from zoo.data.render.jaco import ALL_JOINT_RANGES, LARGEST_REACH, SCALE, ArmScene, build_scene
from zoo.data.render.scene import Room, SceneObject

_TOLERANCE = 1e-9  # radians


class TargetFactors(Settings):
    """The ball beside the arm."""

    colour: Colour = Field(description="red, green, blue, 0 to 1")
    hue: HueName | None = Field(default=None, description="the nearest named hue of the colour")
    position: Place = Field(description="x, y, z of its centre, scene units")
    radius: float = Field(gt=0.0, le=10.0, description="scene units")


class ArmFactors(SceneFactors):
    """A robot arm and a target in a room: ``jaco``."""

    label_values: ClassVar[LabelValues] = {"colour": tuple(HUES), **WALL_VALUES}

    kind: Literal["arm"] = "arm"
    room: Room
    light: Place = Field(description="position of the lamp, scene units")
    joints: list[Angle] = Field(
        min_length=len(ALL_JOINT_RANGES),
        max_length=len(ALL_JOINT_RANGES),
        description="radians: six joints of the arm, three curls of fingers",
    )
    target: TargetFactors
    reaching: bool = Field(default=False, description="whether the arm was drawn with its hand near the target")

    @classmethod
    def of(cls, scene: ArmScene) -> Self:
        """Returns the factors of a scene."""
        assert scene.room is not None
        ball = scene.objects[0]
        target = TargetFactors(colour=ball.colour, hue=hue_of(ball.colour), position=ball.centre, radius=ball.scale[0])
        return cls(
            version=VERSION,
            room=scene.room,
            light=scene.light,
            joints=list(scene.joints),
            target=target,
            reaching=scene.reaching,
        )

    def scene(self) -> Any:
        """Returns the scene."""
        radius = self.target.radius
        ball = SceneObject("sphere", self.target.position, (radius, radius, radius), 0.0, self.target.colour)
        return build_scene(tuple(self.joints), target=ball, light=self.light, room=self.room, reaching=self.reaching)

    def check(self) -> None:
        """See :meth:`SceneFactors.check`."""
        check_hue(self.target.colour, self.target.hue, field="target.hue")
        for index, (angle, (low, high)) in enumerate(zip(self.joints, ALL_JOINT_RANGES, strict=True)):
            if not low - _TOLERANCE <= angle <= high + _TOLERANCE:
                raise refuse(f"joints.{index}", found=angle, expected=f"{low:.4f} to {high:.4f} radians")
        reach = SCALE * LARGEST_REACH
        if self.room.width / 2.0 < reach:
            raise refuse("room.width", found=self.room.width, expected=f"{2.0 * reach:.4g} or more, to hold the arm")
        radius = self.target.radius
        check_holds(self.room, self.target.position, radius=radius, depth=radius, field="target.position")

    def labels(self) -> list[dict[str, str]]:
        """Returns colour, wall and floor of the target."""
        return [{"colour": hue_of(self.target.colour), **self.room.labels}]
