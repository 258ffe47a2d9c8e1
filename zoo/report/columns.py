"""What a comparison table shows: one cell a line and column, in words and digits for people."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import pandas as pd

from zoo.report.compare import Group, Line
from zoo.report.statistics import MIN_SCENES, RESAMPLES
from zoo.results import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT, ResultRow

_ERROR_LETTERS = 160
_HEADERS = {
    "nelbo": "NELBO",
    "kl": "KL",
    "bits_per_dim": "bits/dim ↓",
    "mse": "MSE ↓",
    "psnr": "PSNR (dB) ↑",
    "ssim": "SSIM ↑",
    "predictive_log_likelihood": "joint log-likelihood ↑",
    "marginal_log_likelihood": "marginal log-likelihood ↑",
    "rmse": "RMSE ↓",
    "wrong_context_nelbo_excess": "wrong-context excess",
}


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


def table_of(group: Group, *, omit: Collection[str] = ()) -> Table:
    """Lays out one group of comparable rows; columns that would be empty, and those in ``omit``, are left out."""
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
        title=_title(group),
        frame=pd.DataFrame(columns),
        numbers=frozenset(numbers),
        bold=_ranking_header(group) if group.decided else None,
        failures=failures,
        notes=tuple(_notes(group)),
    )


def clean(text: str) -> str:
    """Returns a text on one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def number(value: float, spread: float | None) -> tuple[str, str]:
    """Returns a value and its spread as texts, with as many digits as the spread allows: two of the spread itself.

    Without a spread the value has four significant digits.
    """
    if spread is None or spread <= 0:
        decimals = 3 if value == 0 else min(8, max(0, 3 - math.floor(math.log10(abs(value)))))
        return f"{value:.{decimals}f}", ""
    # Rounded first, so that 0.0999 counts as 0.10 and not as two digits behind 0.099.
    decimals = min(8, max(0, 1 - math.floor(math.log10(float(f"{spread:.1e}")))))
    return f"{value:.{decimals}f}", f"{spread:.{decimals}f}"


def commit_of(row: ResultRow) -> str:
    """Returns eight digits of the commit, with a plus if the code was changed after it, or else the version."""
    git, version = row.provenance.git, row.provenance.version
    if git is None:
        return f"v{version}" if version else ""
    return git.commit[:8] + ("+" if git.dirty else "")


def hardware_of(row: ResultRow) -> str:
    """Returns the accelerators that a row was measured on, or else the processor and its threads."""
    hardware = row.provenance.hardware
    if hardware.gpus and row.provenance.device != "cpu":
        names = sorted({gpu.name for gpu in hardware.gpus})
        return f"{len(hardware.gpus)}x {', '.join(names)}" if len(hardware.gpus) > 1 else names[0]
    return f"{hardware.cpu}, {hardware.threads} thread{'s' if hardware.threads > 1 else ''}"


def metric_header(metric: str) -> str:
    """Returns the words for a metric in the head of a table."""
    if match := re.fullmatch(r"(nelbo|iwae_(\d+))_excess", metric):
        return f"{'NELBO' if match[2] is None else f'IWAE-{match[2]}'} excess ↓"
    if match := re.fullmatch(r"iwae_(\d+)", metric):
        return f"IWAE-{match[1]}"
    return _HEADERS.get(metric, metric)


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
    columns: list[tuple[str, _Cell, bool]] = [
        ("variant", lambda line: line.variant, False),
        ("encoder", lambda line: line.first.encoder, False),
        ("core", lambda line: line.first.core, False),
        ("params (M)", lambda line: f"{line.first.model.parameters / 1e6:.2f}" if line.first.model else "", True),
        ("steps", lambda line: str(line.first.budget.steps) if line.first.budget else "", True),
    ]
    if group.metric is not None:
        columns.append((_ranking_header(group), lambda line: _with_spread(line, group.metric or ""), True))
        columns.append(("behind the best [95%]", lambda line: _behind(group, line), True))
    columns += [(metric_header(m), _metric_cell(m), True) for m in metrics if m != group.metric]
    columns += [
        ("train scenes/s ↑", lambda line: _timing(line, TRAIN_THROUGHPUT), True),
        ("predict images/s ↑", lambda line: _timing(line, PREDICT_THROUGHPUT), True),
        ("peak memory (MiB) ↓", _memory, True),
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


def _distinct(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _title(group: Group) -> str:
    if group.key is None:
        return "Without an evaluation"
    floor = "" if group.floor is None else f"; floor {group.floor:.1f} nats/target"
    return clean(group.key.label() + floor)


def _notes(group: Group) -> list[str]:
    if group.metric is None or not group.lines:
        return []
    bound = metric_header(group.metric).removesuffix(" ↓")
    seeds = {len(line.rows) for line in group.lines}
    notes = [
        "All bounds and KL are in nats per target; an excess is a bound minus the floor, the cost of a perfect "
        f"prediction. Lines are ranked by {bound}, lower is better."
    ]
    spreads = ["the standard error over scenes"] if 1 in seeds else []
    if max(seeds) > 1:
        spreads.append("the standard deviation over n seeds" + (" where n is given" if spreads else ""))
    notes.append(f"± is {', or '.join(spreads)}.")
    if group.differences:
        test = (
            f"paired bootstrap over scenes ({RESAMPLES} resamples, 95%, Holm correction for "
            f"{len(group.differences)} comparison{'s' if len(group.differences) > 1 else ''}, "
            f"at least {MIN_SCENES} scenes)"
        )
        if group.decided:
            notes.append(f"Bold: the best line differs from every other by a {test}.")
        else:
            notes.append(f"No line is bold: the best does not differ from every other by a {test}.")
        if 1 in seeds:
            notes.append("Of a line with one seed the test judges this trained model, not how training varies.")
    return notes
