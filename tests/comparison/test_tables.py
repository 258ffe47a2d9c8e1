import csv
import io
import random
import re

import numpy as np
import pytest
from rich.console import Console

from zoo.comparison import tables
from zoo.comparison.formatting import number
from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.markup import to_latex, to_markdown, to_terminal, update_markdown_between_markers
from zoo.comparison.records import leaderboard_records
from zoo.errors import ResultError
from zoo.results.row import Budget, Metric

EVIL = "a|b<script>alert(1)</script>\nx_y%&$#{}~^\\[*`\x1b[31m"


def tables_of(rows, **options):
    return tables.tables_of(leaderboards_of(rows), **options)


def write_tables(rows, folder):
    return tables.write_tables(leaderboards_of(rows), folder, tables=tables_of(rows))


@pytest.fixture
def rows(make_row, make_failure, make_key, excess_of_scenes):
    generator = np.random.default_rng(1)

    def noisy(shift):
        return excess_of_scenes + shift + generator.normal(0, 0.3, 40)

    return [
        *(make_row(noisy(0), variant="best", speed=1234.0, seed=seed) for seed in range(3)),
        make_row(noisy(2), variant="seeds", seed=0),
        make_row(noisy(2), variant="seeds", seed=1),
        *(make_row(noisy(4), variant=EVIL, seed=seed) for seed in range(2)),
        make_row(noisy(0), variant="best", key=make_key(sigma=1.0)),
        make_failure(variant="broken", key=make_key(), error="no | memory\nleft"),
        make_failure(variant="early"),
    ]


