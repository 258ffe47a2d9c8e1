"""The base of all factor documents, and the types that several kinds of scenes share."""

from __future__ import annotations

import colorsys
from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field

from zoo.config.settings import Settings
from zoo.errors import DataError

VERSION: Literal[1] = 1

HueName = Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "grey"]

# One name for every colour, by the nearest of eight angles on the colour circle of HSV, degrees. The names are those of the
# colours of ``captioned_rooms``, so that captions and factors use the same words.
HUES: Mapping[HueName, float] = MappingProxyType(
    {
        "red": 0.0,
        "orange": 30.0,
        "yellow": 55.0,
        "green": 120.0,
        "cyan": 180.0,
        "blue": 230.0,
        "purple": 280.0,
        "pink": 330.0,
    }
)
SMALLEST_CHROMA = 0.04  # largest minus smallest of red, green and blue, below which a colour is called grey
assert {*HUES, "grey"} == set(get_args(HueName)), "every name has an angle"

Channel = Annotated[float, Field(ge=0.0, le=1.0)]
Colour = tuple[Channel, Channel, Channel]  # red, green, blue
Length = Annotated[float, Field(ge=-100.0, le=100.0)]  # scene units
Place = tuple[Length, Length, Length]  # x, y, z
LabelValues = Mapping[str, tuple[str, ...]]  # names in ``SceneFactors.labels`` -> values that built-in scenes take
Angle = Annotated[float, Field(ge=-7.0, le=7.0)]  # radians; somewhat more than a full turn either way


def hue_of(colour: tuple[float, float, float]) -> HueName:
    """Returns the nearest named hue of a colour (red, green, blue; 0 to 1), or ``grey`` if it has hardly any hue."""
    if max(colour) - min(colour) < SMALLEST_CHROMA:
        return "grey"
    angle = 360.0 * colorsys.rgb_to_hsv(*colour)[0]

    def distance(name: HueName) -> float:
        return abs((angle - HUES[name] + 180.0) % 360.0 - 180.0)

    return min(HUES, key=distance)


def refuse(field: str, *, found: Any, expected: str) -> DataError:
    """Returns the error for a value that its type allows and its scene does not."""
    return DataError(f"{field}: found {found}, expected {expected}")


def check_hue(colour: tuple[float, float, float], hue: HueName | None, *, field: str) -> None:
    """Checks a named hue against its colour; ``field`` is the place of the hue in the document.

    Raises:
        DataError: if another hue is nearer.
    """
    nearest = hue_of(colour)
    if hue not in (None, nearest):
        raise refuse(
            field, found=repr(hue), expected=f"{nearest!r}, the nearest named hue of {list(colour)}, or no hue"
        )


def check_count(factors: SceneFactors, *, field: str, count: int) -> None:
    """Checks the number of entries of a list, such as blocks or faces; raises DataError."""
    found = len(getattr(factors, field))
    if found != count:
        raise refuse(field, found=f"{found} {field}", expected=f"{count}")


class SceneFactors(Settings):
    """What one scene shows: a document that converts to the scene and back without loss.

    ``of`` makes the document of a scene, ``scene`` the scene of a document, whose images are the same bytes. Fields
    that follow from others (a named hue, a label) may be left out of a document; given, they must agree.
    """

    label_values: ClassVar[LabelValues] = {}

    version: Literal[1] = Field(description="of the schema")
    kind: str = Field(description="which schema of scenes this is")

    @classmethod
    @abstractmethod
    def of(cls, scene: Any) -> Self:
        """Returns the factors of a scene."""

    @abstractmethod
    def scene(self) -> Any:
        """Returns the scene; the document has passed :meth:`check`."""

    def check(self) -> None:
        """Checks what the types of single fields cannot express.

        Raises:
            DataError: naming the field, what was found and what was expected.
        """

    def labels(self) -> list[dict[str, str]]:
        """Returns the named factors of every object, for example shape and colour; empty for scenes without objects."""
        return []
