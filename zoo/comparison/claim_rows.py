"""Which rows a claim is about: those of its data and numbers of views whose variants its patterns take in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from zoo.comparison.claim_file import DataChoice, Statement
from zoo.comparison.seed_groups import SeedGroup, seed_groups
from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ComparabilityKey, ResultRow


class MissingRowsError(ResultError):
    """There are no rows, or no figures in them, that could bear a claim out: nothing is known of it yet."""


class RowSelector:
    """The rows of one claim's data, by number of context views."""

    def __init__(self, statement: Statement, choice: DataChoice, rows: Iterable[ResultRow]) -> None:
        self._exclude = statement.exclude
        self._where = _words(statement, choice)
        chosen = [row for row in rows if row.status == "ok" and row.metrics]
        chosen = [row for row in chosen if row.key is not None and _is_of(row.key, statement, choice)]
        self._models = [row for row in chosen if not row.is_baseline]
        self._references = [row for row in chosen if row.is_baseline]

    def lines(self, patterns: Sequence[str], *, contexts: int) -> list[SeedGroup]:
        """Returns the models' lines that any of the patterns takes in; each pattern must take in one."""
        lines = [line for line in self._at(self._models, contexts) if not _matches(line.variant, self._exclude)]
        return self._chosen(lines, patterns, contexts=contexts)

    def references(self, patterns: Sequence[str], *, contexts: int) -> list[SeedGroup]:
        """Does the same for references; of those that were measured several times with one outcome one is kept."""
        kept: dict[object, SeedGroup] = {}
        for row in self._at(self._references, contexts):
            kept.setdefault((row.variant, row.first.key, str(row.first.metrics), str(row.first.per_scene)), row)
        return self._chosen(list(kept.values()), patterns, contexts=contexts, what="reference ")

    def _chosen(
        self, lines: list[SeedGroup], patterns: Sequence[str], *, contexts: int, what: str = ""
    ) -> list[SeedGroup]:
        for pattern in patterns:
            if not any(_matches(line.variant, [pattern]) for line in lines):
                known = sorted({line.variant for line in lines})
                hint = did_you_mean(pattern, known) if known else f"; there is no {what}row at all"
                views = "view" if contexts == 1 else "views"
                raise MissingRowsError(
                    f"no {what}row of {pattern!r} on {self._where}, {contexts} context {views}{hint}"
                )
        return [line for line in lines if _matches(line.variant, patterns)]

    @staticmethod
    def _at(rows: Sequence[ResultRow], contexts: int) -> list[SeedGroup]:
        lines = seed_groups(row for row in rows if row.key is not None and row.key.num_context == contexts)
        return sorted(lines, key=lambda line: (line.variant, line.first.provenance.config_hash, line.first.id))


def failures_of(statement: Statement, choice: DataChoice, rows: Iterable[ResultRow]) -> list[str]:
    """Returns the variants a claim's patterns match whose measurement on its data failed, so that they are not in it."""
    patterns = [pattern for name in ("variants", "lower", "higher") for pattern in getattr(statement, name, ())]
    failed = (row for row in rows if row.status != "ok" and row.key is not None and _is_of(row.key, statement, choice))
    return sorted(
        {
            f"{row.variant} (seed {row.provenance.seed}: {row.status})"
            for row in failed
            if _matches(row.variant, patterns) and not _matches(row.variant, statement.exclude)
        }
    )


def _is_of(key: ComparabilityKey, statement: Statement, choice: DataChoice) -> bool:
    return (
        key.dataset == choice.dataset
        and key.split == choice.split
        and choice.image_size in (None, key.image_size)
        and choice.task in (None, key.task)
        and key.revision.startswith(choice.revision or "")
        and statement.targets in (None, key.num_targets)
        and statement.likelihood in (None, key.likelihood)
        and (statement.sigma is None or f"{statement.sigma:.6g}" == f"{key.sigma or 0:.6g}")
    )


def _words(statement: Statement, choice: DataChoice) -> str:
    parts = [choice.dataset + (f"@{choice.revision}" if choice.revision else ""), choice.split]
    if choice.image_size:
        parts.append(f"{choice.image_size}x{choice.image_size} pixels")
    if choice.task:
        parts.append(f"task {choice.task}")
    if statement.targets is not None:
        parts.append(f"{statement.targets} target{'s' if statement.targets > 1 else ''}")
    if statement.likelihood is not None:
        parts.append(statement.likelihood)
    if statement.sigma is not None:
        parts.append(f"sigma {statement.sigma:g}")
    return ", ".join(parts)


def _matches(variant: str, patterns: Iterable[str]) -> bool:
    """Returns whether a pattern fits ``gqn-tower@quickstart``, as it stands or without its size."""
    names = variant, variant.partition("@")[0]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
