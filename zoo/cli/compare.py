"""``gqn-zoo compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.compare_screen import Format, differences, ranking

if TYPE_CHECKING:
    from zoo.results.row import ResultRow

REGRESSION = 1


def run(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="ROWS...",
            help="Result rows, what pytest-benchmark saved, folders with them (rows/ is looked for), or any of these in a git "
            "revision, as HEAD~1:results.",
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
        bool, typer.Option("--frontier", help="With -o: draw quality against each cost, a image for every table.")
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
    from zoo.comparison.markup import to_markdown, update_markdown_between_markers
    from zoo.errors import ResultError
    from zoo.results.store import load_rows

    runs = {}
    if between or fail or only_changed or split or factor is not None:
        for option, given in (("--columns", columns is not None), ("--sort", sort is not None)):
            if given:
                raise ResultError(f"{option} belongs to the ranking, not to --between")
        if group_by is not None or frontier or curves:
            raise ResultError("--group-by, --frontier and --curve belong to the ranking, not to --between")
        base, new = _two_sides(places, revision=revision)
        tables, sentences = differences(
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
            raise ResultError(f"{'--curve' if runs else '--frontier'}: needs -o, the folder for the image")
        tables = ranking(
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
        screen.log(f"--fail: {sentence}")
    if sentences:
        raise typer.Exit(REGRESSION)


def _names(text: str | None) -> list[str]:
    return [] if text is None else [name.strip() for name in text.split(",")]


def _two_sides(places: Sequence[str], *, revision: str | None) -> tuple[list[ResultRow], list[ResultRow]]:
    from zoo.errors import ResultError
    from zoo.results.store import load_rows

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
