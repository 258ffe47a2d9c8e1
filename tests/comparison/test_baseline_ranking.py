"""Baselines are shown and not ranked, models that are not better than one are named; code lengths have their own boards."""

import base64
import csv
import io
import re

import numpy as np
import pytest
from rich.console import Console

from zoo.comparison.leaderboards import leaderboards_of, main_leaderboards
from zoo.comparison.markup import to_latex, to_markdown, to_terminal
from zoo.comparison.records import csv_of, leaderboard_records
from zoo.comparison.tables import tables_of
from zoo.figures.pareto_front import baselines_of, note_on_far_baselines
from zoo.report.page import page_of
from zoo.results.row import Budget, Metric, ModelFacts


@pytest.fixture
def make_baseline(make_row):
    def make(excess, variant="mean-image", **changes):
        nothing = {
            "model": ModelFacts(parameters=0),
            "budget": Budget(steps=0, batch_size=1, scenes_seen=0, seconds=0.0),
            "performance": {},
        }
        return make_row(excess, variant=variant, encoder="none", core=variant.replace("-", "_"), **nothing | changes)

    return make


@pytest.fixture
def rows(make_row, make_baseline, excess_of_scenes):
    generator = np.random.default_rng(4)
    made = [
        make_row(
            excess_of_scenes + shift + generator.normal(0, 0.3, 40), variant=name, seed=seed, speed=50.0 * (place + 1)
        )
        for place, (name, shift) in enumerate([("good", 1.0), ("fair", 3.0), ("poor", 6.0)])
        for seed in range(3)
    ]
    made.append(make_baseline(excess_of_scenes + 5.0 + generator.normal(0, 0.3, 40)))
    made.append(make_baseline(excess_of_scenes + 300.0, "nearest-view"))
    return made


def records_of(rows):
    return list(csv.DictReader(io.StringIO(csv_of(leaderboard_records(leaderboards_of(rows))))))


def test_baselines_are_not_ranked(rows):
    (board,) = leaderboards_of(rows)
    (alone,) = leaderboards_of(rows[:-2])
    assert [model.variant for model in board.models] == ["good", "fair", "poor"]
    assert [baseline.variant for baseline in board.baselines] == ["mean-image", "nearest-view"]
    assert board.decided and board.behind_best == alone.behind_best  # a baseline has one seed
    best = leaderboards_of([*rows[:9], rows[9].model_copy(update={"variant": "zero"})])[0]
    assert best.models == alone.models


def test_models_that_are_not_better_than_a_baseline_are_named(rows):
    (board,) = leaderboards_of(rows)
    named = {found.baseline.variant: [model.variant for model in found.not_better] for found in board.against_baselines}
    assert named == {"mean-image": ["poor"], "nearest-view": []}
    (note,) = [note for note in tables_of([board])[0].notes if "baselines" in note]
    assert "NOT better than mean-image: poor (paired" in note
    assert "Every model is better than nearest-view" in note


def test_of_many_models_that_are_not_better_the_others_are_named(make_row, make_baseline, excess_of_scenes):
    noise = np.random.default_rng(1).normal(0, 0.1, 40)
    shifts = {"good": -3.0, "fair": 1.0, "poor": 2.0}
    rows = [make_row(excess_of_scenes + shift + noise, variant=name) for name, shift in shifts.items()]
    note = tables_of(leaderboards_of([*rows, make_baseline(excess_of_scenes)]))[0].notes[-2]
    assert "Better than mean-image: good; the others are not" in note
    note = tables_of(leaderboards_of([*rows[1:], make_baseline(excess_of_scenes)]))[0].notes[-2]
    assert "NO model is better than mean-image" in note


def test_a_tie_with_a_baseline_is_not_better(make_row, make_baseline, excess_of_scenes):
    noise = np.random.default_rng(1).normal(0, 1, 40)
    (board,) = leaderboards_of(
        [make_row(excess_of_scenes + noise - noise.mean() - 0.01), make_baseline(excess_of_scenes)]
    )
    assert [model.variant for model in board.against_baselines[0].not_better] == ["gqn-tower"]
    # Whatever the ranking, models are compared with baselines by the excess.
    (board,) = leaderboards_of([make_row(excess_of_scenes - 2), make_baseline(excess_of_scenes)], sort="psnr")
    assert board.metric == "psnr" and board.against_baselines[0].not_better == ()


def test_the_note_on_baselines_states_only_what_was_measured(make_row, make_baseline, excess_of_scenes):
    baseline = make_baseline(excess_of_scenes + 9)
    without = make_row(excess_of_scenes, variant="unscored")
    without = make_row(excess_of_scenes, variant="unscored", metrics={"psnr": without.metrics["psnr"]})
    blind = make_row(excess_of_scenes, variant="untested", per_scene={})
    (board,) = leaderboards_of([without, blind, baseline])
    ((_, better, not_better, tested),) = board.against_baselines
    assert [model.variant for model in better] == ["untested"] and not not_better and not tested
    assert "Every scored model is better than mean-image" in tables_of([board])[0].notes[-2]
    worse = make_row(excess_of_scenes + 99, variant="worse")
    note = tables_of(leaderboards_of([without, blind, worse, baseline]))[0].notes[-2]
    assert "NOT better than mean-image: worse (paired t-tests, 95% each, or the means alone where no test" in note
    assert "unscored" not in note


