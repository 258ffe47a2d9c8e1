"""Tables for people, and their rendering for terminals, Markdown and LaTeX. Every text is escaped: names are data."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from zoo.errors import ResultError
from zoo.files import write_text

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the beginning of a row it would be an argument of the line break before it
    "]": "{]}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
} | {letter: f"\\{letter}" for letter in "&%$#_{}"}
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {letter: f"\\{letter}" for letter in "\\`*_[|~$"}
_WIDEST_CELL = 60  # letters; longer texts are broken into lines
_WIDEST_TEXT = 100  # letters of a title or note per line


@dataclass(frozen=True)
class Table:
    """One table for people, without markup."""

    title: str  # what was measured, in one line
    frame: pd.DataFrame  # the cells, all of them texts; the baselines are the last rows
    numbers: frozenset[str]  # the columns that are aligned to the right
    bold: str | None = None  # the column whose first cell is bold
    failures: Table | None = None  # the failed runs
    notes: tuple[str, ...] = ()  # what is needed to read the table
    baselines: int = 0  # how many rows at the end are baselines, set apart from the ranking


def escape_latex(text: str) -> str:
    """Returns a text that LaTeX prints as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def escape_markdown(text: str) -> str:
    """Returns a text that GitHub's Markdown shows as it is, in a table too."""
    return "".join(_MARKDOWN.get(letter, letter) for letter in text)


def to_markdown(tables: Sequence[Table]) -> str:
    """Returns the tables as GitHub Markdown."""
    parts = []
    for table in tables:
        parts.append(f"**{escape_markdown(table.title)}**")
        if len(table.frame):
            parts.append(_markdown_frame(table))
        if table.failures:
            parts += [f"{table.failures.title}:", _markdown_frame(table.failures)]
        if table.notes:
            parts.append("<sub>" + escape_markdown(" ".join(table.notes)) + "</sub>")
    return "\n\n".join(parts) + "\n"


def _marked_cells(table: Table, escape: Callable[[str], str], *, bold: str, italic: str) -> pd.DataFrame:
    """Returns the escaped cells with marks, such as ``**%s**``, around the bold cell and the cells of baselines."""
    cells = table.frame.map(escape)
    cells.columns = pd.Index(map(escape, table.frame.columns))
    models = len(cells) - table.baselines
    cells.iloc[models:] = cells.iloc[models:].map(lambda cell: cell and italic % cell)
    if table.bold is not None:
        cells.loc[0, escape(table.bold)] = bold % cells[escape(table.bold)].iloc[0]
    return cells


def _markdown_frame(table: Table) -> str:
    text = _marked_cells(table, escape_markdown, bold="**%s**", italic="*%s*").to_markdown(
        index=False,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if name in table.numbers else "left" for name in table.frame.columns],
    )
    assert isinstance(text, str)
    return text


def to_latex(tables: Sequence[Table]) -> str:
    """Returns the tables as LaTeX floats that need the packages booktabs and graphicx."""
    return "% needs \\usepackage{booktabs} and \\usepackage{graphicx}\n" + "\n".join(map(_latex_table, tables))


def _latex_table(table: Table) -> str:
    parts = []
    if len(table.frame):
        parts.append(_latex_frame(table))
    if table.failures:
        parts.append(f"{escape_latex(table.failures.title)}:\\par\n{_latex_frame(table.failures)}")
    if table.notes:
        parts.append(f"{{\\footnotesize {escape_latex(' '.join(table.notes))}\\par}}\n")
    body = "\\par\\medskip\n".join(parts)
    return f"\\begin{{table}}\n\\centering\n\\caption{{{escape_latex(table.title)}}}\n{body}\\end{{table}}\n"


