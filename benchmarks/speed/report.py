"""Tables and images of a record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.speed import against_plain, peak_memory, scaling
from benchmarks.speed.figures import bar_panels, scaling_panels
from benchmarks.speed.record import Measured, Scaling, SpeedRecord
from benchmarks.speed.targets import TARGETS, reached
from benchmarks.speed.work import SIDES
from zoo.files import write_text

_UNITS = {"bytes": ("MiB", 2.0**20), "times": ("", 1.0), "1": ("", 1.0), "relative": ("", 1.0)}  # shown as, divided by
# Quantities of the second table of the comparison with the textbook's loop.
_WORK = (against_plain.ARITHMETIC, against_plain.MADE, against_plain.FRACTION, against_plain.SAVED, "rate")


def write_report(record: SpeedRecord, folder: Path) -> list[Path]:
    """Writes ``<name>.md`` and the images; the same record gives the same bytes."""
    folder = Path(folder)
    images = []
    hardware = record.provenance.hardware
    title = f"{hardware.cpu}, {hardware.threads} thread(s), float32, {record.size} sizes, {record.repeats} turns"
    labels = {
        against_plain.SPEED_UP: "times as fast as the plain loop",
        f"{against_plain.FRACTION}, fast": "arithmetic rate / rate of the fastest convolution",
    }
    panels: dict[str, list[Measured]] = {}
    for measured in record.measured:
        if measured.part == against_plain.PART and measured.quantity in labels:
            panels.setdefault(labels[measured.quantity], []).append(measured)
    if panels:
        targets = {target.address: target.bound for target in TARGETS} if record.size == "full" else {}
        path = folder / f"{record.name}-ratios.png"
        images.append(bar_panels(path, panels=panels, targets=targets, title=title))
    if record.scalings:
        path = folder / f"{record.name}-scaling.png"
        images.append(scaling_panels(path, scalings=record.scalings, title=title))
    text = folder / f"{record.name}.md"
    write_text(text, markdown(record, images=images))
    return [text, *images]


def markdown(record: SpeedRecord, *, images: Sequence[Path] = ()) -> str:
    """Returns all tables as Markdown, with the provenance of the numbers."""
    hardware, git = record.provenance.hardware, record.provenance.git
    commit = "unknown" if git is None else git.commit[:8] + (" with changes" if git.dirty else "")
    gpus = "".join(f", {gpu.name}" for gpu in hardware.gpus)
    lines = [
        "# Speed",
        f"{record.provenance.utc}, commit {commit}, torch {record.provenance.versions['torch']}, {hardware.cpu}, "
        f"{hardware.cores} core(s), {hardware.threads} thread(s){gpus}. Sizes: {record.size}; {record.repeats} turns. "
        "Medians, with the 10th and 90th percentile of the turns in brackets; compared actions took turns.",
        f"Made by `{record.provenance.command}` in {sum(part.seconds for part in record.parts) / 60:.1f} minutes.",
        *(f"![{path.stem}]({path.name})" for path in images),
        tables(record),
    ]
    return "\n\n".join(lines) + "\n"


def tables(record: SpeedRecord) -> str:
    """Returns the targets and the tables of every part, as Markdown."""
    parts = [_targets(record)] if reached(record) else []
    for part in record.parts:
        numbers = [measured for measured in record.measured if measured.part == part.name]
        if part.name == against_plain.PART:
            work = [measured for measured in numbers if measured.quantity.startswith(_WORK)]
            times = [measured for measured in numbers if measured not in work]
            parts.append(_section(f"{part.name}: time", _pivot(times), notes=part.notes))
            parts.append(_section(f"{part.name}: arithmetic and memory", _pivot_by_side(work)))
        elif part.name == peak_memory.PART:
            parts.append(_section(part.name, _pivot_by_side(numbers), notes=part.notes))
        elif part.name == scaling.PART:
            parts.append(_section(part.name, _exponents(record.scalings), notes=part.notes))
        else:
            parts.append(_section(part.name, _pivot(numbers), notes=part.notes))
    failures = [(part.name, failure) for part in record.parts for failure in part.failures]
    if failures:
        parts.append(_section("Not measured", pd.DataFrame(failures, columns=["part", "why"])))
    return "\n\n".join(parts)


def _section(title: str, frame: pd.DataFrame, *, notes: Sequence[str] = ()) -> str:
    parts = [f"**{title}**"]
    if len(frame):
        texts = {"part", "of", "in", "way", "quantity", "holds", "time of", "with", "why"}
        align = ["left" if column in texts else "right" for column in frame.columns]
        parts.append(frame.to_markdown(index=False, tablefmt="pipe", colalign=align, disable_numparse=True))
    if notes:
        parts.append(f"<sub>{' '.join(notes)}</sub>")
    return "\n\n".join(parts)


def _targets(record: SpeedRecord) -> str:
    rows = [
        {
            "part": target.part,
            "of": target.subject,
            "in": target.action,
            "quantity": target.quantity,
            "target": f"{target.sense} {target.bound:g}{_unit(measured)}",
            "reached": _cell(measured) + _unit(measured),
            "holds": "yes" if target.holds(measured) else "no",
        }
        for target, measured in reached(record)
    ]
    missing = len(TARGETS) - len(rows)
    notes = [f"{missing} target(s) were not measured in this run."] if missing else []
    return _section("Targets", pd.DataFrame(rows), notes=notes)


def _pivot(numbers: Sequence[Measured]) -> pd.DataFrame:
    """Returns a row per subject and action, and a column per quantity and unit."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for measured in numbers:
        unit = _unit(measured).strip()
        row = rows.setdefault((measured.subject, measured.action), {"of": measured.subject, "in": measured.action})
        row[measured.quantity + (f" ({unit})" if unit else "")] = _cell(measured)
    return pd.DataFrame(list(rows.values())).fillna("")


