"""Tables of the page: comparisons with the numbers that cells are sorted by, failures, and the provenance of every row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from zoo.comparison.formatting import hardware_of
from zoo.comparison.markup import Table
from zoo.comparison.seed_groups import seed_groups
from zoo.results.row import ResultRow

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_RANK = "#"
# The cell of the best model is empty here, and yet the smallest.
_BEHIND = "behind"


class Cell(NamedTuple):
    """One cell: its text, the number it is sorted by (None: by its text), and whether it is bold."""

    text: str
    value: str | None
    bold: bool


class Column(NamedTuple):
    """One column: its head, whether it has numbers, and whether a larger one is better."""

    head: str
    is_number: bool
    higher_is_better: bool


class PageTable(NamedTuple):
    """A table of the page; the last ``baselines`` of its rows are not ranked."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    baselines: int


class Environment(NamedTuple):
    """A machine with its libraries."""

    name: str  # by which rows refer to it
    machine: str
    versions: str


def page_table(table: Table) -> PageTable:
    """Returns a comparison table with the number of every cell in a column of numbers; empty cells have none."""
    heads = [str(head) for head in table.frame.columns]
    return PageTable(
        title=table.title,
        columns=tuple(Column(head, head in table.numbers or head == _RANK, "↑" in head) for head in heads),
        rows=tuple(
            tuple(
                Cell(text, _value(text, head, row, table), bold=row == 0 and head == table.bold)
                for head, text in zip(heads, record, strict=True)
            )
            for row, record in enumerate(table.frame.itertuples(index=False))
        ),
        notes=table.notes,
        baselines=table.baselines,
    )


def plain_table(title: str, records: Sequence[Mapping[str, str]]) -> PageTable:
    """Returns a table of texts."""
    return page_table(Table(title, pd.DataFrame(records), numbers=frozenset()))


def _value(text: str, head: str, row: int, table: Table) -> str | None:
    """Returns the first number of a cell: of ``12.3 ± 0.4`` the estimate, of ``[1.0, 2.0]`` the lower end."""
    if head not in table.numbers and head != _RANK:
        return None
    if row == 0 and text == "" and head.startswith(_BEHIND) and len(table.frame) > table.baselines:
        return "0"
    found = _NUMBER.search(text)
    return found.group() if found else None


def provenance_of(rows: Sequence[ResultRow]) -> tuple[list[Environment], PageTable]:
    """Returns the environments in the order of their first row, and a table of all rows."""
    environments: dict[tuple[str, str], Environment] = {}
    records = []
    for row in rows:
        contents = (_machine(row), _versions(row))
        environment = environments.setdefault(contents, Environment(f"E{len(environments) + 1}", *contents))
        source, budget = row.provenance, row.budget
        git = source.git
        records.append(
            {
                "row": row.id,
                "variant": row.variant,
                "seed": str(source.seed),
                "status": row.status,
                "date (UTC)": source.utc,
                "commit": git.commit[:12] if git else f"version {source.version or 'unknown'}",
                "modified": "unknown" if git is None else "yes" if git.dirty else "no",
                "environment": environment.name,
                "settings": source.config_hash,
                "training": f"{budget.steps:,} steps of {budget.batch_size} scenes, {budget.seconds:,.0f} s"
                if budget
                else "",
                "command": source.command,
            }
        )
    return list(environments.values()), plain_table("Provenance of every row", records)


def failures_of(rows: Sequence[ResultRow]) -> PageTable:
    """Returns a table of the failed rows with their whole error texts."""
    records = [
        {
            "variant": row.variant,
            "seed": str(row.provenance.seed),
            "status": row.status,
            "error": row.error or "",
            "date (UTC)": row.provenance.utc,
            "command": row.provenance.command,
        }
        for row in rows
        if row.status != "ok"
    ]
    return plain_table("Failures", records)


def caveats_of(rows: Sequence[ResultRow]) -> list[str]:
    """Returns what weakens conclusions from the rows, one sentence each."""
    models = seed_groups(row for row in rows if row.status == "ok" and row.metrics and not row.is_baseline)
    sources = [row.provenance.git for row in rows]
    machines = {hardware_of(row) for row in rows if row.performance}
    commits = {git.commit for git in sources if git is not None}
    failed = sum(row.status != "ok" for row in rows)
    unknown = sum(git is None for git in sources)
    modified = sum(git is not None and git.dirty for git in sources)
    single = sum(len(group.rows) == 1 for group in models)
    found = [
        (failed, f"Failed, not ranked: {failed} of {len(rows)} rows."),
        (unknown, f"Code without a commit: {unknown} of {len(rows)} rows."),
        (modified, f"Code modified after its commit (marked +): {modified} of {len(rows)} rows."),
        (
            single,
            f"One seed: {single} of {len(models)} results. Their spread is over scenes; it does not include how training "
            "varies.",
        ),
        (len(machines) > 1, f"Speeds of {len(machines)} machines, which are not comparable with each other."),
        (len(commits) > 1, f"Rows of {len(commits)} commits."),
    ]
    return [sentence for applies, sentence in found if applies]


def _machine(row: ResultRow) -> str:
    hardware = row.provenance.hardware
    memory = f", {hardware.ram_bytes / 2**30:.0f} GiB" if hardware.ram_bytes else ""
    gpus = "".join(f", {gpu.name} ({gpu.memory_bytes / 2**30:.0f} GiB)" for gpu in hardware.gpus)
    cores = f"{hardware.cores} core{'s' if hardware.cores != 1 else ''}"
    threads = f"{hardware.threads} thread{'s' if hardware.threads != 1 else ''}"
    device = f"; on {row.provenance.device}" if row.provenance.device else ""
    return f"{hardware.cpu}, {cores}, {threads}{memory}{gpus}{device}"


def _versions(row: ResultRow) -> str:
    libraries = sorted((name, version) for name, version in row.provenance.versions.items() if version)
    ours = [("gqn-zoo", row.provenance.version)] if row.provenance.version else []
    return ", ".join(f"{name} {version}" for name, version in [*ours, *libraries])