def printed(rows, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(to_terminal(tables_of(rows), width=width))
    return console.file.getvalue()


def test_the_same_rows_in_any_order_give_the_same_bytes(rows, tmp_path):
    paths = write_tables(rows, tmp_path / "a")
    assert [path.name for path in paths] == ["comparison.csv", "comparison.md", "comparison.tex"]
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        for path, again in zip(paths, write_tables(rows, tmp_path / str(seed)), strict=True):
            assert path.read_bytes() == again.read_bytes()


def test_markdown_has_one_table_per_key_and_explains_its_terms_once(rows):
    text = to_markdown(tables_of(rows))
    titles = re.findall(r"^\*\*(.*)\*\*$", text, re.MULTILINE)
    assert len(titles) == 3
    assert titles[0] == "rooms 64x64: render from 3 context views, annealed\\_gaussian, sigma 0.7"
    assert titles[1].endswith("sigma 1") and titles[2] == "Without an evaluation"
    assert "floor 6909.1 nats/target" in text
    for once in (
        "Excess NELBO is the NELBO minus",
        "standard deviation over seeds",
        "Holm's correction",
        "Measured on",
    ):
        assert text.count(once) == 1
    assert (
        text.index("Excess NELBO is") < text.index(titles[1]) < text.index("Measured on EPYC, 2 threads. Commit ab12")
    )


def test_markdown_cells_cannot_break_the_table(rows):
    text = to_markdown(tables_of(rows))
    assert "<script" not in text and "\x1b" not in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(bars) == 1


def test_only_a_decided_winner_is_bold(rows):
    first, second, _ = tables_of(rows)
    assert first.bold == "excess NELBO ↓" and second.bold is None
    bold = re.findall(r"\| +\*\*([^|]*)\*\* \|", to_markdown([first]))
    assert bold == [first.frame["excess NELBO ↓"].iloc[0]]
    tied = tables_of([*rows[:3], *(row.model_copy(update={"variant": "twin"}) for row in rows[:3])])[0]
    assert tied.bold is None and any(note.startswith("No row is bold: the best does not") for note in tied.notes)
    single = tables_of([*rows[:3], rows[3]])[0]
    assert single.bold is None
    assert any(note.startswith("No row is bold: with one seed") for note in single.notes)


def test_several_seeds_are_one_row_with_their_number(rows):
    frame = tables_of(rows, columns="wide")[0].frame.set_index("variant")
    assert frame.loc["seeds", "seeds"] == "2" and frame.loc["best", "seeds"] == "3"
    assert " ± " in frame.loc["seeds", "excess NELBO ↓"]
    assert frame.loc["best", "train scenes per s ↑"] == "1234"
    assert frame.loc["best", "commit"] == "ab12ab12+"


def test_the_distance_to_the_best_is_positive_with_an_ordered_interval(make_row, excess_of_scenes):
    worse = excess_of_scenes + 2 + np.random.default_rng(3).normal(0, 0.5, 40)
    rows = [make_row(excess_of_scenes, variant="a"), make_row(worse, variant="b")]
    frame = tables_of(rows, columns="wide")[0].frame
    mean, low, high = map(float, re.findall(r"-?\d+\.\d+", frame["behind the best [95%]"].iloc[1]))
    assert 1.5 < low < mean < high < 2.5
    assert frame["behind the best [95%]"].iloc[0] == ""
    assert re.fullmatch(r"\[\d\.\d+, \d\.\d+\]", tables_of(rows)[0].frame["behind best [95%]"].iloc[1])


def test_empty_columns_are_dropped(make_row, excess_of_scenes):
    plain = tables_of([make_row(excess_of_scenes)])[0].frame
    assert not {"bits/dim ↓", "SSIM ↑", "KL", "excess IWAE-64 ↓"} & set(plain.columns)
    row = make_row(excess_of_scenes)
    more = {"kl": Metric(value=0.0, n=40, unit="nats/target")}
    more |= {f"iwae_{k}_excess": Metric(value=1.0, n=40, unit="nats/target") for k in (64, 8)}
    rows = [make_row(excess_of_scenes, variant="b", metrics=row.metrics | more), row]
    frame = tables_of(rows, columns="wide")[0].frame
    columns = frame.columns.tolist()
    assert columns.index("excess IWAE-64 ↓") < columns.index("excess IWAE-8 ↓")  # the tightest first
    assert frame["KL"].tolist() in (["0.00", ""], ["", "0.00"])


@pytest.mark.parametrize(
    ("value", "spread", "expected"),
    [
        (12.3456, 0.123, ("12.35", "0.12")),
        (12.3456, 0.0999, ("12.35", "0.10")),
        (6911.2345, 0.012, ("6911.234", "0.012")),
        (1234.5, 250.0, ("1234", "250")),
        (12.3456, None, ("12.35", "")),
        (0.00123456, None, ("0.001235", "")),
        (0.0, None, ("0.000", "")),
        (-3.0, 1.0, ("-3.0", "1.0")),
        (1e-12, 1e-13, ("0.00000000", "0.00000000")),
    ],
)
def test_digits_follow_the_standard_error(value, spread, expected):
    assert number(value, spread) == expected


def test_digits_can_be_limited():
    assert number(12.3456, 0.0123, most_decimals=2) == ("12.35", "0.01") and number(0.5, None, most_decimals=1) == (
        "0.5",
        "",
    )


def test_latex_is_escaped_and_balanced(rows):
    text = to_latex(tables_of(rows))
    assert "\\toprule" in text and "\\textbf{" in text and "\\pm" in text
    line = next(line for line in text.splitlines() if "a\\textbar{}b" in line)
    assert "x\\_y\\%\\&\\$\\#\\{\\}\\textasciitilde{}\\textasciicircum{}\\textbackslash{}{[}*`" in line
    assert "\\textless{}script\\textgreater{}" in line
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        cells = [line for line in table[1].splitlines() if line.endswith("\\\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in cells} == {len(table[0]) - 1}
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 3


def test_csv_has_every_number_unrounded(rows, tmp_path):
    path = write_tables(rows, tmp_path)[0]
    records = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert len(records) == 6
    best = records[0]
    values = [row.metrics["nelbo_excess"].value for row in rows[:3]]
    assert float(best["nelbo_excess"]) == np.mean(values)
    assert float(best["nelbo_excess_spread"]) == np.std(values, ddof=1)
    single = next(record for record in records if record["num_seeds"] == "1" and record["status"] == "ok")
    row = next(row for row in rows if row.id == single["rows"])
    assert float(single["nelbo_excess"]) == row.metrics["nelbo_excess"].value
    assert float(single["nelbo_excess_spread"]) == row.metrics["nelbo_excess"].stderr
    assert (best["rank"], best["bold"], best["parameters"], best["sigma"]) == ("1", "True", "15900000", "0.7")
    assert records[1]["seeds"] == "0 1" and float(records[1]["behind_best_low"]) > 0
    assert [record["status"] for record in records].count("oom") == 2
    assert all("\n" not in cell for record in records for cell in record.values())


@pytest.mark.parametrize("letter", ["=", "+", "-", "@"])
def test_csv_cells_are_no_formulas(make_row, excess_of_scenes, tmp_path, letter):
    path = write_tables([make_row(excess_of_scenes, variant=f"{letter}cmd()")], tmp_path)[0]
    assert next(csv.DictReader(io.StringIO(path.read_text())))["variant"] == f"'{letter}cmd()"


def test_terminal_shows_whole_numbers_and_says_what_does_not_fit(rows):
    for width in (300, 110, 70):
        text = printed(rows, width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        assert "no | memory left" in text and "\x1b" not in text
        assert ("Too wide" in text) == (width < 110)
    assert "[red]x" in printed([rows[0].model_copy(update={"variant": "[red]x"})], 300)


def test_markers(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# a\n<!-- results:begin -->\nold\n<!-- results:end -->\nend\n")
    update_markdown_between_markers(path, "results", "new\n")
    expected = "# a\n<!-- results:begin -->\nnew\n<!-- results:end -->\nend\n"
    assert path.read_text() == expected
    update_markdown_between_markers(path, "results", "new")
    assert path.read_text() == expected
    for name, text, message in [
        ("other", "x", "found 0 times"),
        ("Results", "x", "marker name"),
        ("results", "<!-- results:end -->", "contains the marker"),
    ]:
        with pytest.raises(ResultError, match=message):
            update_markdown_between_markers(path, name, text)
    assert path.read_text() == expected
    path.write_text("<!-- results:end --><!-- results:begin -->")
    with pytest.raises(ResultError, match="comes before"):
        update_markdown_between_markers(path, "results", "x")
    path.write_text(expected + "<!-- results:end -->")
    with pytest.raises(ResultError, match="found 2 times"):
        update_markdown_between_markers(path, "results", "x")
    with pytest.raises(ResultError, match="cannot be read"):
        update_markdown_between_markers(tmp_path / "missing.md", "results", "x")


def test_speeds_and_costs_are_means_over_seeds_in_tables_and_files(make_row, excess_of_scenes):
    rows = [
        make_row(
            excess_of_scenes,
            seed=seed,
            speed=speed,
            budget=Budget(steps=10, batch_size=4, scenes_seen=40, seconds=speed / 2),
        )
        for seed, speed in enumerate([100.0, 200.0])
    ]
    boards = leaderboards_of(rows)
    (record,) = leaderboard_records(boards)
    assert (record["seconds"], record["steps"], record["prediction_ms"]) == (75.0, 10, 0.75)
    names = ("train_scenes_per_second", "train_scenes_per_second_p10", "train_scenes_per_second_p90")
    assert [record[name] for name in names] == [150.0, 98.0, 204.0]
    (cells,) = tables.table_of(boards[0], columns=["training_seconds"], extra=names[:1]).frame.to_dict("records")
    assert (cells["training (s) ↓"], cells["train scenes per s ↑"]) == ("75.00", "150.0")


def test_speeds_and_times_of_several_machines_are_not_averaged(make_row, excess_of_scenes):
    boards = leaderboards_of([make_row(excess_of_scenes, seed=seed, cpu=f"cpu {seed}") for seed in range(2)])
    (record,) = leaderboard_records(boards)
    assert record["prediction_ms"] is None and "train_scenes_per_second" not in record
    (cells,) = tables.table_of(boards[0], columns="wide").frame.to_dict("records")
    assert not {"train scenes per s ↑", "training (s) ↓", "peak memory (MiB) ↓"} & set(cells)
