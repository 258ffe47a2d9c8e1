"""Combinations of factors that are held out of training, such as red cones.

Scenes of the training and the validation split contain no object with such a combination. In the test split every
even-numbered scene contains one and every odd-numbered scene contains none, so that the difference between unseen and
seen combinations is measured within one split. Without held-out combinations the drawn scenes are unchanged.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zoo.data.factors.scene_factors import SceneFactors
from zoo.errors import DataError, did_you_mean


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
