"""``gqn-zoo compare``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from zoo.report.columns import Table
    from zoo.results import ResultRow

REGRESSION = 1

Format = Literal["terminal", "markdown", "latex", "csv"]


def run(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="ROWS...",
            help="Result rows, folders with them (rows/ is looked for), or either in a git revision, as HEAD~1:results.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for comparison.csv, .md and .tex, or differences.*.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            metavar="FIELDS",
            help="Tables apart for data, task, split, contexts, core, encoder, variant, ...; several with commas.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAMES",
            help="The columns after the ranking: metrics, or parameters, steps, training_flops, commit, ...; several with "
            "commas. CSV always has all.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="METRIC",
            help="Rank by this metric where a table has it; differences and bold go with it. Default: the excess of the "
            "bound, bits/dim among codes.",
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Of what is printed: terminal, markdown, latex or csv.")
    ] = "terminal",
    frontier: Annotated[
        bool, typer.Option("--frontier", help="With -o: draw quality against each cost, a picture for every table.")
    ] = False,
    between: Annotated[
        bool,
        typer.Option("--between", help="Two places: print how the second differs from the first, with intervals."),
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="REV",
            help="Read the rows as they were in this git revision; with --between and one place: against it as it is now.",
        ),
    ] = None,
    fail: Annotated[
        list[str],
        typer.Option(
            "--fail",
            metavar="METRIC:AMOUNT",
            help="Leave with code 1 if a metric or speed got worse by more, in its unit or in % "
            "(nelbo_excess:0.5, train_scenes_per_second:-5%), and that is not undecided; may be given several times. "
            "Means --between.",
        ),
    ] = [],  # noqa: B006  (typer copies it)
    only_changed: Annotated[
        bool, typer.Option("--only-changed", help="Leave out what is undecided. Means --between.")
    ] = False,
    split: Annotated[
        bool, typer.Option("--split", help="Better, worse, changed and undecided in tables apart. Means --between.")
    ] = False,
    factor: Annotated[
        float | None,
        typer.Option(
            "-f", "--factor", min=1.0, help="Changes by less than this factor are undecided. Means --between."
        ),
    ] = None,
    curves: Annotated[
        list[str],
        typer.Option(
            "--curve", metavar="LABEL=RUN", help="Also plot the learning curve of a run; may be given several times."
        ),
    ] = [],  # noqa: B006  (typer copies it)
    metric: Annotated[str, typer.Option("--metric", help="What the curves show.")] = "eval/nelbo_excess",
    readme: Annotated[
        Path | None,
        typer.Option(
            "--readme",
            help="Put the Markdown table between this file's markers <!-- results:begin --> and <!-- results:end -->.",
        ),
    ] = None,
) -> None:
    """Rank results that may be compared, each kind of measurement in a table of its own; write CSV, Markdown and LaTeX.

    With --between, the base against what is new, line by line. Leaves with 0; with 1 if a --fail says so; with 2 if
    something is wrong with the rows or the request, or if they may not be compared: the message names what differs.
    """
    from zoo.cli import screen
    from zoo.errors import ResultError
    from zoo.report.markup import to_markdown, update_markdown_between_markers
    from zoo.results import load_rows

    runs = {}
    if between or fail or only_changed or split or factor is not None:
        for option, given in (("--columns", columns is not None), ("--sort", sort is not None)):
            if given:
                raise ResultError(f"{option} belongs to the ranking, not to --between")
        if group_by is not None or frontier or curves:
            raise ResultError("--group-by, --frontier and --curve belong to the ranking, not to --between")
        base, new = _two_sides(places, revision=revision)
        tables, sentences = _differences(
            base, new, fail=fail, only_changed=only_changed, split=split, factor=factor or 1.0, output=output, form=form
        )
    else:
        sentences = []
        rows = load_rows(places, revision=revision)
        for curve in curves:
            label, equals, folder = curve.partition("=")
            if not equals or not label or not folder:
                raise ResultError(f"--curve {curve}: expected LABEL=RUN")
            runs[label] = Path(folder)
        if output is None and (runs or frontier):
            raise ResultError(f"{'--curve' if runs else '--frontier'}: needs -o, the folder for the picture")
        tables = _ranking(
            rows,
            group_by=_names(group_by),
            columns=None if columns is None else _names(columns),
            sort=sort,
            form=form,
            output=output,
            frontier=frontier,
            runs=runs,
            metric=metric,
        )
    if readme is not None:
        update_markdown_between_markers(readme, "results", to_markdown(tables))
    for sentence in sentences:
        screen.tell(f"--fail: {sentence}")
    if sentences:
        raise typer.Exit(REGRESSION)


def _names(text: str | None) -> list[str]:
    return [] if text is None else [name.strip() for name in text.split(",")]


def _two_sides(places: Sequence[str], *, revision: str | None) -> tuple[list[ResultRow], list[ResultRow]]:
    from zoo.errors import ResultError
    from zoo.results import load_rows

    if len(places) == 2:
        base, new = (load_rows([place], revision=revision) for place in places)
        return base, new
    if len(places) > 2:
        raise ResultError(f"--between: found {len(places)} places, expected two: the base and the new one")
    if revision is not None:
        return load_rows(places, revision=revision), load_rows(places)
    rows = load_rows(places)
    if len(rows) != 2:
        raise ResultError(f"--between: found {len(rows)} rows, expected two: the base and the new one")
    return rows[:1], rows[1:]


def _ranking(
    rows: list[ResultRow],
    *,
    group_by: list[str],
    columns: list[str] | None,
    sort: str | None,
    form: Format,
    output: Path | None,
    frontier: bool,
    runs: dict[str, Path],
    metric: str,
) -> list[Table]:
    from zoo.cli import screen
    from zoo.report.cells import OTHERS
    from zoo.report.choice import require_columns
    from zoo.report.columns import table_of
    from zoo.report.frontier_plot import can_be_drawn, frontier_picture
    from zoo.report.grouping import sections_of
    from zoo.report.plots import learning_curves
    from zoo.report.tables import csv_of, write_sections

    if columns is not None:
        require_columns(rows, columns, others=OTHERS)
    sections = sections_of(rows, group_by=group_by, sort=sort)
    tables = [table_of(group, heading=heading, columns=columns) for heading, group in sections]
    _print(tables, form=form, csv=lambda: csv_of(group for _, group in sections))
    if output is not None:
        pictures = [learning_curves(runs, output / "curves.png", metric=metric)] if runs else []
        written = [*write_sections(sections, output, columns=columns), *pictures]
        for place, ((_, group), table) in enumerate(zip(sections, tables, strict=True), start=1):
            if frontier and can_be_drawn(group):
                written.append(frontier_picture(group, output / f"frontier-{place}.png", title=table.title))
        screen.tell("wrote " + ", ".join(map(str, written)))
    return tables


def _differences(
    base: list[ResultRow],
    new: list[ResultRow],
    *,
    fail: list[str],
    only_changed: bool,
    split: bool,
    factor: float,
    output: Path | None,
    form: Format,
) -> tuple[list[Table], list[str]]:
    from zoo.cli import screen
    from zoo.files import write_text
    from zoo.report.differences import csv_of_changes, tables_of_changes
    from zoo.report.markup import to_latex, to_markdown
    from zoo.report.matching import changes_between
    from zoo.report.thresholds import Threshold, broken

    thresholds = [Threshold.parse(text) for text in fail]
    changes = changes_between(base, new)
    tables = tables_of_changes(changes, only_changed=only_changed, split=split, factor=factor)
    sentences = broken(thresholds, changes)
    _print(tables, form=form, csv=lambda: csv_of_changes(changes))
    if output is not None:
        texts = {
            "differences.csv": csv_of_changes(changes),
            "differences.md": to_markdown(tables),
            "differences.tex": to_latex(tables),
        }
        for name, text in texts.items():
            write_text(output / name, text)
        screen.tell("wrote " + ", ".join(str(output / name) for name in texts))
    return tables, sentences


def _print(tables: Sequence[Table], *, form: Format, csv: Callable[[], str]) -> None:
    """Prints tables on standard output, for people or as they would be written to a file."""
    from zoo.cli import screen
    from zoo.report.markup import to_latex, to_markdown, to_terminal

    if form == "terminal":
        console = screen.results()
        console.print(to_terminal(tables, width=console.width))
    else:
        text = {"markdown": lambda: to_markdown(tables), "latex": lambda: to_latex(tables), "csv": csv}[form]()
        typer.echo(text, nl=False)
