"""The base of all factor documents, and the types that several kinds of scenes share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from zoo.config.settings import Settings
from zoo.data.factors.hues import HueName, hue_of
from zoo.errors import DataError

VERSION: Literal[1] = 1

Channel = Annotated[float, Field(ge=0.0, le=1.0)]
Colour = tuple[Channel, Channel, Channel]  # red, green, blue
Length = Annotated[float, Field(ge=-100.0, le=100.0)]  # scene units
Place = tuple[Length, Length, Length]  # x, y, z
LabelValues = Mapping[str, tuple[str, ...]]  # names in ``SceneFactors.labels`` -> values that built-in scenes take
Angle = Annotated[float, Field(ge=-7.0, le=7.0)]  # radians; somewhat more than a full turn either way


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
