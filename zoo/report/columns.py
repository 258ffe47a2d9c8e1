"""What a comparison table shows: one cell a line and column, in words and digits for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import pandas as pd

from zoo.report.compare import Group, Line
from zoo.report.footnotes import notes_of
from zoo.report.pareto import COSTS, frontiers, training_flops, training_seconds
from zoo.report.words import clean, commit_of, hardware_of, metric_header, number
from zoo.results import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT, ResultRow

__all__ = ["Table", "clean", "commit_of", "frontier_cells", "hardware_of", "metric_header", "number", "table_of"]

_ERROR_LETTERS = 160


@dataclass(frozen=True)
class Table:
    """One table for people, still without markup.

    Attributes:
        title: what was measured, in one line.
        frame: the lines, best first; every cell is a string, numbers included.
        numbers: the columns to be aligned to the right.
        bold: the column whose first cell stands out, None if no difference is established.
        failures: the failed runs, possibly empty.
        notes: what has to be known to read the table.
    """

    title: str
    frame: pd.DataFrame
    numbers: frozenset[str]
    bold: str | None
    failures: pd.DataFrame
    notes: tuple[str, ...]


def table_of(group: Group, *, omit: Collection[str] = (), heading: str = "") -> Table:
    """Lays out one group of comparable rows; columns that would be empty, and those in ``omit``, are left out.

    ``heading`` stands before the title.
    """
    columns: dict[str, list[str]] = {}
    numbers = set()
    for header, cell, is_number in _columns(group):
        cells = [clean(cell(line)) for line in group.lines]
        if header not in omit and any(cells):
            columns[header] = cells
            if is_number:
                numbers.add(header)
    failures = pd.DataFrame(
        [
            {
                "variant": clean(row.variant),
                "status": row.status,
                "error": clean(row.error or "")[:_ERROR_LETTERS],
                "seed": str(row.provenance.seed),
                "commit": commit_of(row),
            }
            for row in group.failures
        ]
    )
    return Table(
        title=f"{heading}: {_title(group)}" if heading else _title(group),
        frame=pd.DataFrame(columns),
        numbers=frozenset(numbers),
        bold=_ranking_header(group) if group.decided else None,
        failures=failures,
        notes=notes_of(group),
    )


def iwae_excesses(group: Group) -> list[str]:
    """Returns the names of the importance-weighted excesses that a group's lines have, by number of samples."""
    names = {name for line in group.lines for row in line.rows for name in row.metrics}
    return sorted((n for n in names if re.fullmatch(r"iwae_\d+_excess", n)), key=lambda n: int(n.split("_")[1]))


_Cell = Callable[[Line], str]


def _columns(group: Group) -> list[tuple[str, _Cell, bool]]:
    """Returns header, cell and whether it is a number, for every column that a table may have."""
    metrics = ["nelbo_excess", "nelbo", "kl", "bits_per_dim", *iwae_excesses(group)]
    metrics += ["predictive_log_likelihood", "marginal_log_likelihood", "rmse"]
    metrics += ["mse", "psnr", "ssim", "wrong_context_nelbo_excess"]
    frontier = frontier_cells(group)
    columns: list[tuple[str, _Cell, bool]] = [
        ("variant", lambda line: line.variant, False),
        ("encoder", lambda line: line.first.encoder, False),
        ("core", lambda line: line.first.core, False),
        ("params (M)", lambda line: f"{line.first.model.parameters / 1e6:.2f}" if line.first.model else "", True),
        ("steps", lambda line: _distinct(str(row.budget.steps) for row in line.rows if row.budget), True),
    ]
    if group.metric is not None:
        columns.append((_ranking_header(group), lambda line: _with_spread(line, group.metric or ""), True))
        columns.append(("behind the best [95%]", lambda line: _behind(group, line), True))
        columns.append(("on the frontier of", lambda line: frontier[group.lines.index(line)], False))
    columns += [(metric_header(m), _metric_cell(m), True) for m in metrics if m != group.metric]
    columns += [
        ("train scenes/s ↑", lambda line: _timing(line, TRAIN_THROUGHPUT), True),
        ("predict images/s ↑", lambda line: _timing(line, PREDICT_THROUGHPUT), True),
        ("peak memory (MiB) ↓", _memory, True),
        ("training (s) ↓", lambda line: _mean(line, training_seconds, 1.0), True),
        ("training (TFLOP) ↓", lambda line: _mean(line, training_flops, 1e12), True),
        ("hardware", lambda line: _distinct(hardware_of(row) for row in line.rows), False),
        ("commit", lambda line: _distinct(commit_of(row) for row in line.rows), False),
        ("seed", lambda line: _distinct(str(row.provenance.seed) for row in line.rows), True),
    ]
    return columns


def _ranking_header(group: Group) -> str:
    return f"{metric_header(group.metric or '')} ±"


def _metric_cell(metric: str) -> _Cell:
    def cell(line: Line) -> str:
        estimate = line.estimate(metric)
        return number(estimate.value, estimate.spread)[0] if estimate else ""

    return cell


def _with_spread(line: Line, metric: str) -> str:
    estimate = line.estimate(metric)
    if estimate is None:
        return ""
    value, spread = number(estimate.value, estimate.spread)
    seeds = f" (n={estimate.seeds})" if estimate.seeds > 1 else ""
    return (f"{value} ± {spread}" if spread else value) + seeds


def _behind(group: Group, line: Line) -> str:
    index = group.lines.index(line)
    if not 1 <= index <= len(group.differences):
        return ""
    difference = group.differences[index - 1]
    if difference is None:
        return ""
    value, _ = number(-difference.mean, difference.stderr)
    decimals = len(value.partition(".")[2])
    return f"{value} [{-difference.high:.{decimals}f}, {-difference.low:.{decimals}f}]"


def _timing(line: Line, name: str) -> str:
    medians = [row.performance[name].median for row in line.rows if name in row.performance]
    return number(sum(medians) / len(medians), None)[0] if medians else ""


def _memory(line: Line) -> str:
    peaks = [row.model.peak_memory_bytes for row in line.rows if row.model and row.model.peak_memory_bytes]
    return f"{max(peaks) / 2**20:.0f}" if peaks else ""


def frontier_cells(group: Group) -> list[str]:
    """Returns, for each line of a group, the costs on whose frontier it is: ``all``, ``none``, or their names."""
    if group.metric is None or not group.differences:
        return [""] * len(group.lines)
    cells = []
    for names in frontiers(group.lines, metric=group.metric):
        every = names is not None and len(names) == len(COSTS)
        cells.append("" if names is None else "all" if every else ", ".join(names) or "none")
    return cells


def _mean(line: Line, cost: Callable[[ResultRow], float | None], unit: float) -> str:
    found = [value / unit for row in line.rows if (value := cost(row)) is not None]
    return number(sum(found) / len(found), None)[0] if len(found) == len(line.rows) else ""


def _distinct(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _title(group: Group) -> str:
    if group.key is None:
        return "Without an evaluation"
    floor = "" if group.floor is None else f"; floor {group.floor:.1f} nats/target"
    return clean(group.key.label() + floor)
