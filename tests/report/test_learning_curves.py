"""Curves, costs and cards of the page: what they are made of, and what they refuse to mix."""

import json

import numpy as np
import pytest
from ruamel.yaml import YAML

from zoo.comparison.leaderboards import leaderboards_of
from zoo.errors import ConfigError, ResultError
from zoo.provenance import hash_config
from zoo.registry.registry import default_registry
from zoo.report import cards
from zoo.report.cards import cards_of
from zoo.report.charts import Axis, Chart, Scale, Series
from zoo.report.costs import cost_figures
from zoo.report.learning_curves import curve_figures
from zoo.report.runs import find_runs
from zoo.results.row import ModelFacts, ResultRow

DATA = {"name": "rooms", "revision": "0123456789abcdef"}


@pytest.fixture
def make_run(tmp_path):
    """Returns a function that leaves a run with values 100, 90, 80 ... at steps 10, 20, 30 ..."""

    def make(name="vae", *, seed=0, shift=0.0, points=5, folder=None, changes=(), log=None):
        variant = default_registry().variant(name, size="smoke", overrides=changes)
        run = tmp_path / "runs" / (folder or f"{name}-{seed}")
        run.mkdir(parents=True)
        config = {**variant.config(), "seed": seed, "data": DATA}
        with (run / "config.yaml").open("w") as file:
            YAML(typ="safe").dump(config, file)
        lines = [
            {"step": 10 * n, "seconds": 2.0 * n + seed, "eval/nelbo_excess": 110.0 - 10 * n + shift, "train/kl": 1.0}
            for n in range(1, points + 1)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) if log is None else log)
        return hash_config(config)

    return make


def rebuilt(row, **changes):
    return ResultRow(**{name: getattr(row, name) for name in ResultRow.model_fields if name != "id"} | changes)


def test_runs_are_found_below_folders_and_named_like_rows(make_run, tmp_path):
    digest = make_run(seed=1)
    assert make_run(seed=0) == digest
    make_run("cvae")
    runs = find_runs([tmp_path, tmp_path / "runs"])
    assert [(run.label, run.seed) for run in runs] == [("cvae@smoke", 0), ("vae@smoke", 0), ("vae@smoke", 1)]
    assert runs[1].config_hash == digest


def test_seeds_become_a_mean_with_a_band(make_run, tmp_path):
    for seed, shift in enumerate([0.0, 3.0, 6.0]):
        make_run(seed=seed, shift=shift, points=5 - seed)
    (figure,) = curve_figures(find_runs([tmp_path]), [], styles={"vae@smoke": 4})
    assert [(entry.style, entry.label) for entry in figure.legend] == [(4, "vae@smoke")]
    # All three have come to step 30, where they are at 80, 83 and 86.
    assert figure.legend[0].last == "83.0 ± 3.0 at step 30, n=3"
    assert all(chart.svg.count('class="band') == 1 for chart in figure.charts)
    assert [chart.title for chart in figure.charts] == [
        "validation excess NELBO (nats/target) against training steps",
        "validation excess NELBO (nats/target) against wall-clock time (seconds)",
    ]
    assert any("one standard deviation over the n seeds" in note for note in figure.notes)
    assert "Without a row that tells the FLOPs of a training scene: vae@smoke." in figure.notes


def test_flops_come_from_the_row_of_the_same_settings(make_run, make_row, excess_of_scenes, tmp_path):
    digest = make_run()
    make_run("cvae")
    row = make_row(excess_of_scenes, variant="vae@smoke")
    row = rebuilt(
        row,
        model=ModelFacts(parameters=1, flops_per_training_scene=10**12),
        provenance=row.provenance.model_copy(update={"config_hash": digest}),
    )
    (figure,) = curve_figures(find_runs([tmp_path]), [row], styles={})
    # 50 steps of 4 scenes of 1 TFLOP.
    assert figure.charts[2].title.endswith("against training cost (TFLOP)")
    assert figure.charts[2].svg.count('<path class="line') == 1 and figure.charts[0].svg.count('<path class="line') == 2
    assert ">200<" in figure.charts[2].svg


def test_unlike_runs_do_not_share_a_figure(make_run, tmp_path):
    make_run()
    make_run(seed=1, folder="sigma", changes=["training.sigma={start: 2.0, end: 0.5, steps: 2}"])
    make_run(seed=2, folder="targets", changes=["training.targets=2"])
    make_run(seed=3, folder="contexts", changes=["training.contexts.maximum=1"])
    figures = curve_figures(find_runs([tmp_path]), [], styles={})
    assert len(figures) == 4 and len({figure.title for figure in figures}) == 4


def test_other_settings_and_repeats_have_lines_of_their_own(make_run, tmp_path):
    first = make_run(folder="a")
    make_run(folder="b")
    other = make_run(folder="c", changes=["core.channels=3"])
    (figure,) = curve_figures(find_runs([tmp_path]), [], styles={"vae@smoke": 0, "x": 1})
    labels = [entry.label for entry in figure.legend]
    assert sorted(labels) == sorted(
        [f"vae@smoke ({first[:6]})", f"vae@smoke ({first[:6]}), repeat 2", f"vae@smoke ({other[:6]})"]
    )
    assert sorted(entry.style for entry in figure.legend) == [0, 2, 3]


