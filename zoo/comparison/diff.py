"""New results against a base: which belong together, and what has changed between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from zoo.comparison.comparability import (
    CODE_LENGTH,
    NotComparableError,
    code_length_key,
    difference_if_possible,
    differences_of,
    require_comparable,
    same_floor,
    share_code_length_only,
    unlike_units,
)
from zoo.comparison.formatting import sanitize
from zoo.comparison.seed_groups import SeedGroup, grouped, machine_of, seed_groups, without_superseded
from zoo.comparison.statistics import PairedDifference, holm
from zoo.errors import ResultError
from zoo.results.metrics import metric_info
from zoo.results.row import ComparabilityKey, Metric, ResultRow, Timing

ChangeVerdict = Literal["better", "worse", "changed", "undecided"]
_Pairs = list[tuple[SeedGroup, SeedGroup]]


@dataclass(frozen=True)
class Change:
    """How one metric or speed differs between a base and a new result.

    The verdict is ``better`` or ``worse`` (``changed`` where neither direction is better) if the 95 % interval excludes 0
    after Holm's correction over all pairs, for a speed if the ranges from p10 to p90 do not overlap; else ``undecided``.
    """

    name: str  # of the metric or timing
    unit: str  # of base and new
    base: float
    new: float
    difference: PairedDifference | None  # new - base; None for speeds, and where values per scene are missing
    verdict: ChangeVerdict
    higher_is_better: bool | None
    tested: bool  # whether a test was possible: undecided then means more than that nothing is known

    @property
    def delta(self) -> float:
        """New - base."""
        return self.new - self.base

    @property
    def percent(self) -> float | None:
        """The change relative to the base; None where zero is not a natural origin (NELBO, decibel)."""
        return 100 * self.delta / self.base if self.base > 0 and metric_info(self.name).has_percent else None


@dataclass(frozen=True)
class ComparedPair:
    """A base and the new result that belongs to it, with all changes."""

    base: SeedGroup
    new: SeedGroup
    changes: tuple[Change, ...]

    @property
    def key(self) -> ComparabilityKey | None:
        """What both sides share; None for speeds alone."""
        if self.base.key is not None and share_code_length_only(self.base, self.new):
            return code_length_key(self.base.key)
        return self.base.key


@dataclass(frozen=True)
class Diff:
    """How new results differ from a base."""

    pairs: tuple[ComparedPair, ...]
    failures: tuple[ResultRow, ...]  # of the new side, without those of jobs that succeeded later
    remarks: tuple[str, ...]  # sentences on what is on one side only and what was not compared, and why


def diff_rows(base: Iterable[ResultRow], new: Iterable[ResultRow]) -> Diff:
    """Compares every result of the base with the new result of the same variant, key and configuration.

    Where that leaves one result of a variant and key on either side, these belong together too: the configuration is what
    was changed. Where a variant has one result left on either side, and these differ in likelihood or sigma alone, their
    lossless code lengths are compared. A single result on both sides is compared whatever its variant.

    Raises:
        NotComparableError: if nothing belongs together; where a variant is on both sides with different keys, naming
            every entry of the key that differs with both values.
        ResultError: if a side has no results.
    """
    base, new = without_superseded(base), without_superseded(new)
    old_groups = seed_groups(row for row in base if row.status == "ok")
    new_groups = seed_groups(row for row in new if row.status == "ok")
    if not old_groups or not new_groups:
        side, rows = ("base", base) if not old_groups else ("new", new)
        first = next((row for row in rows if row.status != "ok"), None)
        why = f"{first.variant!r} has the status {first.status!r} ({first.error})" if first else "there are no rows"
        raise ResultError(f"nothing to compare on the {side} side: {why}")
    single = len(old_groups) == len(new_groups) == 1
    pairs = [(old_groups[0], new_groups[0])] if single else _matched(old_groups, new_groups)
    if not pairs:
        _raise_not_comparable(old_groups, new_groups)
    changes = _changes_of(pairs)
    return Diff(
        pairs=tuple(ComparedPair(*pair, tuple(own)) for pair, own in zip(pairs, changes, strict=True)),
        failures=tuple(sorted((row for row in new if row.status != "ok"), key=lambda row: (row.variant, row.id))),
        remarks=tuple(_remarks(old_groups, new_groups, pairs)),
    )


def _matched(old: Sequence[SeedGroup], new: Sequence[SeedGroup]) -> _Pairs:
    """Returns the pairs that agree in ever less: with the configuration, without it, in the code-length key alone."""
    pairs: _Pairs = []
    for place in (_with_configuration, _with_key, _with_code_length_key):
        left, right = (grouped(side, place) for side in _unpaired(old, new, pairs))
        for where in (left.keys() & right.keys()) - {None}:
            if len(left[where]) == len(right[where]) == 1:
                (a,), (b,) = left[where], right[where]
                if place is _with_code_length_key or same_floor(a.floor, b.floor):
                    pairs.append((a, b))
    return sorted(pairs, key=lambda pair: (_key_text(pair[0].key), pair[0].variant, pair[0].first.id))


def _unpaired(
    old: Sequence[SeedGroup], new: Sequence[SeedGroup], pairs: _Pairs
) -> tuple[list[SeedGroup], list[SeedGroup]]:
    paired = {id(group) for pair in pairs for group in pair}
    return [group for group in old if id(group) not in paired], [group for group in new if id(group) not in paired]


def _with_key(group: SeedGroup) -> tuple[object, ...]:
    return _key_text(group.key), group.variant


def _with_configuration(group: SeedGroup) -> tuple[object, ...]:
    budget = group.first.budget
    steps = (budget.steps, budget.batch_size) if budget else None
    return *_with_key(group), group.first.provenance.config_hash, steps


def _with_code_length_key(group: SeedGroup) -> tuple[object, ...] | None:
    if group.key is None or CODE_LENGTH not in group.first.metrics:
        return None
    return _key_text(code_length_key(group.key)), group.variant


def _key_text(key: ComparabilityKey | None) -> str:
    return "" if key is None else key.label() + key.model_dump_json()


def _changes_of(pairs: _Pairs) -> list[list[Change]]:
    """Returns, for every (base, new), the changes of the metrics and then of the speeds that both sides have.

    Speeds are left out unless both were measured on the same machine; where likelihood or sigma differ, all metrics but
    the code length are.

    Raises:
        NotComparableError: if the metrics of a pair are not comparable.
    """
    tests: dict[str, dict[int, PairedDifference | None]] = {}
    for index, (base, new) in enumerate(pairs):
        names = base.first.metrics.keys() & new.first.metrics.keys()
        if share_code_length_only(base, new):
            names = {CODE_LENGTH}
        elif base.first.metrics or new.first.metrics:
            require_comparable(base, new)
        for name in names:
            # Not every seed need have been measured in every way, nor with as many samples of a prediction.
            if base.estimate(name) and new.estimate(name) and not unlike_units(new, base, name, name):
                tests.setdefault(name, {})[index] = difference_if_possible(new, base, name)
    found: list[list[Change]] = [[] for _ in pairs]
    for name, own in sorted(tests.items()):
        p_values = {index: test.p for index, test in own.items() if test is not None and test.has_enough_scenes}
        significant = dict(zip(p_values, holm(list(p_values.values())), strict=True))
        for index, test in own.items():
            base, new = pairs[index]
            old, now = base.estimate(name), new.estimate(name)
            assert old is not None and now is not None
            change = _change(name, base.first.metrics[name], old.value, now.value, test, significant.get(index, False))
            found[index].append(change)
    for (base, new), changes in zip(pairs, found, strict=True):
        same_machine = machine_of(base.first) == machine_of(new.first)
        for name in sorted(base.first.performance.keys() & new.first.performance.keys()) if same_machine else ():
            if (a := base.timing(name)) and (b := new.timing(name)):
                apart = b.p10 > a.p90 or b.p90 < a.p10
                changes.append(_change(name, a, a.median, b.median, None, apart))
    return found


def _change(
    name: str, about: Metric | Timing, base: float, new: float, test: PairedDifference | None, decided: bool
) -> Change:
    verdict: ChangeVerdict = "undecided"
    if decided and new != base:
        better = about.higher_is_better
        verdict = "changed" if better is None else "better" if (new > base) == better else "worse"
    return Change(
        name=name,
        unit=about.unit,
        base=base,
        new=new,
        difference=test,
        verdict=verdict,
        higher_is_better=about.higher_is_better,
        tested=isinstance(about, Timing) or (test is not None and test.has_enough_scenes),
    )


def _raise_not_comparable(old: Sequence[SeedGroup], new: Sequence[SeedGroup]) -> NoReturn:
    unlike = sorted(_unlike(old, new), key=lambda found: len(found[2]))
    if unlike:
        require_comparable(unlike[0][0], unlike[0][1])
    both = {group.variant for group in old} & {group.variant for group in new}
    if both:
        raise NotComparableError(
            f"{min(both)!r} has several results on one side, of which none has the configuration of one on the other side"
        )
    raise NotComparableError(
        f"no variant is on both sides: the base has {_names(old)}, the new side {_names(new)}; "
        "to compare two different variants, give the row of each"
    )


def _unlike(old: Sequence[SeedGroup], new: Sequence[SeedGroup]) -> Iterator[tuple[SeedGroup, SeedGroup, list[str]]]:
    """Yields every two results of one variant that may not be compared, with what differs."""
    for group in old:
        for other in new:
            if group.variant == other.variant and group.key is not None and other.key is not None:
                found = differences_of(group, other)
                if found:
                    yield group, other, found


def _remarks(old: Sequence[SeedGroup], new: Sequence[SeedGroup], pairs: _Pairs) -> Iterator[str]:
    """Yields a sentence on each result without a partner, with the smallest difference to a possible one."""
    for a, b in pairs:
        if share_code_length_only(a, b):
            names = " and ".join(dict.fromkeys((a.variant, b.variant)))
            yield sanitize(f"Of {names} only the lossless code length was compared: {', '.join(differences_of(a, b))}.")
    left, right = _unpaired(old, new, pairs)
    reported = set()
    for group, other, found in sorted(_unlike(left, right), key=lambda item: len(item[2])):
        if id(group) not in reported and id(other) not in reported:
            reported |= {id(group), id(other)}
            yield sanitize(f"{group.variant} was not compared: {', '.join(found)}.")
    for side, groups in (("base", left), ("new side", right)):
        if alone := [group for group in groups if id(group) not in reported]:
            yield sanitize(f"Only on the {side}: {_names(alone)}.")


def _names(groups: Iterable[SeedGroup]) -> str:
    return ", ".join(sorted({group.variant for group in groups}))
