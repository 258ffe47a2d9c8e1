"""A base against a new set of rows: which lines belong together, and which have no partner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from zoo.comparison.formatting import sanitize
from zoo.comparison.pairs import PairDelta, compare_pairs
from zoo.comparison.seed_groups import (
    CODE_METRIC,
    SeedGroup,
    comparable_as_codes_alone,
    floor_of,
    key_of_codes,
    require_comparable,
    same_floor,
    seed_groups,
)
from zoo.errors import ResultError
from zoo.results.row import ComparabilityKey, ResultRow


@dataclass(frozen=True)
class Compared:
    """A line of the base and the line of the new rows that belongs to it, with all that differs."""

    base: SeedGroup
    new: SeedGroup
    deltas: tuple[PairDelta, ...]

    @property
    def codes_alone(self) -> bool:
        """Whether likelihood or sigma differ, so that the lengths of codes are compared and nothing else."""
        return comparable_as_codes_alone(self.base.first, self.new.first)

    @property
    def key(self) -> ComparabilityKey | None:
        """What both sides share; None for mere speeds."""
        key = self.base.first.key
        return key_of_codes(key) if key is not None and self.codes_alone else key


@dataclass(frozen=True)
class Changes:
    """How new rows differ from a base.

    Attributes:
        compared: the lines that stand on both sides, with their differences.
        failures: rows that failed, of the new side.
        remarks: in one sentence each, what stands on one side only and what was not compared, and why.
    """

    compared: tuple[Compared, ...]
    failures: tuple[ResultRow, ...]
    remarks: tuple[str, ...]


def changes_between(base: Iterable[ResultRow], new: Iterable[ResultRow]) -> Changes:
    """Compares every line of the base with the line of the new rows that has its variant, key and configuration.

    Where that leaves one line of a variant and key on either side, they belong together too: the configuration is what
    was changed. Where a variant has one line without a partner on either side, and they differ in likelihood or sigma
    alone, their codes of 8-bit values are compared. A single line on both sides is compared whatever its variant.

    Raises:
        ResultError: if no line has a partner; where a variant is on both sides with unlike keys, naming every entry of
            the key that differs with both values.
    """
    base, new = list(base), list(new)
    ours = seed_groups(row for row in base if row.status == "ok")
    theirs = seed_groups(row for row in new if row.status == "ok")
    if not ours or not theirs:
        side, rows = ("base", base) if not ours else ("new", new)
        first = next((row for row in rows if row.status != "ok"), None)
        why = f"{first.variant!r} has the status {first.status!r} ({first.error})" if first else "there are no rows"
        raise ResultError(f"nothing to compare on the {side} side: {why}")
    pairs = [(ours[0], theirs[0])] if len(ours) == len(theirs) == 1 else _partners(ours, theirs)
    if not pairs:
        _refuse(ours, theirs)
    deltas = compare_pairs(pairs)
    return Changes(
        compared=tuple(Compared(old, now, tuple(own)) for (old, now), own in zip(pairs, deltas, strict=True)),
        failures=tuple(sorted((row for row in new if row.status != "ok"), key=lambda row: (row.variant, row.id))),
        remarks=tuple(_remarks(ours, theirs, pairs)),
    )


def _partners(ours: Sequence[SeedGroup], theirs: Sequence[SeedGroup]) -> list[tuple[SeedGroup, SeedGroup]]:
    pairs = []
    places = sorted({_place(line) for line in ours} & {_place(line) for line in theirs})
    for place in places:
        left = [line for line in ours if _place(line) == place]
        right = [line for line in theirs if _place(line) == place]
        for line in list(left):
            same = [other for other in right if _configuration(other) == _configuration(line)]
            if len(same) == 1 and sum(_configuration(other) == _configuration(line) for other in left) == 1:
                pairs.append((line, same[0]))
                left.remove(line)
                right.remove(same[0])
        if len(left) == len(right) == 1:
            pairs.append((left[0], right[0]))
    pairs = [pair for pair in pairs if same_floor(floor_of(pair[0].first), floor_of(pair[1].first))]
    return pairs + _partners_in_code(
        _without(ours, [old for old, _ in pairs]), _without(theirs, [now for _, now in pairs])
    )


def _partners_in_code(ours: Sequence[SeedGroup], theirs: Sequence[SeedGroup]) -> list[tuple[SeedGroup, SeedGroup]]:
    """Gives the lines of one variant, one on either side, of which the lengths of codes may be compared."""
    sides: list[dict[tuple[str, str], list[SeedGroup]]] = [{}, {}]
    for side, lines in zip(sides, (ours, theirs), strict=True):
        for line in lines:
            if line.first.key is not None and CODE_METRIC in line.first.metrics:
                place = key_of_codes(line.first.key).model_dump_json(), line.variant
                side.setdefault(place, []).append(line)
    left, right = sides
    return [
        (left[place][0], right[place][0])
        for place in sorted(left.keys() & right.keys())
        if len(left[place]) == len(right[place]) == 1
    ]


def _without(lines: Sequence[SeedGroup], taken: Sequence[SeedGroup]) -> list[SeedGroup]:
    return [line for line in lines if all(line is not other for other in taken)]


def _refuse(ours: Sequence[SeedGroup], theirs: Sequence[SeedGroup]) -> NoReturn:
    unlike = sorted(_unlike(ours, theirs), key=lambda found: len(found[2]))
    if unlike:
        require_comparable(unlike[0][0].first, unlike[0][1].first)
    both = {line.variant for line in ours} & {line.variant for line in theirs}
    if both:
        name = min(both)
        raise ResultError(
            f"{name!r} has several lines on one side, of which none has the configuration of one on the other side"
        )
    raise ResultError(
        f"no variant stands on both sides: the base has {_names(ours)}, the new side {_names(theirs)}; "
        "two different variants are compared by giving the row of each"
    )


def _unlike(ours: Sequence[SeedGroup], theirs: Sequence[SeedGroup]) -> Iterator[tuple[SeedGroup, SeedGroup, list[str]]]:
    """Gives every two lines of one variant that may not be compared, with what differs."""
    for line in ours:
        for other in theirs:
            if line.variant != other.variant or line.first.key is None or other.first.key is None:
                continue
            found = line.first.key.differences(other.first.key)
            floors = floor_of(line.first), floor_of(other.first)
            if not found and not same_floor(*floors):
                found = [f"floor {floors[0]} against {floors[1]}"]
            if found:
                yield line, other, found


def _remarks(
    ours: Sequence[SeedGroup], theirs: Sequence[SeedGroup], pairs: Sequence[tuple[SeedGroup, SeedGroup]]
) -> Iterator[str]:
    """Gives a sentence for what has no partner, with the smallest difference to what it might have been."""
    for old, now in pairs:
        if old.first.key and now.first.key and comparable_as_codes_alone(old.first, now.first):
            names = " and ".join(dict.fromkeys((old.variant, now.variant)))
            found = old.first.key.differences(now.first.key) or ["another floor"]
            yield sanitize(f"Of {names} only the code of 8-bit values was compared: {', '.join(found)}.")
    left, right = _without(ours, [old for old, _ in pairs]), _without(theirs, [now for _, now in pairs])
    told = set()
    for line, other, found in sorted(_unlike(left, right), key=lambda item: len(item[2])):
        if id(line) not in told and id(other) not in told:
            told |= {id(line), id(other)}
            yield sanitize(f"{line.variant} was not compared: {', '.join(found)}.")
    for side, lines in (("base", left), ("new side", right)):
        if alone := [line for line in lines if id(line) not in told]:
            yield sanitize(f"Only on the {side}: {_names(alone)}.")


def _names(lines: Iterable[SeedGroup]) -> str:
    return ", ".join(sorted({line.variant for line in lines}))


def _place(line: SeedGroup) -> tuple[str, str]:
    key = line.first.key
    return ("" if key is None else key.label() + key.model_dump_json()), line.variant


def _configuration(line: SeedGroup) -> tuple[object, ...]:
    budget = line.first.budget
    return line.first.provenance.config_hash, budget and (budget.steps, budget.batch_size)
