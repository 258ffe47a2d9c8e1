"""Tables in the languages of terminals, Markdown and LaTeX. Every text is escaped: names are data, never markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from zoo.comparison.table_rows import Table
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
_WIDEST_CELL = 60  # letters; only names are that long
_FAILED = "Failed, not ranked:"


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
            parts.append(_markdown_frame(table.frame, table.numbers, bold=table.bold, references=table.baselines))
        if len(table.failures):
            parts += [_FAILED, _markdown_frame(table.failures, frozenset({"seed"}), bold=None)]
        if table.notes:
            parts.append("<sub>" + escape_markdown(" ".join(table.notes)) + "</sub>")
    return "\n\n".join(parts) + "\n"


def _markdown_frame(frame: pd.DataFrame, numbers: frozenset[str], *, bold: str | None, references: int = 0) -> str:
    cells = frame.map(escape_markdown)
    cells.iloc[len(cells) - references :] = cells.iloc[len(cells) - references :].map(lambda cell: cell and f"*{cell}*")
    if bold is not None:
        cells.loc[0, bold] = f"**{cells[bold].iloc[0]}**"
    text = cells.to_markdown(
        index=False,
        headers=[escape_markdown(name) for name in frame.columns],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if name in numbers else "left" for name in frame.columns],
    )
    assert isinstance(text, str)
    return text


def to_latex(tables: Sequence[Table]) -> str:
    """Returns the tables as LaTeX floats that need the packages booktabs and graphicx."""
    return "% needs \\usepackage{booktabs} and \\usepackage{graphicx}\n" + "\n".join(map(_latex_table, tables))


def _latex_table(table: Table) -> str:
    parts = []
    if len(table.frame):
        parts.append(_latex_frame(table.frame, table.numbers, bold=table.bold, references=table.baselines))
    if len(table.failures):
        parts.append(escape_latex(_FAILED) + "\\par\n" + _latex_frame(table.failures, frozenset({"seed"}), bold=None))
    if table.notes:
        parts.append(f"{{\\footnotesize {escape_latex(' '.join(table.notes))}\\par}}\n")
    body = "\\par\\medskip\n".join(parts)
    return f"\\begin{{table}}\n\\centering\n\\caption{{{escape_latex(table.title)}}}\n{body}\\end{{table}}\n"


def _latex_frame(frame: pd.DataFrame, numbers: frozenset[str], *, bold: str | None, references: int = 0) -> str:
    cells = frame.map(escape_latex)
    models = len(cells) - references
    cells.iloc[models:] = cells.iloc[models:].map(lambda cell: cell and f"\\textit{{{cell}}}")
    if bold is not None:
        cells.loc[0, bold] = f"\\textbf{{{cells[bold].iloc[0]}}}"
    cells.columns = pd.Index([escape_latex(name) for name in frame.columns])
    tabular = cells.style.hide(axis="index").to_latex(
        hrules=True, column_format="".join("r" if name in numbers else "l" for name in frame.columns)
    )
    if references and models:
        head, rule, body = tabular.partition("\\midrule\n")
        lines = body.split("\n")
        tabular = head + rule + "\n".join([*lines[:models], "\\midrule", *lines[models:]])
    # Twenty columns are wider than a page; narrow tables are not blown up.
    fitted = tabular.rstrip("\n").replace(
        "\\begin{tabular}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n\\begin{tabular}",
        1,
    )
    return fitted + "}\n"


def to_terminal(tables: Sequence[Table], *, width: int) -> RenderableType:
    """Returns what a rich console prints; columns that do not fit into ``width`` letters are only named."""
    parts: list[RenderableType] = []
    for table in tables:
        parts.append(Text(table.title, style="bold"))
        if len(table.frame):
            hidden: list[str] = []
            frame = table.frame
            while frame.shape[1] > 2 and _rich_width(shown := _rich_frame(frame, table)) > width:
                hidden.insert(0, str(frame.columns[-1]))
                frame = frame.iloc[:, :-1]
            parts.append(shown if frame.shape[1] > 2 else _rich_frame(frame, table))
            if hidden:
                parts.append(Text(f"Too wide for this terminal: {', '.join(hidden)}.", style="dim"))
        if len(table.failures):
            failures = RichTable(*table.failures.columns, box=box.SIMPLE_HEAD)
            for row in table.failures.itertuples(index=False):
                failures.add_row(*map(Text, row))
            parts += [Text(_FAILED, style="bold red"), failures]
        parts += [Text(note, style="dim") for note in table.notes]
        parts.append(Text())
    return Group(*parts)


def _rich_frame(frame: pd.DataFrame, table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD)
    for name in frame.columns:
        # The head may be broken into lines, the cells may not: a number cut short is another number.
        head = name.replace(" ↓", "↓").replace(" ↑", "↑")  # an arrow does not stand on a line alone
        width = min(_WIDEST_CELL, max([cell_len(cell) for cell in frame[name]] + [len(word) for word in head.split()]))
        side: Literal["left", "right"] = "right" if name in table.numbers else "left"
        shown.add_column(Text(head), justify=side, min_width=width, max_width=width, overflow="ellipsis")
    models = len(frame) - table.baselines
    for position, row in enumerate(frame.itertuples(index=False)):
        if position == models:
            shown.add_section()
        usual = "italic" if position >= models else ""
        styles = ["bold" if position == 0 and name == table.bold else usual for name in frame.columns]
        cells = (Text(cell, style=style, no_wrap=True) for cell, style in zip(row, styles, strict=True))
        shown.add_row(*cells)
    return shown


def _rich_width(table: RichTable) -> int:
    console = Console(width=10_000)
    return Measurement.get(console, console.options, table).minimum


def update_markdown_between_markers(path: Path, name: str, text: str) -> None:
    """Replaces what stands between ``<!-- name:begin -->`` and ``<!-- name:end -->`` in a Markdown file.

    Raises:
        ResultError: if the file cannot be read, a marker is missing, occurs twice or in the wrong order, or if
            ``text`` holds a marker itself.
    """
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ResultError(f"marker name {name!r}: expected small letters, digits, '-' and '_'")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    try:
        contents = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read as text: {error}") from error
    for marker in (begin, end):
        if contents.count(marker) != 1:
            raise ResultError(f"{path}: expected the marker {marker!r} once, found {contents.count(marker)} times")
        if marker in text:
            raise ResultError(f"the text for {path} holds the marker {marker!r} itself")
    before, _, rest = contents.partition(begin)
    _, separator, after = rest.partition(end)
    if not separator:
        raise ResultError(f"{path}: the marker {end!r} stands before {begin!r}")
    write_text(path, f"{before}{begin}\n{text.strip()}\n{end}{after}")
