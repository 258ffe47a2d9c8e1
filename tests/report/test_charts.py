"""Learning curves and cards of the page: their contents, and what is never mixed."""

import base64
import json
import re

import pytest
from ruamel.yaml import YAML

from zoo.comparison.leaderboards import leaderboards_of
from zoo.errors import ConfigError, ResultError
from zoo.provenance import hash_config
from zoo.registry.registry import default_registry
from zoo.report import cards
from zoo.report.cards import cards_of
from zoo.report.images import curve_charts, pareto_chart
from zoo.report.runs import find_runs
from zoo.results.row import ModelFacts, ResultRow

BAND = "FillBetween|PolyCollection"  # its name in an SVG file since matplotlib 3.10, and before
DATA = {"name": "rooms", "revision": "0123456789abcdef"}


@pytest.fixture
def make_run(tmp_path):
    """Returns a function that makes a run with values 100, 90, 80 ... at steps 10, 20, 30 ..."""

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


def svg(image):
    return base64.b64decode(image.address.removeprefix("data:image/svg+xml;base64,")).decode()


def test_runs_are_found_below_folders_and_named_like_rows(make_run, tmp_path):
    config_hash = make_run(seed=1)
    assert make_run(seed=0) == config_hash
    make_run("cvae")
    runs = find_runs([tmp_path, tmp_path / "runs"])
    assert [(run.label, run.seed) for run in runs] == [("cvae@smoke", 0), ("vae@smoke", 0), ("vae@smoke", 1)]
    assert runs[1].config_hash == config_hash


def test_seeds_become_a_mean_with_a_band(make_run, tmp_path):
    for seed, shift in enumerate([0.0, 3.0, 6.0]):
        make_run(seed=seed, shift=shift, points=5 - seed)
    (chart,) = curve_charts(find_runs([tmp_path]), [])
    # All three have reached step 30, with 80, 83 and 86.
    drawn = svg(chart.image)
    assert "vae@smoke (83.0 ± 3.0, n=3)" in drawn and re.search(BAND, drawn)
    assert "validation excess NELBO (nats/target)" in drawn and "wall-clock time (seconds)" in drawn
    assert any("one standard deviation" in note for note in chart.notes)
    assert "No row with FLOPs per training scene: vae@smoke." in chart.notes


def test_flops_come_from_the_row_of_the_same_settings(make_run, make_row, excess_of_scenes, tmp_path):
    config_hash = make_run()
    make_run("cvae")
    row = make_row(excess_of_scenes, variant="vae@smoke")
    row = rebuilt(
        row,
        model=ModelFacts(parameters=1, flops_per_training_scene=10**12),
        provenance=row.provenance.model_copy(update={"config_hash": config_hash}),
    )
    (chart,) = curve_charts(find_runs([tmp_path]), [row])
    # 50 steps of 4 scenes of 1 TFLOP.
    drawn = svg(chart.image)
    assert "training operations (TFLOP)" in drawn and ">200<" in drawn
    assert chart.notes == ("No row with FLOPs per training scene: cvae@smoke.",)


def test_unlike_runs_do_not_share_a_chart(make_run, tmp_path):
    make_run()
    make_run(seed=1, folder="sigma", changes=["training.sigma={start: 2.0, end: 0.5, steps: 2}"])
    make_run(seed=2, folder="targets", changes=["training.targets=2"])
    make_run(seed=3, folder="contexts", changes=["training.contexts.maximum=1"])
    charts = curve_charts(find_runs([tmp_path]), [])
    assert len(charts) == 4 and len({chart.caption for chart in charts}) == 4


def test_other_settings_and_repeats_have_curves_of_their_own(make_run, tmp_path):
    first = make_run(folder="a")
    make_run(folder="b")
    other = make_run(folder="c", changes=["core.channels=3"])
    (chart,) = curve_charts(find_runs([tmp_path]), [])
    for label in (f"vae@smoke ({first[:6]})", f"vae@smoke ({first[:6]}), repeat 2", f"vae@smoke ({other[:6]})"):
        assert svg(chart.image).count(f"{label} (60.00)") == 1


