"""Leaderboards: the results that may be compared, ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

from zoo.comparison.comparability import (
    CODE_LENGTH,
    NotComparableError,
    code_length_key,
    difference_if_possible,
    same_floor,
    unlike_units,
)
from zoo.comparison.formatting import commit_of, hardware_of
from zoo.comparison.seed_groups import SeedGroup, grouped, seed_groups, without_superseded
from zoo.comparison.statistics import MIN_SEEDS, PairedDifference, holm
from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ComparabilityKey, ResultRow


class AgainstBaseline(NamedTuple):
    """A baseline and the models that have its metric, the excess of the bound or the code length.

    A model is better where the interval of the paired difference is below zero; by the means alone where no test is possible.
    """

    baseline: SeedGroup
    better: tuple[SeedGroup, ...]
    not_better: tuple[SeedGroup, ...]  # as far as these rows show
    tested: bool  # whether every model could be tested


@dataclass(frozen=True)
class Leaderboard:
    """The results that may be compared with one another.

    The ranking is ``decided`` if the best differs from every other ranked model (Holm, family-wise error 5 %, and every
    interval excludes zero); never where a ranked model has one seed.
    """

    section: str  # the values of the fields that the rows were grouped by, in one line; empty without grouping
    key: ComparabilityKey | None  # None for speed measurements and for failures before an evaluation
    of_code_length: bool  # whether lossless code length is the ranking; the key leaves likelihood and sigma open
    floor: float | None  # the least NELBO of the likelihood, nats per target; of code lengths 0 bits/dim
    metric: str | None  # of the ranking
    higher_is_better: bool
    models: tuple[SeedGroup, ...]  # in the order of their rank, those without the metric last
    baselines: tuple[SeedGroup, ...]  # results without training, such as the mean image, best first; not ranked
    against_baselines: tuple[AgainstBaseline, ...]
    behind_best: tuple[PairedDifference | None, ...]  # by how much the best is better than each other ranked model
    decided: bool
    failures: tuple[ResultRow, ...]

    @property
    def entries(self) -> tuple[SeedGroup, ...]:
        """The models, then the baselines."""
        return (*self.models, *self.baselines)

    @property
    def num_ranked(self) -> int:
        """How many models have the metric of the ranking."""
        return sum(model.estimate(self.metric) is not None for model in self.models) if self.metric else 0


def _of_key(name: str) -> Callable[[ResultRow], object]:
    return lambda row: getattr(row.key, name, None)


GROUP_FIELDS: Mapping[str, Callable[[ResultRow], object]] = MappingProxyType(
    {
        **{name: _of_key(name) for name in ("bound", "likelihood", "sigma", "split", "task")},
        "contexts": _of_key("num_context"),
        "data": _of_key("dataset"),
        "size": _of_key("image_size"),
        "targets": _of_key("num_targets"),
        **{name: attrgetter(name) for name in ("core", "encoder", "variant")},
        "steps": lambda row: row.budget and row.budget.steps,
        "commit": commit_of,
        "hardware": hardware_of,
    }
)


def leaderboards_of(
    rows: Iterable[ResultRow], *, sort: str | None = None, group_by: Sequence[str] = ()
) -> list[Leaderboard]:
    """Groups rows that may be compared and ranks each group; the order of the rows does not matter.

    Failures of jobs that succeeded later are left out. Only rows of one section are ranked with one another.

    Args:
        rows: in any order.
        sort: the metric of the ranking where a group has it; None: the excess of the bound. Code lengths are always
            ranked by their length.
        group_by: names of :data:`GROUP_FIELDS` that make sections, the outermost first.

    Raises:
        ResultError: if there is no such field, no such metric, or no better direction of it.
        NotComparableError: if rows of one leaderboard have the metric of the ranking in different units.
    """
    rows = without_superseded(rows)
    if sort is not None:
        having = [row.metrics[sort] for row in rows if sort in row.metrics]
        if not having:
            names = {name for row in rows for name in row.metrics}
            raise ResultError(f"--sort {sort}: no row has this metric{did_you_mean(sort, names)}")
        if all(found.higher_is_better is None for found in having):
            raise ResultError(f"--sort {sort}: neither direction of it is better")
    for name in group_by:
        if name not in GROUP_FIELDS:
            raise ResultError(f"--group-by: rows have no field {name!r}{did_you_mean(name, GROUP_FIELDS)}")

    def section_of(row: ResultRow) -> tuple[tuple[bool, float, str], ...]:
        """Sorts unknown values last, numbers by size, then texts."""
        values = [GROUP_FIELDS[name](row) for name in group_by]
        return tuple((v is None, v if isinstance(v, int | float) else 0.0, "" if v is None else str(v)) for v in values)

    boards = []
    for place, members in sorted(grouped(rows, section_of).items(), key=lambda item: item[0]):
        words = (f"{name} {text or 'unknown'}" for name, (_, _, text) in zip(group_by, place, strict=True))
        boards += _boards_of_section(members, sort=sort, section=", ".join(words))
    return boards


def main_leaderboards(boards: Sequence[Leaderboard]) -> list[Leaderboard]:
    """Returns one leaderboard per data set, task and likelihood: the one with the most context views.

    Of code lengths only those are kept that compare different likelihoods.
    """

    def views(board: Leaderboard) -> int:
        return board.key.num_context if board.key else 0

    def without_context(board: Leaderboard) -> tuple[object, ...]:
        floor = None if board.floor is None else f"{board.floor:.3g}"
        return board.section, floor, board.key and board.key.without_context()

    most = {without_context(board): views(board) for board in sorted(boards, key=views)}
    return [
        board
        for board in boards
        if views(board) == most[without_context(board)]
        and (not board.of_code_length or len({model.key and model.key.likelihood for model in board.models}) > 1)
    ]


def _ranking_metric(key: ComparabilityKey | None, groups: Sequence[SeedGroup]) -> str | None:
    """Returns the excess of the key's bound, the bound itself if no group has an excess, None if none has either."""
    if key is None:
        return None
    bound = "nelbo" if key.bound == "ELBO" else key.bound.lower().replace("-", "_")
    for metric in (f"{bound}_excess", bound):
        if any(group.estimate(metric) for group in groups):
            return metric
    return None


