"""The base of all factor documents, the types that several kinds of scenes share, and combinations that are held out.

Scenes of the training and the validation split contain no object with a held-out combination of factors, such as red
cones. In the test split every even-numbered scene contains one and every odd-numbered scene contains none, so that the
difference between unseen and seen combinations is measured within one split. Without held-out combinations the drawn
scenes are unchanged.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field

from zoo.config.settings import Settings
from zoo.data.factors.hues import HueName, hue_of
from zoo.errors import DataError, did_you_mean

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


class Combination(NamedTuple):
    """Values of named factors that one object has together."""

    values: tuple[tuple[str, str], ...]  # pairs of name and value, sorted

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.values)

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels has the combination."""
        return all(labels[name] == value for name, value in self.values)


def has_any(objects: Iterable[Mapping[str, str]], combinations: Sequence[Combination]) -> bool:
    """Whether one of the objects has one of the combinations."""
    return any(combination.fits(labels) for labels in objects for combination in combinations)


def parse_combinations(
    texts: Iterable[str], *, recipe_name: str, factor_class: type[SceneFactors] | None
) -> tuple[Combination, ...]:
    """Parses combinations such as ``shape=cone,colour=red``.

    Raises:
        DataError: if a name or value is not one of the recipe's factors, or a text is no list of ``name=value``.
    """
    known = factor_class.label_values if factor_class is not None else {}
    return tuple(dict.fromkeys(_parse(text, recipe_name=recipe_name, known=known) for text in texts))


def _parse(text: str, *, recipe_name: str, known: Mapping[str, tuple[str, ...]]) -> Combination:
    if not known:
        raise DataError(f"hold_out: {text}: {recipe_name} has no objects with named factors")
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals and value):
            example = ",".join(f"{factor}={options[0]}" for factor, options in list(known.items())[:2])
            raise DataError(f"hold_out: {text}: found {part!r}, expected name=value, for example {example}")
        if name not in known:
            raise DataError(f"hold_out: {text}: {recipe_name} has no factor {name!r}{did_you_mean(name, known)}")
        if value not in known[name]:
            raise DataError(f"hold_out: {text}: {name}: unknown value {value!r}{did_you_mean(value, known[name])}")
        if name in values:
            raise DataError(f"hold_out: {text}: {name!r} is given twice")
        values[name] = value
    return Combination(tuple(sorted(values.items())))
