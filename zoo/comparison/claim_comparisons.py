"""From a claim to the comparisons that it consists of, and whether these may be made at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from zoo.comparison.claim_file import Below, BelowOwn, ContextHelps, DataChoice, Passes, Same, Statement
from zoo.comparison.claim_rows import MissingRowsError, RowSelector
from zoo.comparison.seed_groups import SeedGroup, floor_of, same_floor
from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ComparabilityKey, ResultRow

# Between two numbers of context views these differ, and the targets do not (zoo.data.plan.EvaluationPlan).
_CONTEXT = {"num_context", "episodes"}


@dataclass(frozen=True)
class Comparison:
    """One comparison: ``first`` has less (-1) or more (1) of the metric than ``second``, or is the same (0).

    Attributes:
        first: line of the difference's first term.
        second: line of its second term; of ``below_own`` the same line.
        metric: of the first term.
        than: metric of the second term, mostly the same.
        expected: sign of first - second that the claim expects.
        same_trainings: whether both terms are of the same trained models, so that seeds are paired like scenes.
    """

    first: SeedGroup
    second: SeedGroup
    metric: str
    than: str
    expected: int
    same_trainings: bool = False

    @property
    def seeds(self) -> int:
        """The smaller number of trainings on a side; a reference has none."""
        return min(len(line.rows) for line in (self.first, self.second) if not line.first.is_baseline)

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns [seeds, scenes] of either side, the scenes in the same order; paired seeds as a difference to zero.

        Raises:
            MissingRowsError: if there are no values by scene.
            ResultError: if the sides were scored on different scenes, or on fewer than 2.
        """
        sides = [_by_scene(self.first, self.metric), _by_scene(self.second, self.than)]
        if _scenes(self.first) != _scenes(self.second):
            raise ResultError(f"{_names(self.first, self.second)} are not comparable: scored on different scenes")
        if sides[0].shape[1] < 2:
            raise ResultError(f"a paired test needs at least 2 scenes, found {sides[0].shape[1]}")
        if self.same_trainings:
            return sides[0] - sides[1], np.zeros((1, sides[0].shape[1]))
        return sides[0], sides[1]


def comparisons_of(statement: Statement, choice: DataChoice, rows: Iterable[ResultRow]) -> list[Comparison]:
    """Returns all comparisons that a claim consists of, in the order of variants' names.

    Args:
        statement: the claim.
        choice: which rows belong to its data.
        rows: all rows of the results.

    Raises:
        MissingRowsError: if a pattern matches no row, or rows lack the metric.
        ResultError: if the rows that match may not be compared, naming what differs.
    """
    shelf = RowSelector(statement, choice, rows)
    if isinstance(statement, Below):
        lower, higher = (shelf.lines(side, contexts=statement.contexts) for side in (statement.lower, statement.higher))
        if both := sorted({line.variant for line in lower} & {line.variant for line in higher}):
            raise ResultError(f"{', '.join(both)} is both in 'lower' and in 'higher'")
        _require_one_key([*lower, *higher], but=statement.across)
        found = [Comparison(a, b, statement.metric, statement.metric, -1) for a in lower for b in higher]
    elif isinstance(statement, ContextHelps):
        found = list(_context_sizes(statement, shelf))
    elif isinstance(statement, Same):
        lines = shelf.lines(statement.variants, contexts=statement.contexts)
        if len(lines) < 2:
            raise MissingRowsError(f"found {lines[0].variant!r} alone, expected two variants or more")
        _require_one_key(lines)
        found = [Comparison(a, b, statement.metric, statement.metric, 0) for a, b in combinations(lines, 2)]
    elif isinstance(statement, Passes):
        lines = shelf.lines(statement.variants, contexts=statement.contexts)
        marks = shelf.references(statement.references, contexts=statement.contexts)
        _require_one_key([*lines, *marks])
        sign = _better(lines, statement.metric)
        found = [Comparison(a, b, statement.metric, statement.metric, sign) for a in lines for b in marks]
    else:
        assert isinstance(statement, BelowOwn)
        lines = shelf.lines(statement.variants, contexts=statement.contexts)
        _require_no_repeats(lines)
        found = [Comparison(line, line, statement.metric, statement.than, -1, same_trainings=True) for line in lines]
    return found


