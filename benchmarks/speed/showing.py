"""From a record of the suite to its tables and images: nothing in them is typed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.speed import against_plain, peak_memory, scaling
from benchmarks.speed.figures import Bar, BarPanel, PowerLaw, PowerLawPanel, bar_panels, power_law_panels
from benchmarks.speed.record import Measured, Scaling, SpeedRecord
from benchmarks.speed.targets import TARGETS, judge
from benchmarks.speed.work import SIDES
from zoo.comparison.markup import to_markdown
from zoo.comparison.table_rows import Table
from zoo.files import write_text

_SHOWN_AS = {"bytes": ("MiB", 2.0**20)}  # unit -> the unit shown, and how many of the one are in the other
_WITHOUT_UNIT = ("times", "1", "relative")
# Beside the times of the two ways stands what the times come from, in a table of its own.
_WORK = (against_plain.ARITHMETIC, against_plain.MADE, against_plain.FRACTION, against_plain.SAVED, "rate")


def tables_of(record: SpeedRecord) -> list[Table]:
    """Returns what was aimed at and reached, then every part."""
    tables = [_targets(record)] if judge(record) else []
    for part in record.parts:
        numbers = [measured for measured in record.measured if measured.part == part.name]
        if part.name == against_plain.PART:
            of_work = [measured for measured in numbers if measured.quantity.startswith(_WORK)]
            of_time = [measured for measured in numbers if measured not in of_work]
            tables.append(_pivot(f"{part.name}: time", of_time, notes=part.notes))
            tables.append(_by_side(f"{part.name}: arithmetic and memory", of_work))
        elif part.name == peak_memory.PART:
            tables.append(_by_side(part.name, numbers, notes=part.notes))
        elif part.name == scaling.PART:
            tables.append(_exponents(record.scalings, notes=part.notes))
        else:
            tables.append(_pivot(part.name, numbers, notes=part.notes))
    return [*tables, _failures(record)] if any(part.failures for part in record.parts) else tables


def markdown(record: SpeedRecord, *, images: Sequence[Path] = ()) -> str:
    """Returns all tables as one Markdown text, which says where the numbers come from."""
    hardware, git = record.provenance.hardware, record.provenance.git
    commit = "unknown" if git is None else git.commit[:8] + (" with changes" if git.dirty else "")
    gpus = "".join(f", {gpu.name}" for gpu in hardware.gpus)
    lines = [
        "# Speed",
        f"{record.provenance.utc}, commit {commit}, torch {record.provenance.versions['torch']}, {hardware.cpu}, "
        f"{hardware.cores} core(s), {hardware.threads} thread(s){gpus}. Sizes: {record.size}; {record.repeats} turns. "
        "Medians, with the 10th and 90th percentile of the turns in brackets; what is compared took turns.",
        f"Made by `{record.provenance.command}` in {sum(part.seconds for part in record.parts) / 60:.1f} minutes.",
        *(f"![{path.stem}]({path.name})" for path in images),
    ]
    return "\n\n".join(lines) + "\n\n" + to_markdown(tables_of(record))


def show(record: SpeedRecord, folder: Path) -> list[Path]:
    """Writes ``<name>.md`` and the images of what was measured; the same record always gives the same bytes."""
    folder = Path(folder)
    images = []
    if any(
        (measured.part, measured.quantity) == (against_plain.PART, against_plain.SPEED_UP)
        for measured in record.measured
    ):
        images.append(_bars(record, folder / f"{record.name}-ratios.png"))
    if record.scalings:
        images.append(_laws(record, folder / f"{record.name}-scaling.png"))
    text = folder / f"{record.name}.md"
    write_text(text, markdown(record, images=images))
    return [text, *images]


def _failures(record: SpeedRecord) -> Table:
    rows = [(part.name, failure) for part in record.parts for failure in part.failures]
    return _table("Not measured", pd.DataFrame(rows, columns=["part", "why"]), texts=("part", "why"))


def _table(title: str, frame: pd.DataFrame, *, texts: Sequence[str], notes: Sequence[str] = ()) -> Table:
    return Table(
        title=title,
        frame=frame,
        numbers=frozenset(frame.columns) - frozenset(texts),
        bold=None,
        failures=pd.DataFrame(),
        notes=tuple(notes),
    )


def _targets(record: SpeedRecord) -> Table:
    rows = [
        {
            "part": target.part,
            "of": target.subject,
            "in": target.action,
            "quantity": target.quantity,
            "target": f"{target.sense} {target.bound:g}{_unit(measured)}",
            "reached": _cell(measured) + _unit(measured),
            "holds": "yes" if holds else "no",
        }
        for target, measured, holds in judge(record)
    ]
    missing = len(TARGETS) - len(rows)
    notes = [f"{missing} target(s) were not measured in this run."] if missing else []
    return _table("Targets", pd.DataFrame(rows), texts=("part", "of", "in", "quantity", "holds"), notes=notes)


def _pivot(title: str, numbers: Sequence[Measured], *, notes: Sequence[str] = ()) -> Table:
    """One line for every subject and action, one column a quantity."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    columns: dict[str, None] = {"of": None, "in": None}
    for measured in numbers:
        column = measured.quantity + (f" ({unit})" if (unit := _unit(measured).strip()) else "")
        row = rows.setdefault((measured.subject, measured.action), {"of": measured.subject, "in": measured.action})
        row[column] = _cell(measured)
        columns[column] = None
    frame = pd.DataFrame(list(rows.values()), columns=list(columns) if rows else []).fillna("")
    return _table(title, frame, texts=("of", "in"), notes=notes)


