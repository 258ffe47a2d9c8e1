"""Data without images through all commands, at sizes of seconds."""

import json

import pytest

from zoo.results.store import load_rows


def succeeded(outcome):
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    return outcome


@pytest.mark.parametrize(
    ("recipe", "variants", "what"),
    [
        ("functions_rbf", ("np-1d", "convcnp-1d"), "64 points per scene"),
        ("completion_digits", ("anp-digits",), "64 points per scene"),
    ],
)
def test_from_drawing_functions_to_a_table(gqn_zoo, tmp_path, recipe, variants, what):
    data, sheet = tmp_path / "data", tmp_path / "sheet.png"
    make = ("data", "make", recipe, "-o", data, "--train", 8, "--validation", 4, "--test", 12, "-j", 0)
    dry = succeeded(gqn_zoo(*make, "--dry-run")).out
    assert "24 scenes of 64 points, 0.0" in dry and " MB" in dry
    succeeded(gqn_zoo(*make))
    assert what in succeeded(gqn_zoo("data", "inspect", data)).out
    facts = json.loads(succeeded(gqn_zoo("data", "inspect", data, "--json")).out)
    assert facts["image_size"] == 0 and facts["extras"]["values"] == {
        "dtype": "float32",
        "shape": [1],
        "per_view": True,
    }
    succeeded(gqn_zoo("data", "show", data, "-o", sheet, "--scenes", 3))
    assert sheet.read_bytes().startswith(b"\x89PNG")

    for variant in variants:
        run = tmp_path / variant
        succeeded(gqn_zoo("train", variant, "--size", "smoke", "--data", data, "-o", run, "--cpu"))
        measure = ("--contexts", "0,4", "-K", 2, "--repeats", 1, "--prediction-samples", 2)
        outcome = succeeded(gqn_zoo("evaluate", run, "--data", data, "--cpu", *measure, "--results", tmp_path / "rows"))
        assert "joint" in outcome.out and "RMSE" in outcome.out
    rows = load_rows([tmp_path / "rows"])
    assert len(rows) == 2 * len(variants) and {row.status for row in rows} == {"ok"}
    for row in rows:
        assert {"joint_log_likelihood", "marginal_log_likelihood", "rmse", "nelbo"} <= set(row.metrics)
        assert row.metrics["joint_log_likelihood"].higher_is_better
        assert row.metrics["rmse"].unit == "units of the values, 2 samples"
    outcome = succeeded(gqn_zoo("compare", tmp_path / "rows"))
    assert all(variant in outcome.out for variant in variants)