def _context_sizes(statement: ContextHelps, shelf: RowSelector) -> Iterator[Comparison]:
    more = shelf.lines(statement.variants, contexts=statement.more)
    fewer = shelf.lines(statement.variants, contexts=statement.fewer)
    sign = _better(more, statement.metric)
    for lines in (more, fewer):
        _require_no_repeats(lines)
    for line in more:
        partners = [other for other in fewer if _training(other) == _training(line)]
        partners = [other for other in partners if same_floor(floor_of(line.first), floor_of(other.first))]
        if len(partners) != 1 or _checkpoints(partners[0]) != _checkpoints(line):
            raise MissingRowsError(
                f"of {line.variant!r} the same trainings were not measured with both {statement.fewer} and {statement.more} "
                "context views"
            )
        yield Comparison(line, partners[0], statement.metric, statement.metric, sign, same_trainings=True)
    if alone := sorted({_training(line)[0] for line in fewer} - {_training(line)[0] for line in more}):
        raise MissingRowsError(f"{', '.join(map(str, alone))} has no row with {statement.more} context views")


def _training(line: SeedGroup) -> tuple[str, *tuple[object, ...]]:
    key = line.first.key
    assert key is not None
    others = tuple(value for name, value in key.model_dump().items() if name not in _CONTEXT)
    return line.variant, line.first.provenance.config_hash, *others


def _checkpoints(line: SeedGroup) -> list[tuple[int, int | None]]:
    """Returns seed and step of every row: two metrics or context sizes are of the same weights where these agree."""
    return [(row.provenance.seed, row.budget.steps if row.budget else None) for row in line.rows]


def _require_one_key(lines: Sequence[SeedGroup], *, but: Collection[str] = ()) -> None:
    """Raises ResultError unless all lines may be compared: one key, one floor, and one line a variant."""
    first = lines[0].first
    for line in lines[1:]:
        assert first.key is not None and line.first.key is not None
        found = _differences(first.key, line.first.key, but=but)
        if not found and not same_floor(floor_of(first), floor_of(line.first)):
            found = [f"floor {floor_of(first)} against {floor_of(line.first)}"]
        if found:
            raise ResultError(f"{_names(lines[0], line)} are not comparable: {', '.join(found)}")
    _require_no_repeats(lines)


def _require_no_repeats(lines: Sequence[SeedGroup]) -> None:
    seen: dict[tuple[str, ComparabilityKey | None], SeedGroup] = {}
    for line in lines:
        other = seen.setdefault((line.variant, line.first.key), line)
        if other is not line:
            raise ResultError(
                f"{line.variant!r} was trained or measured several times on the same scenes, by the rows {_called(other)} and "
                f"{_called(line)}: expected one training and one measurement a seed"
            )


def _called(line: SeedGroup) -> str:
    steps = f", {line.first.budget.steps} steps" if line.first.budget else ""
    return f"{line.first.id} (settings {line.first.provenance.config_hash}, seed {line.first.provenance.seed}{steps})"


def _better(lines: Sequence[SeedGroup], metric: str) -> int:
    for line in lines:
        if metric in line.first.metrics:
            higher = line.first.metrics[metric].higher_is_better
            if higher is None:
                raise ResultError(f"of {metric!r} neither more nor less is better; kind 'below' compares it")
            return 1 if higher else -1
    raise MissingRowsError(f"{lines[0].variant!r} has no {metric!r}{did_you_mean(metric, lines[0].first.metrics)}")


def _by_scene(line: SeedGroup, metric: str) -> np.ndarray:
    for row in line.rows:
        if metric not in row.per_scene:
            raise MissingRowsError(f"{line.variant!r} has no {metric!r} by scene{did_you_mean(metric, row.per_scene)}")
    return line.by_scene(metric)


def _scenes(line: SeedGroup) -> list[float]:
    return sorted(line.first.per_scene["scene"])


def _differences(key: ComparabilityKey, other: ComparabilityKey, *, but: Collection[str]) -> list[str]:
    return [phrase for phrase in key.differences(other) if phrase.split(" ", 1)[0] not in but]


def _names(first: SeedGroup, second: SeedGroup) -> str:
    return f"{first.variant!r} and {second.variant!r}"
