"""Comparison tables as cells of a page: the texts of ``zoo.comparison.tables``, and what each is sorted by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from zoo.comparison.markup import Table

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
# An arrow or a sign stands beside its word, not on a line of its own.
_SIGNS = re.compile(r"\S+(?: [↑↓±])+$")
# The best line has nothing in this column, and yet stands before those that are behind it.
_BEHIND = "behind the best"


class Cell(NamedTuple):
    """One cell: its text, the number it is sorted by (None: by its text), and whether it stands out."""

    text: str
    value: str | None
    strong: bool


class Column(NamedTuple):
    """One column: its head, whose end stays on one line, whether it holds numbers, and whether a larger one is better."""

    head: str
    end: str
    is_number: bool
    higher_is_better: bool


class PageTable(NamedTuple):
    """A comparison table for the page; the last ``references`` of its lines have no place in the ranking."""

    identity: str
    title: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[Cell, ...], ...]
    failures: tuple[tuple[Cell, ...], ...]
    failure_columns: tuple[Column, ...]
    notes: tuple[str, ...]
    references: int


def page_tables(tables: Sequence[Table]) -> list[PageTable]:
    """Returns the tables in their order, with the numbers that they hold and no others.

    Where there is a ranking, the best line's empty cell of "behind the best" sorts as 0; every other empty cell has no
    number and is sorted last whichever way.
    """
    tables = [replace(table, frame=table.frame.drop(columns="#", errors="ignore")) for table in tables]
    return [
        PageTable(
            identity=f"table-{number}",
            title=table.title,
            columns=_columns(table.frame, table.numbers),
            lines=_lines(table.frame, table.numbers, bold=table.bold, ranked=len(table.frame) > table.baselines),
            failures=_lines(table.failures, frozenset({"seed"}), bold=None),
            failure_columns=_columns(table.failures, frozenset({"seed"})),
            notes=table.notes,
            references=table.baselines,
        )
        for number, table in enumerate(tables, start=1)
    ]


def _columns(frame: pd.DataFrame, numbers: frozenset[str]) -> tuple[Column, ...]:
    columns = []
    for name in map(str, frame.columns):
        signs = _SIGNS.search(name)
        end = signs.group() if signs else ""
        columns.append(
            Column(name.removesuffix(end).rstrip(), end, is_number=name in numbers, higher_is_better="↑" in name)
        )
    return tuple(columns)


def _lines(
    frame: pd.DataFrame, numbers: frozenset[str], *, bold: str | None, ranked: bool = False
) -> tuple[tuple[Cell, ...], ...]:
    lines = []
    for place, record in enumerate(frame.itertuples(index=False)):
        cells = []
        for name, text in zip(frame.columns, record, strict=True):
            value = _value(text) if name in numbers else None
            if place == 0 and ranked and text == "" and str(name).startswith(_BEHIND):
                value = "0"
            cells.append(Cell(text=text, value=value, strong=place == 0 and name == bold))
        lines.append(tuple(cells))
    return tuple(lines)


def _value(text: str) -> str | None:
    """Returns the first number of a cell: of ``12.3 ± 0.4 (n=3)`` the estimate, of ``1.5 [1.0, 2.0]`` the difference."""
    found = _NUMBER.match(text)
    return found.group() if found else None