def _pivot_by_side(numbers: Sequence[Measured]) -> pd.DataFrame:
    """Returns a row per subject, action and core, and a column per quantity; the units are in the cells."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for measured in numbers:
        quantity, _, side = measured.quantity.rpartition(", ")
        if side not in SIDES:
            quantity, side = measured.quantity, "both"
        key = measured.subject, measured.action, side
        row = rows.setdefault(key, dict(zip(("of", "in", "way"), key, strict=True)))
        row[quantity] = _cell(measured) + _unit(measured)
    return pd.DataFrame(list(rows.values())).fillna("")


def _exponents(scalings: Sequence[Scaling]) -> pd.DataFrame:
    rows = [
        {
            "time of": f"{law.action}, {law.subject}",
            "with": law.axis,
            "range": f"{law.sizes[0]} to {law.sizes[-1]}",
            "seconds": f"{_digits(law.seconds[0])} to {_digits(law.seconds[-1])}",
            "exponent": f"{law.exponent:.2f} ({law.exponent_p10:.2f} to {law.exponent_p90:.2f})",
            "between the two largest": f"{law.exponent_of_the_largest:.2f}",
        }
        for law in scalings
    ]
    return pd.DataFrame(rows)


def _unit(measured: Measured) -> str:
    unit, _ = _UNITS.get(measured.unit, (measured.unit, 1.0))
    return f" {unit}" if unit else ""


def _cell(measured: Measured) -> str:
    _, scale = _UNITS.get(measured.unit, (measured.unit, 1.0))
    median, low, high = (_digits(value / scale) for value in (measured.median, measured.p10, measured.p90))
    return median if measured.n == 1 else f"{median} ({low} to {high})"


def _digits(value: float) -> str:
    """Returns a number with three significant digits, very small ones with a power of ten."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    return f"{value:.1e}" if magnitude < -3 else f"{round(value, 2 - magnitude):.{max(0, 2 - magnitude)}f}"