def _boards_of_section(rows: Sequence[ResultRow], *, sort: str | None, section: str) -> list[Leaderboard]:
    bounds = grouped(rows, lambda row: row.key)
    coded = [row for row in rows if row.status == "ok" and CODE_LENGTH in row.metrics]
    code_lengths = grouped(coded, lambda row: row.key and code_length_key(row.key))
    boards = [
        _ranked(part, key=key, sort=sort, section=section)
        for key in sorted(bounds, key=_place)
        for part in _split_by_floor(bounds[key])
    ]
    boards += [
        _ranked(code_lengths[key], key=key, sort=None, section=section, codes=True)
        for key in sorted(code_lengths, key=_place)
        if not all(row.is_baseline for row in code_lengths[key])
    ]
    return sorted(boards, key=lambda board: board.key is None)  # rows without an evaluation are the last


def _place(key: ComparabilityKey | None) -> tuple[bool, str]:
    return key is None, "" if key is None else f"{key.dataset} {key.label()} {key.model_dump_json()}"


def _ranked(
    rows: Sequence[ResultRow], *, key: ComparabilityKey | None, sort: str | None, section: str, codes: bool = False
) -> Leaderboard:
    """Ranks the rows of one key; ``codes`` ranks them by lossless code length."""
    groups = seed_groups(row for row in rows if row.status == "ok")
    failures = sorted(
        (row for row in rows if row.status != "ok"), key=lambda row: (row.variant, row.provenance.utc, row.id)
    )
    standard = CODE_LENGTH if codes else _ranking_metric(key, groups)
    asked = sort not in (None, CODE_LENGTH) and any(group.estimate(sort or "") for group in groups)
    metric = sort if asked else standard
    stated = next((group.first.metrics[metric] for group in groups if metric and group.estimate(metric)), None)
    higher_is_better = stated is not None and stated.higher_is_better is True

    def rank(group: SeedGroup) -> tuple[bool, float, str, str, str]:
        estimate = group.estimate(metric) if metric else None
        value = estimate.value if estimate else 0.0
        better_first = -value if higher_is_better else value
        return estimate is None, better_first, group.variant, group.first.provenance.utc, group.first.id

    models = sorted((group for group in groups if not group.first.is_baseline), key=rank)
    baselines = sorted((group for group in groups if group.first.is_baseline), key=rank)
    ranked = [model for model in models if metric and model.estimate(metric)]
    behind_best: tuple[PairedDifference | None, ...] = ()
    if metric:
        for model in ranked[1:]:
            if units := unlike_units(ranked[0], model, metric, metric):
                raise NotComparableError(
                    f"{ranked[0].variant!r} and {model.variant!r} cannot be ranked together: {units}"
                )
        pairs = [(ranked[0], other) if higher_is_better else (other, ranked[0]) for other in ranked[1:]]
        behind_best = tuple(difference_if_possible(a, b, metric) for a, b in pairs)
    tests = [found for found in behind_best if found is not None and found.excludes_zero and found.seeds >= MIN_SEEDS]
    floors = [group.floor for group in groups if group.floor is not None]
    return Leaderboard(
        section=section,
        key=key,
        of_code_length=codes,
        floor=0.0 if codes else min(floors, default=None),
        metric=metric,
        higher_is_better=higher_is_better,
        models=tuple(models),
        baselines=tuple(baselines),
        against_baselines=tuple(_against_baselines(models, baselines, metric=standard)) if standard else (),
        behind_best=behind_best,
        decided=bool(behind_best) and len(tests) == len(behind_best) and all(holm([test.p for test in tests])),
        failures=tuple(failures),
    )


def _against_baselines(
    models: Sequence[SeedGroup], baselines: Sequence[SeedGroup], *, metric: str
) -> Iterator[AgainstBaseline]:
    """Compares models with baselines by a metric of which lower is better."""
    scored = [(model, estimate.value) for model in models if (estimate := model.estimate(metric))]
    for baseline in baselines:
        level = baseline.estimate(metric)
        if level is None or not scored:
            continue
        better: list[SeedGroup] = []
        not_better: list[SeedGroup] = []
        tests = [difference_if_possible(model, baseline, metric) for model, _ in scored]
        for (model, value), test in zip(scored, tests, strict=True):
            (better if (value < level.value if test is None else test.high < 0) else not_better).append(model)
        yield AgainstBaseline(baseline, tuple(better), tuple(not_better), None not in tests)


def _split_by_floor(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Splits rows of one key whose likelihoods have different floors; failures go with the first part."""
    parts: list[list[ResultRow]] = []
    last: float | None = None
    floors = {row.id: SeedGroup((row,)).floor for row in rows}
    for row in sorted(rows, key=lambda row: (floors[row.id] is not None, floors[row.id] or 0.0, row.id)):
        if not parts or not same_floor(last, floors[row.id]):
            parts.append([])
        parts[-1].append(row)
        last = floors[row.id]
    return parts