def test_baselines_are_set_apart_below_the_ranking_in_every_format(rows):
    (table,) = tables_of(leaderboards_of(rows))
    assert table.baselines == 2 and table.frame["variant"].tolist()[-2:] == ["mean-image", "nearest-view"]
    assert table.frame["behind best [95%]"].tolist()[-2:] == ["", ""] and table.frame["#"].tolist()[-2:] == ["", ""]
    markdown = to_markdown([table])
    assert "| *mean-image*" in markdown and "*poor*" not in markdown and "**" not in markdown.split("*mean-image*")[1]
    latex = to_latex([table])
    assert latex.count("\\midrule") == 2 and latex.index("poor") < latex.rindex("\\midrule") < latex.index("mean-image")
    assert "\\textit{mean-image}" in latex
    console = Console(width=200, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(to_terminal([table], width=200))
    assert "\x1b[3mmean-image" in console.file.getvalue()
    records = records_of(rows)
    assert [record["baseline"] for record in records] == ["False"] * 3 + ["True"] * 2
    assert [record["rank"] for record in records] == ["1", "2", "3", "", ""]


def test_the_page_shows_baselines_without_a_rank_and_draws_the_near_one(rows):
    page = page_of(rows)
    assert page.count('<tr class="baseline">') == 2 and 'data-value="4"' not in page
    charts = re.findall('data:image/svg[^,]*,([^"]*)', page)
    assert len(charts) == 2  # the ranking, and the leaderboard with predictions
    for drawn in (base64.b64decode(chart).decode() for chart in charts):
        assert ">mean-image<" in drawn and ">nearest-view<" not in drawn
        assert "Baselines too far away to be drawn: nearest-view" in drawn
    assert page.count('<article class="card">') == 3  # baselines have no card


def test_a_baseline_is_drawn_if_it_is_near_the_models(rows):
    (board,) = leaderboards_of(rows)
    assert [(baseline.name, baseline.near) for baseline in baselines_of(board)] == [
        ("mean-image", True),
        ("nearest-view", False),
    ]
    assert "nearest-view (" in note_on_far_baselines(board) and "mean-image" not in note_on_far_baselines(board)
    assert note_on_far_baselines(leaderboards_of(rows[:-2])[0]) == ""


def test_a_table_of_baselines_alone_ranks_nothing(make_baseline, excess_of_scenes):
    (table,) = tables_of(leaderboards_of([make_baseline(excess_of_scenes)]))
    assert table.baselines == 1 and table.bold is None and len(table.frame) == 1
    assert "mean-image" in to_markdown([table]) and "mean-image" in to_latex([table])


def with_code_length(make_row, excess_of_scenes, *, bits, key, **changes):
    row = make_row(excess_of_scenes, key=key, **changes)
    metric = Metric(value=float(np.mean(bits)), n=len(bits), unit="bits/dim", higher_is_better=False)
    return make_row(
        excess_of_scenes,
        key=key,
        metrics=row.metrics | {"bits_per_dim": metric},
        per_scene=row.per_scene | {"bits_per_dim": np.asarray(bits).tolist()},
        **changes,
    )


def test_code_lengths_are_compared_over_likelihoods_and_bounds_are_not(make_row, make_key, excess_of_scenes):
    discrete = make_key(likelihood="discretised_logistic", sigma=None)
    generator = np.random.default_rng(2)
    rows = []
    for seed in range(3):
        bits = 3.0 + excess_of_scenes / 100 + generator.normal(0, 0.01, 40)
        same = {"bits": bits, "key": make_key(), "variant": "gaussian", "seed": seed}
        rows.append(with_code_length(make_row, excess_of_scenes, **same))
        other = {"bits": bits - 0.5, "key": discrete, "variant": "logistic", "seed": seed, "floor": 0.0}
        rows.append(with_code_length(make_row, excess_of_scenes, **other))
    boards = leaderboards_of(rows)
    first, second, of_codes = boards
    assert not first.of_code_length and not second.of_code_length and len(first.models) == len(second.models) == 1
    assert of_codes.of_code_length and of_codes.metric == "bits_per_dim" and of_codes.floor == 0.0
    assert [model.variant for model in of_codes.models] == ["logistic", "gaussian"] and of_codes.decided
    tables = tables_of(boards, columns="wide")
    assert all("bits/dim ↓" not in " ".join(table.frame.columns) for table in tables[:2])
    assert "bits/dim ↓" in tables[2].frame and not {"NELBO ↓", "PSNR (dB) ↑"} & set(tables[2].frame.columns)
    assert tables[2].title.endswith("lossless code length") and "8-bit values" in " ".join(tables[2].notes)
    assert [(bool(record["bits_per_dim"]), bool(record["nelbo"])) for record in records_of(rows)] == [
        (False, True),
        (False, True),
        (True, False),
        (True, False),
    ]
    assert main_leaderboards(boards) == boards
    # Of one likelihood alone, the code lengths add nothing to the bounds.
    assert main_leaderboards(leaderboards_of(rows[::2])) == leaderboards_of(rows[::2])[:1]
