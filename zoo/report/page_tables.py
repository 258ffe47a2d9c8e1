"""Tables of the page: cells with the numbers that they are sorted by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from zoo.comparison.markup import Table

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