def test_damaged_logs_settings_and_unknown_metrics_are_errors(make_run, tmp_path):
    make_run()
    runs = find_runs([tmp_path])
    with pytest.raises(ResultError, match="no run has values of 'eval/nelbo'; did you mean 'eval/nelbo_excess'"):
        curve_charts(runs, [], metric="eval/nelbo")
    assert len(curve_charts(runs, [], metric="train/kl")) == 1
    (runs[0].folder / "metrics.jsonl").write_text('{"step": 1\n')
    with pytest.raises(ResultError, match=r"metrics\.jsonl, line 1: not valid JSON"):
        curve_charts(runs, [])
    (runs[0].folder / "config.yaml").write_text("variant: vae\n")
    with pytest.raises(ResultError, match=r"config\.yaml: size: missing"):
        find_runs([tmp_path])
    (runs[0].folder / "config.yaml").write_text("variant: [\n")
    with pytest.raises(ConfigError, match="config"):
        find_runs([tmp_path])


def test_a_run_without_values_is_left_out(make_run, tmp_path):
    make_run(log="")
    assert curve_charts(find_runs([tmp_path]), []) == []
    make_run(seed=1)
    (chart,) = curve_charts(find_runs([tmp_path]), [])
    assert "Some seeds have no value yet: vae@smoke." in chart.notes
    assert "vae@smoke (60.00)" in svg(chart.image)


def test_costs_are_those_of_the_rows(make_row, excess_of_scenes):
    def row(variant, shift, parameters):
        model = ModelFacts(parameters=parameters, flops_per_training_scene=10**9)
        return rebuilt(make_row(excess_of_scenes + shift, variant=variant), model=model)

    rows = [row("small", 2, 1_000_000), row("large", 0, 3_000_000), row("dominated", 4, 3_000_000)]
    (board,) = leaderboards_of(rows)
    image = pareto_chart(board, name="costs of <a>")
    drawn = svg(image)
    for label in ("1  large", "2  small", "3  dominated", "training operations (TFLOP)", "parameters (M)"):
        assert label in drawn
    assert "peak memory" not in drawn and image.name == "costs of <a>"
    assert pareto_chart(leaderboards_of(rows[:1])[0], name="a") is None


def test_a_card_states_whether_its_settings_are_those_of_the_rows(make_run, make_row, excess_of_scenes, tmp_path):
    def row(config_hash, variant="vae@smoke"):
        made = make_row(excess_of_scenes, variant=variant)
        return rebuilt(made, provenance=made.provenance.model_copy(update={"config_hash": config_hash}))

    changed = make_run(changes=["core.channels=3"])
    registered = make_run(seed=1)
    runs = [run for run in find_runs([tmp_path]) if run.config_hash == changed]
    rows = [row(changed), row(registered), row("f" * 16), row("e" * 16, "lab/strange")]
    found = {card.source: card for card in cards_of(rows, runs)}
    assert set(found) == {cards.OF_RUN, cards.OF_REGISTRY, cards.OTHER_HASH, cards.UNKNOWN}
    settings = {setting.name: setting.value for setting in found[cards.OF_RUN].settings}
    assert settings["core.channels"] == "3" and settings["training.sigma.end"] == "0.7"
    card = found[cards.OF_REGISTRY]
    assert card.title and "Kingma" in card.paper and "dz" in card.model
    assert "in the paper" not in dict(card.facts)
    assert ("core", "vae") in card.facts and ("parameters", "15,900,000") in card.facts
    assert any(fact.name == "training speed" and "on EPYC, 2 threads" in fact.value for fact in card.facts)
    assert found[cards.UNKNOWN].settings == () and ("core", "gqn") in found[cards.UNKNOWN].facts