def _by_side(title: str, numbers: Sequence[Measured], *, notes: Sequence[str] = ()) -> Table:
    """One line for every subject, action and way of computing, and one for what concerns both; units in the cells."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    columns: dict[str, None] = {"of": None, "in": None, "way": None}
    for measured in numbers:
        quantity, _, side = measured.quantity.rpartition(", ")
        if side not in SIDES:
            quantity, side = measured.quantity, "both"
        place = measured.subject, measured.action, side
        row = rows.setdefault(place, dict(zip(("of", "in", "way"), place, strict=True)))
        row[quantity] = _cell(measured) + _unit(measured)
        columns[quantity] = None
    frame = pd.DataFrame(list(rows.values()), columns=list(columns) if rows else []).fillna("")
    return _table(title, frame, texts=("of", "in", "way"), notes=notes)


def _exponents(scalings: Sequence[Scaling], *, notes: Sequence[str]) -> Table:
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
    return _table(scaling.PART, pd.DataFrame(rows), texts=("time of", "with"), notes=notes)


def _unit(measured: Measured) -> str:
    if measured.unit in _WITHOUT_UNIT:
        return ""
    return " " + _SHOWN_AS.get(measured.unit, (measured.unit, 1.0))[0]


def _cell(measured: Measured) -> str:
    _, scale = _SHOWN_AS.get(measured.unit, (measured.unit, 1.0))
    median = _digits(measured.median / scale)
    if measured.n == 1:
        return median
    return f"{median} ({_digits(measured.p10 / scale)} to {_digits(measured.p90 / scale)})"


def _digits(value: float) -> str:
    """Returns a number with three digits that count, very small ones with their power of ten."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    return f"{value:.1e}" if magnitude < -3 else f"{round(value, 2 - magnitude):.{max(0, 2 - magnitude)}f}"


def _bars(record: SpeedRecord, path: Path) -> Path:
    aims = {target.address: target.bound for target in TARGETS} if record.size == "full" else {}
    panels = []
    for quantity, words, line in (
        (against_plain.SPEED_UP, "times as fast as the plain loop", 1.0),
        (f"{against_plain.FRACTION}, fast", "arithmetic rate / rate of the fastest convolution", None),
    ):
        bars = [
            Bar(
                place=measured.action.replace(", ", "\n"),
                series=measured.subject,
                median=measured.median,
                low=measured.p10,
                high=measured.p90,
                aim=aims.get(measured.address),
            )
            for measured in record.measured
            if (measured.part, measured.quantity) == (against_plain.PART, quantity)
        ]
        if bars:
            panels.append(BarPanel(quantity=words, bars=bars, line=line))
    return bar_panels(path, panels=panels, title=_title(record))


def _laws(record: SpeedRecord, path: Path) -> Path:
    rows = []
    for action in dict.fromkeys(law.action for law in record.scalings):
        panels = []
        for axis in dict.fromkeys(law.axis for law in record.scalings):
            laws = [
                PowerLaw(
                    label=law.subject,
                    sizes=law.sizes,
                    median=law.seconds,
                    low=law.seconds_p10,
                    high=law.seconds_p90,
                    exponent=law.exponent,
                )
                for law in record.scalings
                if (law.action, law.axis) == (action, axis)
            ]
            panels.append(PowerLawPanel(along=axis, laws=laws))
        rows.append((f"time of {action}", panels))
    return power_law_panels(path, rows=rows, title=_title(record))


def _title(record: SpeedRecord) -> str:
    hardware = record.provenance.hardware
    return f"{hardware.cpu}, {hardware.threads} thread(s), float32, {record.size} sizes, {record.repeats} turns"