def test_damaged_logs_settings_and_unknown_metrics_are_told(make_run, tmp_path):
    make_run()
    runs = find_runs([tmp_path])
    with pytest.raises(ResultError, match="no run has values of 'eval/nelbo'; did you mean 'eval/nelbo_excess'"):
        curve_figures(runs, [], styles={}, metric="eval/nelbo")
    assert len(curve_figures(runs, [], styles={}, metric="train/kl")) == 1
    (runs[0].folder / "metrics.jsonl").write_text('{"step": 1\n')
    with pytest.raises(ResultError, match=r"metrics\.jsonl, line 1: not valid JSON"):
        curve_figures(runs, [], styles={})
    (runs[0].folder / "config.yaml").write_text("variant: vae\n")
    with pytest.raises(ResultError, match=r"config\.yaml: size: missing"):
        find_runs([tmp_path])
    (runs[0].folder / "config.yaml").write_text("variant: [\n")
    with pytest.raises(ConfigError, match="config"):
        find_runs([tmp_path])


def test_a_run_that_has_logged_nothing_is_passed_over(make_run, tmp_path):
    make_run(log="")
    assert curve_figures(find_runs([tmp_path]), [], styles={}) == []
    make_run(seed=1)
    (figure,) = curve_figures(find_runs([tmp_path]), [], styles={})
    assert "Some seeds have logged no value yet: vae@smoke." in figure.notes
    assert figure.legend[0].last.startswith("60")


@pytest.mark.parametrize("logarithmic", [False, True])
def test_scales_keep_their_order_and_their_edges(logarithmic):
    values = np.array([1.0, 5.0, 40.0])
    scale = Scale.of([values], logarithmic=logarithmic, length=100)
    places = scale.at(values)
    assert (np.diff(places) > 0).all() and places[0] >= 0 and places[-1] <= 100
    assert scale.at(np.array([1e9]))[0] == 100 and len(scale.ticks) >= 3
    if logarithmic:
        assert np.isclose(*np.diff(scale.at(np.array([2.0, 4.0, 8.0]))))


def test_a_constant_and_a_single_point_can_be_drawn():
    ones = np.ones(3)
    for places in (np.arange(3.0), np.zeros(1)):
        line = Series(0, "a<b", places, *(ones[: len(places)],) * 3)
        svg = Chart.of([line], horizontal=Axis.whole("steps"), vertical="x < y").svg
        assert "nan" not in svg and "inf" not in svg and "a<b" not in svg and "a&lt;b" in svg
        assert "x < y" not in svg and 'aria-label="x &lt; y against steps"' in svg


def test_many_points_are_thinned_and_the_last_one_stays():
    line = Series(0, "a", *(np.arange(5000.0),) * 4).thinned()
    assert len(line.places) == 300 and line.places[0] == 0 and line.means[-1] == 4999


def test_costs_are_those_of_the_rows_and_the_front_leaves_out_what_is_beaten(make_row, excess_of_scenes):
    def row(variant, shift, parameters, **changes):
        made = make_row(excess_of_scenes + shift, variant=variant, **changes)
        model = ModelFacts(parameters=parameters, flops_per_training_scene=10**9)
        return rebuilt(made, model=model)

    rows = [row("small", 2, 1_000_000), row("large", 0, 3_000_000), row("beaten", 4, 3_000_000)]
    styles = {"small": 0, "large": 1, "beaten": 2}
    (figure,) = cost_figures(leaderboards_of(rows), styles=styles)
    assert figure.legend == ((1, 1, "large"), (2, 0, "small"), (3, 2, "beaten"))
    titles = [chart.title.partition(" against ")[2] for chart in figure.charts]
    assert titles == [
        "training cost (TFLOP)",
        "training time (seconds)",
        "parameters (millions)",
        "prediction (ms an image)",
    ]
    parameters = next(chart for chart in figure.charts if "parameters" in chart.title)
    assert parameters.svg.count('class="front"') == 1 and parameters.svg.count('class="disc') == 3
    # From the small one to the right, then down to the large one: three corners.
    (front,) = [part for part in parameters.svg.split("<path ") if part.startswith('class="front"')]
    assert front.count("L") == 2
    mixed = [rows[0], row("large", 0, 3_000_000, cpu="Xeon")]
    (figure,) = cost_figures(leaderboards_of(mixed), styles=styles)
    assert [chart.title.partition(" against ")[2].split(" (")[0] for chart in figure.charts] == [
        "training cost",
        "parameters",
    ]
    assert any("measured on 2 machines" in note for note in figure.notes)
    assert cost_figures(leaderboards_of(rows[:1]), styles=styles) == []


def test_a_card_says_whether_its_settings_are_those_of_the_rows(make_run, make_row, excess_of_scenes, tmp_path):
    def row(digest, variant="vae@smoke"):
        made = make_row(excess_of_scenes, variant=variant)
        return rebuilt(made, provenance=made.provenance.model_copy(update={"config_hash": digest}))

    changed = make_run(changes=["core.channels=3"])
    registered = make_run(seed=1)
    runs = [run for run in find_runs([tmp_path]) if run.config_hash == changed]
    rows = [row(changed), row(registered), row("f" * 16), row("e" * 16, "lab/strange")]
    found = {card.source: card for card in cards_of(rows, runs)}
    assert set(found) == {cards.OF_RUN, cards.OF_REGISTRY, cards.OTHER_DIGEST, cards.UNKNOWN}
    settings = {setting.name: setting.value for setting in found[cards.OF_RUN].settings}
    assert settings["core.channels"] == "3" and settings["training.sigma.end"] == "0.7"
    card = found[cards.OF_REGISTRY]
    assert card.title and "Kingma" in card.paper and "dz" in card.models and card.published == ()
    assert ("core", "vae") in card.parts and ("parameters", "15,900,000") in card.facts
    assert any(fact.name == "training speed" and "on EPYC, 2 threads" in fact.value for fact in card.facts)
    assert found[cards.UNKNOWN].settings == () and ("core", "gqn") in found[cards.UNKNOWN].parts