def _latex_frame(table: Table) -> str:
    cells = _marked_cells(table, escape_latex, bold=r"\textbf{%s}", italic=r"\textit{%s}")
    tabular = cells.style.hide(axis="index").to_latex(
        hrules=True, column_format="".join("r" if name in table.numbers else "l" for name in table.frame.columns)
    )
    models = len(cells) - table.baselines
    if table.baselines and models:
        head, rule, body = tabular.partition("\\midrule\n")
        rows = body.split("\n")
        tabular = head + rule + "\n".join([*rows[:models], "\\midrule", *rows[models:]])
    # Wide tables are scaled down to the width of the page; narrow tables are not scaled up.
    fitted = tabular.rstrip("\n").replace(
        "\\begin{tabular}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n\\begin{tabular}",
        1,
    )
    return fitted + "}\n"


def to_terminal(tables: Sequence[Table], *, width: int) -> RenderableType:
    """Returns what a rich console prints; columns that do not fit into ``width`` letters are named below the table."""
    parts: list[RenderableType] = []
    console = Console(width=10_000)
    for table in tables:
        parts.append(Constrain(Text(table.title, style="bold"), _WIDEST_TEXT))
        notes = list(table.notes)
        if len(table.frame):
            hidden: list[str] = []
            frame, shown = table.frame, _rich_frame(table.frame, table)
            while frame.shape[1] > 2 and Measurement.get(console, console.options, shown).minimum > width:
                hidden.insert(0, str(frame.columns[-1]))
                frame = frame.iloc[:, :-1]
                shown = _rich_frame(frame, table)
            parts.append(shown)
            if hidden:
                notes.insert(0, f"Too wide for this terminal: {', '.join(hidden)}.")
        if table.failures:
            failures = table.failures
            parts += [Text(f"{failures.title}:", style="bold red"), _rich_frame(failures.frame, failures)]
        parts += [Constrain(Text(note, style="dim"), _WIDEST_TEXT) for note in notes]
        parts.append(Text())
    return Group(*parts)


def _rich_frame(frame: pd.DataFrame, table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for name in frame.columns:
        head = name.replace(" ↓", "↓").replace(" ↑", "↑")  # an arrow stays with its word
        # Heads and texts may be broken at spaces, numbers may not: a number cut short is another number.
        is_number = name in table.numbers
        words = [*head.split(), *(word for cell in frame[name] for word in ([cell] if is_number else cell.split()))]
        widest = max(map(cell_len, words), default=1)
        side: Literal["left", "right"] = "right" if is_number else "left"
        shown.add_column(
            Text(head),
            justify=side,
            min_width=widest if is_number else min(_WIDEST_CELL, widest),
            max_width=widest if is_number else _WIDEST_CELL,
            overflow="fold",
        )
    models = len(frame) - table.baselines
    for position, row in enumerate(frame.itertuples(index=False)):
        if position == models:
            shown.add_section()
        usual = "italic" if position >= models else ""
        styles = ["bold" if position == 0 and name == table.bold else usual for name in frame.columns]
        shown.add_row(*(Text(cell, style=style) for cell, style in zip(row, styles, strict=True)))
    return shown


def update_markdown_between_markers(path: Path, name: str, text: str) -> None:
    """Replaces the text between ``<!-- name:begin -->`` and ``<!-- name:end -->`` in a Markdown file.

    Raises:
        ResultError: if the file cannot be read, a marker is missing, occurs twice or in the wrong order, or if
            ``text`` holds a marker itself.
    """
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ResultError(f"marker name {name!r}: expected lower-case letters, digits, '-' and '_'")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    try:
        contents = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read as text: {error}") from error
    for marker in (begin, end):
        if contents.count(marker) != 1:
            raise ResultError(f"{path}: expected the marker {marker!r} once, found {contents.count(marker)} times")
        if marker in text:
            raise ResultError(f"the text for {path} contains the marker {marker!r} itself")
    start, stop = contents.index(begin) + len(begin), contents.index(end)
    if stop < start:
        raise ResultError(f"{path}: the marker {end!r} comes before {begin!r}")
    write_text(path, f"{contents[:start]}\n{text.strip()}\n{contents[stop:]}")
