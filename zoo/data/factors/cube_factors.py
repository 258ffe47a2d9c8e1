"""Factors of cubes with digits on their faces."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import Field

from zoo.config.settings import Settings
from zoo.data.factors.hues import HueName, hue_of
from zoo.data.factors.room_factors import WALL_VALUES
from zoo.data.factors.scene_factors import VERSION, Angle, Colour, LabelValues, Place, SceneFactors, check_hue, refuse
from zoo.data.render import digit_cube
from zoo.data.render.digit_cube import NUM_LABELS, CubeScene
from zoo.data.render.scene import Room

FaceName = Literal["+x", "+y", "-x", "-y", "top"]
FACES: tuple[FaceName, ...] = get_args(FaceName)  # in the frame of the cube


class FaceFactors(Settings):
    """The digit on one face."""

    face: FaceName
    digit: int = Field(ge=0, lt=NUM_LABELS)
    image: int | None = Field(
        default=None,
        ge=0,
        lt=digit_cube.NUM_DIGITS,
        description="number of the handwritten image; null: the printed digit",
    )

    @property
    def image_number(self) -> int:
        """The number of the handwritten image."""
        return digit_cube.printed_digits()[self.digit] if self.image is None else self.image


class CubeFactors(SceneFactors):
    """A cube with digits in a room: ``digit_cube`` and ``printed_cube``. Its size and place are the same in all scenes."""

    label_values: ClassVar[LabelValues] = {"face": FACES, "digit": tuple(map(str, range(NUM_LABELS))), **WALL_VALUES}

    kind: Literal["cube"] = "cube"
    room: Room
    light: Place = Field(description="position of the lamp, scene units")
    turn: Angle = Field(description="of the cube about the z axis, radians, counter-clockwise seen from above")
    colour: Colour = Field(description="of the cube: red, green, blue, 0 to 1")
    hue: HueName | None = Field(default=None, description="the nearest named hue of the colour")
    ink: Colour = Field(description="of the digits: red, green, blue, 0 to 1")
    ink_hue: HueName | None = Field(default=None, description="the nearest named hue of the ink")
    faces: list[FaceFactors] = Field(
        min_length=1, max_length=len(FACES), description="in the order +x, +y, -x, -y, top"
    )

    @classmethod
    def of(cls, scene: CubeScene) -> Self:
        """Returns the factors of a scene."""
        assert scene.room is not None
        (cube,) = scene.objects
        labels = digit_cube.handwritten_digits().labels
        faces = [
            FaceFactors(face=face, digit=int(labels[image]), image=image)
            for face, image in zip(FACES, scene.digits, strict=False)
        ]
        return cls(
            version=VERSION,
            room=scene.room,
            light=scene.light,
            turn=cube.turn,
            colour=cube.colour,
            hue=hue_of(cube.colour),
            ink=cube.ink,
            ink_hue=hue_of(cube.ink),
            faces=faces,
        )

    def scene(self) -> Any:
        """Returns the scene."""
        digits = tuple(face.image_number for face in self.faces)
        cube = digit_cube.build_cube(digits, turn=self.turn, colour=self.colour, ink=self.ink)
        return CubeScene((cube,), self.light, self.room, digits)

    def check(self) -> None:
        """See :meth:`SceneFactors.check`."""
        check_hue(self.colour, self.hue, field="hue")
        check_hue(self.ink, self.ink_hue, field="ink_hue")
        if self.room.width / 2.0 < digit_cube.HALF_WIDTH * 2.0**0.5:
            raise refuse("room.width", found=self.room.width, expected="a room that holds the cube")
        for index, (item, face) in enumerate(zip(self.faces, FACES, strict=False)):
            if item.face != face:
                raise refuse(f"faces.{index}.face", found=repr(item.face), expected=repr(face))
            label = int(digit_cube.handwritten_digits().labels[item.image_number])
            if label != item.digit:
                raise refuse(
                    f"faces.{index}.digit", found=item.digit, expected=f"{label}, which image {item.image} shows"
                )

    def labels(self) -> list[dict[str, str]]:
        """Returns face, digit, wall and floor of every face with a digit."""
        return [{"face": face.face, "digit": str(face.digit), **self.room.labels} for face in self.faces]
