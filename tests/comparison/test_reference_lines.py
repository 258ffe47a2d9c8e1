"""References are shown and never ranked; a model that does not pass one is named; codes have tables of their own."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.tables import csv_of, tables_of, to_latex, to_markdown, to_terminal
from zoo.figures.pareto_front import baselines_of, note_on_far_baselines
from zoo.report.page import page_of
from zoo.results.row import Budget, Metric, ModelFacts


@pytest.fixture
def make_reference(make_row):
    def make(excess, variant="mean-image", **changes):
        nothing = {
            "model": ModelFacts(parameters=0),
            "budget": Budget(steps=0, batch_size=1, scenes_seen=0, seconds=0.0),
            "performance": {},
        }
        return make_row(excess, variant=variant, encoder="none", core=variant.replace("-", "_"), **nothing | changes)

    return make


@pytest.fixture
def rows(make_row, make_reference, excess_of_scenes):
    generator = np.random.default_rng(4)
    made = [
        make_row(
            excess_of_scenes + shift + generator.normal(0, 0.3, 40), variant=name, seed=seed, speed=50.0 * (place + 1)
        )
        for place, (name, shift) in enumerate([("good", 1.0), ("fair", 3.0), ("poor", 6.0)])
        for seed in range(3)
    ]
    made.append(make_reference(excess_of_scenes + 5.0 + generator.normal(0, 0.3, 40)))
    made.append(make_reference(excess_of_scenes + 300.0, "nearest-view"))
    return made


def test_references_are_no_part_of_the_ranking(rows):
    (group,) = leaderboards_of(rows)
    (alone,) = leaderboards_of(rows[:-2])
    assert [line.variant for line in group.models] == ["good", "fair", "poor"]
    assert [line.variant for line in group.baselines] == ["mean-image", "nearest-view"]
    assert group.decided and group.differences == alone.differences  # a reference has one seed
    best = leaderboards_of([*rows[:9], rows[9].model_copy(update={"variant": "zero"})])[0]
    assert best.models == alone.models


def test_a_model_that_is_not_below_a_reference_is_named(rows):
    (group,) = leaderboards_of(rows)
    named = {reference.variant: [line.variant for line in lines] for reference, lines in group.not_better}
    assert named == {"mean-image": ["poor"], "nearest-view": []}
    (note,) = [note for note in tables_of(rows)[0].notes if "references" in note]
    assert "NOT better than the reference mean-image: poor (paired" in note
    assert "Every model is better than nearest-view" in note


def test_a_tie_with_a_reference_does_not_pass(make_row, make_reference, excess_of_scenes):
    noise = np.random.default_rng(1).normal(0, 1, 40)
    (group,) = leaderboards_of(
        [make_row(excess_of_scenes + noise - noise.mean() - 0.01), make_reference(excess_of_scenes)]
    )
    assert [line.variant for line in group.not_better[0][1]] == ["gqn-tower"]
    # Sorted by something else, the mark stays the excess.
    (group,) = leaderboards_of([make_row(excess_of_scenes - 2), make_reference(excess_of_scenes)], sort="psnr")
    assert group.metric == "psnr" and group.not_better[0][1] == ()


def test_references_stand_below_and_apart_in_every_format(rows):
    (table,) = tables_of(rows)
    assert table.baselines == 2 and table.frame["variant"].tolist()[-2:] == ["mean-image", "nearest-view"]
    assert table.frame["behind the best [95%]"].tolist()[-2:] == ["", ""]
    markdown = to_markdown([table])
    assert "| *mean-image*" in markdown and "*poor*" not in markdown and "**" not in markdown.split("*mean-image*")[1]
    latex = to_latex([table])
    assert latex.count("\\midrule") == 2 and latex.index("poor") < latex.rindex("\\midrule") < latex.index("mean-image")
    assert "\\textit{mean-image}" in latex
    console = Console(width=200, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(to_terminal([table], width=200))
    assert "\x1b[3mmean-image" in console.file.getvalue()
    records = list(csv.DictReader(io.StringIO(csv_of(leaderboards_of(rows)))))
    assert [record["reference"] for record in records] == ["False"] * 3 + ["True"] * 2
    assert [record["rank"] for record in records] == ["1", "2", "3", "", ""]


def test_the_page_shows_references_without_a_place_and_draws_the_near_one(rows):
    page = page_of(rows)
    assert page.count('<tr class="reference">') == 2 and 'data-value="4"' not in page
    assert page.count('class="mark-name end"') == page.count('class="mark"') > 0
    assert "Baselines too far away to be drawn: nearest-view" in page
    assert "Not registered here" not in page.split("mean-image")[-1]  # no card: there is nothing to tell of it


def test_a_reference_is_drawn_if_it_does_not_press_the_models_together(rows):
    (group,) = leaderboards_of(rows)
    assert [(baseline.name, baseline.near) for baseline in baselines_of(group)] == [
        ("mean-image", True),
        ("nearest-view", False),
    ]
    assert "nearest-view (" in note_on_far_baselines(group) and "mean-image" not in note_on_far_baselines(group)
    assert note_on_far_baselines(leaderboards_of(rows[:-2])[0]) == ""


def test_a_table_of_references_alone_ranks_nothing(make_reference, excess_of_scenes):
    (table,) = tables_of([make_reference(excess_of_scenes)])
    assert table.baselines == 1 and table.bold is None and len(table.frame) == 1
    assert "mean-image" in to_markdown([table]) and "mean-image" in to_latex([table])


def coded(make_row, excess_of_scenes, *, bits, key, **changes):
    row = make_row(excess_of_scenes, key=key, **changes)
    metric = Metric(value=float(np.mean(bits)), n=len(bits), unit="bits/dim", higher_is_better=False)
    return make_row(
        excess_of_scenes,
        key=key,
        metrics=row.metrics | {"bits_per_dim": metric},
        per_scene=row.per_scene | {"bits_per_dim": np.asarray(bits).tolist()},
        **changes,
    )


def test_codes_are_compared_over_likelihoods_and_bounds_are_not(make_row, make_key, excess_of_scenes):
    discrete = make_key(likelihood="discretised_logistic", sigma=None)
    generator = np.random.default_rng(2)
    rows = []
    for seed in range(3):
        bits = 3.0 + excess_of_scenes / 100 + generator.normal(0, 0.01, 40)
        rows.append(coded(make_row, excess_of_scenes, bits=bits, key=make_key(), variant="gaussian", seed=seed))
        rows.append(
            coded(make_row, excess_of_scenes, bits=bits - 0.5, key=discrete, variant="logistic", seed=seed, floor=0.0)
        )
    first, second, codes = leaderboards_of(rows)
    assert not first.codes and not second.codes and len(first.models) == len(second.models) == 1
    assert codes.codes and codes.metric == "bits_per_dim" and codes.floor == 0.0
    assert [line.variant for line in codes.models] == ["logistic", "gaussian"] and codes.decided
    tables = tables_of(rows)
    assert all("bits/dim ↓" not in " ".join(table.frame.columns) for table in tables[:2])
    assert "bits/dim ↓ ±" in tables[2].frame and not {"NELBO", "PSNR (dB) ↑"} & set(tables[2].frame.columns)
    assert tables[2].title.startswith("Codes of 8-bit values, over likelihoods: ") and "8-bit values" in tables[2].title
    records = list(csv.DictReader(io.StringIO(csv_of(leaderboards_of(rows)))))
    assert [(bool(record["bits_per_dim"]), bool(record["nelbo"])) for record in records] == [
        (False, True),
        (False, True),
        (True, False),
        (True, False),
    ]
