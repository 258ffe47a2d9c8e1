"""Tables within tables: rows sorted into sections by what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from zoo.comparison.failures import without_superseded
from zoo.comparison.formatting import commit_of, hardware_of, sanitize
from zoo.comparison.leaderboards import Leaderboard, leaderboards_of
from zoo.comparison.metric_selection import require_metric
from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ResultRow


def _of_key(name: str) -> Callable[[ResultRow], object]:
    return lambda row: None if row.key is None else getattr(row.key, name)


FIELDS: Mapping[str, Callable[[ResultRow], object]] = MappingProxyType(
    {
        "bound": _of_key("bound"),
        "commit": commit_of,
        "contexts": _of_key("num_context"),
        "core": lambda row: row.core,
        "data": _of_key("dataset"),
        "encoder": lambda row: row.encoder,
        "hardware": hardware_of,
        "likelihood": _of_key("likelihood"),
        "sigma": _of_key("sigma"),
        "size": _of_key("image_size"),
        "split": _of_key("split"),
        "steps": lambda row: row.budget.steps if row.budget else None,
        "targets": _of_key("num_targets"),
        "task": _of_key("task"),
        "variant": lambda row: row.variant,
    }
)


def sections_of(
    rows: Iterable[ResultRow], *, group_by: Sequence[str] = (), sort: str | None = None
) -> list[tuple[str, Leaderboard]]:
    """Returns (heading, group of comparable rows) for every table, sections of equal ``group_by`` together.

    Only rows of one section are ranked with one another. Without ``group_by`` all headings are empty.

    Args:
        rows: in any order.
        group_by: names of :data:`FIELDS`, the outermost first.
        sort: the metric to rank by, where a table has it; None: the excess of the bound.

    Raises:
        ResultError: if there is no such field, no such metric, or no better direction of it.
    """
    rows = without_superseded(rows)
    if sort is not None:
        require_metric(rows, sort)
    for name in group_by:
        if name not in FIELDS:
            raise ResultError(f"rows cannot be grouped by {name!r}{did_you_mean(name, FIELDS)}")
    sections: dict[tuple[tuple[bool, float, str], ...], list[ResultRow]] = {}
    for row in rows:
        values = [FIELDS[name](row) for name in group_by]
        # Unknown last, numbers by size; the text as well, so that what is equal but not the same is kept in order.
        place = tuple(
            (v is None, v if isinstance(v, int | float) else 0.0, "" if v is None else str(v)) for v in values
        )
        sections.setdefault(place, []).append(row)
    found = []
    for place, members in sorted(sections.items(), key=lambda item: item[0]):
        words = (f"{name} {text or 'unknown'}" for name, (_, _, text) in zip(group_by, place, strict=True))
        found += [(sanitize(", ".join(words)), group) for group in leaderboards_of(members, sort=sort)]
    return found
