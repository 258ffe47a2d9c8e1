import csv
import io
import json
import re

import pytest
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.curves import Curve, Point, curve_of, draw_curves, learning_curves, read_curve
from zoo.figures.style import svg_of

BAND = "FillBetween|PolyCollection"  # its name in an SVG file since matplotlib 3.10, and before
METRIC = "eval/nelbo_excess"


def write_run(folder, records, *, tail=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return folder


def records(scale=1.0, steps=10):
    for step in range(0, 100 * steps, 100):
        yield {"step": step, "seconds": step / 2, "scenes": 36 * step, "train/nelbo": 7000.0}
        yield {"step": step, "seconds": step / 2, "scenes": 36 * step, METRIC: scale * 1000.0 / (step + 100)}


@pytest.fixture
def runs(tmp_path):
    return {
        "gqn": write_run(tmp_path / "a", records()),
        "_draw $x$ <b>": write_run(tmp_path / "b", records(2.0)),
        "new": write_run(tmp_path / "c", [{"step": 0, "seconds": 0.0, "train/nelbo": 7000.0}]),
    }


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_images_and_their_figures_are_written(runs, tmp_path, suffix):
    target = learning_curves(runs, tmp_path / f"curves{suffix}", title="50% of $5")
    first = target.read_bytes()
    assert len(first) > 3000
    rows = list(csv.DictReader(io.StringIO(target.with_suffix(".csv").read_text())))
    assert [row["run"] for row in rows] == ["gqn"] * 10 + ["_draw $x$ <b>"] * 10
    assert (float(rows[1]["step"]), float(rows[1]["seconds"]), float(rows[1][METRIC])) == (100, 50, 5)
    learning_curves(runs, target, title="50% of $5")
    assert target.read_bytes() == first


def test_axes_name_their_units_and_labels_are_no_markup(runs, tmp_path):
    svg = learning_curves(runs, tmp_path / "curves.svg").read_text()
    assert "training steps" in svg and "wall-clock time (minutes)" in svg
    assert "validation excess NELBO (nats/target)" in svg
    assert "_draw $x$ &lt;b&gt;" in svg and "new (no values yet)" in svg


def test_png_has_the_resolution_of_print(runs, tmp_path):
    with Image.open(learning_curves(runs, tmp_path / "curves.png")) as image:
        assert image.width >= 1500


def test_other_metrics_of_the_log(runs, tmp_path):
    svg = learning_curves(runs, tmp_path / "a.svg", metric="train/nelbo").read_text()
    assert "training NELBO (nats/target)" in svg and "no values yet" not in svg


@pytest.mark.parametrize("tail", ['{"step": 1000, "sec', "{", '{"step": 1000, "seconds": 1.0}'])
def test_a_line_still_being_written_is_left_out(tmp_path, tail):
    folder = write_run(tmp_path / "a", records(), tail=tail)
    assert len(read_curve(folder / "metrics.jsonl", metric=METRIC)) == 10


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("{\n", "line 21: not valid JSON"),
        ("\n", "line 21: not valid JSON"),
        ("[]\n", "line 21: expected an object, found list"),
        ("NaN\n", "line 21: not valid JSON: found NaN, expected a finite number"),
        ('{"step": 1.5, "seconds": 1}\n', "line 21: step: expected a whole number, found 1.5"),
        ('{"step": true, "seconds": 1}\n', "line 21: step"),
        ('{"step": 1e999, "seconds": 1}\n', "line 21: step: expected a whole number, found inf"),
        ('{"seconds": 1}\n', "line 21: step: expected a whole number, found None"),
        ('{"step": 2}\n', "line 21: seconds"),
        ('{"step": 2, "seconds": 1, "eval/nelbo_excess": "3"}\n', "line 21: eval/nelbo_excess: expected a number"),
        ("\x00\xff\n", "line 21: not valid JSON"),
    ],
)
def test_other_damage_names_file_and_line(tmp_path, tail, message):
    folder = write_run(tmp_path / "a", records(), tail=tail)
    with pytest.raises(ResultError, match=message) as caught:
        learning_curves({"a": folder}, tmp_path / "curves.png")
    assert str(folder / "metrics.jsonl") in str(caught.value)
    assert not (tmp_path / "curves.png").exists()


def test_values_after_the_checkpoint_of_a_resumed_run_are_left_out(tmp_path):
    first = [{"step": step, "seconds": step, METRIC: 1.0} for step in (100, 200, 300, 400)]
    again = [{"step": step, "seconds": 1000 + step, METRIC: 2.0} for step in (300, 400, 500)]
    folder = write_run(tmp_path / "a", first + again)
    points = read_curve(folder / "metrics.jsonl", metric=METRIC)
    assert [(point.step, point.value) for point in points] == [
        (100, 1.0),
        (200, 1.0),
        (300, 2.0),
        (400, 2.0),
        (500, 2.0),
    ]


def test_a_step_that_a_resumed_run_repeats_first_counts_once(tmp_path):
    logged = [{"step": step, "seconds": float(step), METRIC: value} for step, value in ((5, 3.0), (10, 2.0), (10, 1.0))]
    points = read_curve(write_run(tmp_path / "run", logged) / "metrics.jsonl", metric=METRIC)
    assert points == [Point(5, 5.0, 3.0), Point(10, 10.0, 1.0)]


def test_requests_that_cannot_be_met(runs, tmp_path):
    for wanted, metric, message in [
        (runs, "eval/nelbo_exces", "no run has values of 'eval/nelbo_exces'; did you mean 'eval/nelbo_excess'"),
        ({}, METRIC, "no runs"),
        ({"a": tmp_path / "missing"}, METRIC, "cannot be read"),
    ]:
        with pytest.raises(ResultError, match=message):
            learning_curves(wanted, tmp_path / "a.png", metric=metric)
    with pytest.raises(ResultError, match="ends with one of"):
        learning_curves(runs, tmp_path / "a.bmp")


def log(*values, first=10):
    return [Point(step, step / 2.0, value) for step, value in enumerate(values, start=first)]


def test_seeds_become_a_mean_with_a_band_up_to_the_last_common_step():
    curve = curve_of("gqn", [log(9.0, 80.0, 5.0), log(11.0, 83.0), log(10.0, 86.0), []], flops_per_step=1e12)
    assert curve.steps.tolist() == [10, 11] and curve.seconds.tolist() == [5.0, 5.5]
    assert curve.per_seed.shape == (3, 2) and curve.spread.tolist() == [1.0, 3.0] and curve.waiting == 1
    assert curve.last == "83.0 ± 3.0, n=3"
    svg = svg_of(draw_curves([curve], metric=METRIC)).decode()
    assert "training operations (TFLOP)" in svg and "gqn (83.0 ± 3.0, n=3)" in svg and re.search(BAND, svg)


def test_a_single_point_a_constant_and_a_curve_without_values_can_be_drawn():
    empty = curve_of("empty", [[]])
    curves = [curve_of("point", [log(3.0)]), curve_of("constant", [log(1.0, 1.0, 1.0)]), empty]
    svg = svg_of(draw_curves(curves, metric="train/loss <")).decode()
    assert "nan" not in svg and "inf" not in svg and "train/loss &lt;" in svg
    assert isinstance(empty, Curve) and empty.last == "no values yet"


def test_long_logs_are_thinned():
    svg = svg_of(draw_curves([curve_of("a", [log(*range(1, 20_001))])], metric=METRIC))
    assert len(svg) < 100_000
