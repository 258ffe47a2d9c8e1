"""What pytest-benchmark saved, as rows: figures, damaged files, and that both tools see the same changes."""

import csv
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmark_files import MEDIANS, SPREAD, entry, run, saved, write
from pytest_benchmark import cli
from pytest_benchmark.utils import parse_compare_fail

from zoo.bench.measurement import Protocol, speed_row
from zoo.comparison.diff import diff_rows
from zoo.comparison.diff_tables import diff_records
from zoo.comparison.seed_groups import machine_of
from zoo.comparison.thresholds import Threshold, violations
from zoo.errors import ResultError
from zoo.registry.registry import default_registry
from zoo.results.pytest_benchmark import is_benchmark_file, rows_of_benchmarks
from zoo.results.row import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT
from zoo.results.store import load_row, load_rows, save_row

ROOT = Path(__file__).resolve().parents[2]


def changes(base, new):
    return diff_rows(rows_of_benchmarks(base, path="base"), rows_of_benchmarks(new, path="new"))


def test_training_and_prediction_under_the_same_conditions_are_one_row():
    (row,) = rows_of_benchmarks(run(), path="x.json")
    assert (row.status, row.variant, row.encoder, row.core, row.key) == ("ok", "vae@smoke", "none", "vae", None)
    assert set(row.performance) == {
        TRAIN_THROUGHPUT,
        PREDICT_THROUGHPUT,
        "train_step_seconds",
        "predict_step_seconds",
    }
    seconds, speed = row.performance["train_step_seconds"], row.performance[TRAIN_THROUGHPUT]
    assert seconds.median == pytest.approx(0.02) and speed.median == pytest.approx(4 / 0.02)
    assert (seconds.unit, seconds.higher_is_better, seconds.n, seconds.warmup) == ("s", False, 10, 3)
    assert (speed.unit, speed.higher_is_better, speed.n, speed.warmup) == ("scenes/s", True, 10, 3)
    assert seconds.p10 == pytest.approx(np.quantile(0.02 * SPREAD, 0.1))
    assert (speed.p10, speed.p90) == (pytest.approx(4 / seconds.p90), pytest.approx(4 / seconds.p10))
    assert row.performance[PREDICT_THROUGHPUT].median == pytest.approx(8 / 0.005)
    assert row.model.parameters == 1000
    assert (row.model.flops_per_training_scene, row.model.flops_per_prediction) == (1000, 100)
    assert (row.budget.steps, row.budget.batch_size) == (0, 4)
    assert (row.provenance.seed, row.provenance.config_hash) == (3, "0123456789abcdef")
    assert row.provenance.git.commit == "ab12" * 10


def test_conditions_and_repeats_are_rows_of_their_own():
    one = entry(0.01, label="vae@smoke (batch 1)", batch_size=1, units=1, config_hash="1" * 16)
    contents = saved(entry(0.02), one, entry(0.03), {"extra_info": {"way": "store"}, "stats": {}})
    rows = rows_of_benchmarks(contents, path="x.json")
    found = [(row.variant, round(row.performance["train_step_seconds"].median, 6)) for row in rows]
    assert found == [("vae@smoke", 0.02), ("vae@smoke", 0.03), ("vae@smoke (batch 1)", 0.01)]
    assert len({row.id for row in rows}) == 3


def test_a_file_is_read_wherever_rows_are(tmp_path, monkeypatch):
    folder = tmp_path / "Linux-CPython-3.11-64bit"
    folder.mkdir()
    path = write(folder / "0001_base.json", run())
    write(folder / "0002_other.json", {"machine_info": {}, "benchmarks": [], "version": "5.3.1"})
    (row,) = load_rows([path])
    assert load_rows([tmp_path]) == [row] == load_rows([tmp_path, path])
    assert load_row(save_row(row, tmp_path)) == row
    for words in (["init", "--quiet"], ["add", "-f", "."], ["commit", "--quiet", "-m", "x"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    assert load_rows([f"HEAD:{folder.name}/0001_base.json"]) == [row] == load_rows([f"HEAD:{folder.name}"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.update(benchmarks={}), "benchmarks: expected a list, found dict"),
        (lambda file: file.update(benchmarks=[]), "holds no benchmark of a variant"),
        (lambda file: file["benchmarks"][0]["extra_info"].clear(), None),
        (
            lambda file: file["benchmarks"][1]["extra_info"].pop("units"),
            "benchmarks.1.extra_info.units: Field required",
        ),
        (
            lambda file: file["benchmarks"][0]["extra_info"].update(action="fly"),
            "benchmarks.0.extra_info.action: Input should be 'train', 'predict' or 'evaluate'",
        ),
        (lambda file: file["benchmarks"][0].pop("stats"), "benchmarks.0.stats: Field required"),
        (
            lambda file: file["benchmarks"][0]["stats"].update(median=0.0),
            "benchmarks.0.stats.median: Input should be greater than 0",
        ),
        (lambda file: file["benchmarks"][0]["stats"].update(median=9.0), "expected p10 <= median <= p90"),
        (lambda file: file.pop("provenance"), "provenance: Input should be a valid dictionary"),
        (lambda file: file["provenance"].pop("hardware"), "provenance.hardware: Field required"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(change, message, tmp_path):
    contents = run()
    change(contents)
    path = write(tmp_path / "0001_base.json", contents)
    if message is None:
        (row,) = load_rows([path])
        assert TRAIN_THROUGHPUT not in row.performance and PREDICT_THROUGHPUT in row.performance
        return
    with pytest.raises(ResultError) as caught:
        load_rows([path])
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_a_torn_file_is_refused(tmp_path):
    path = write(tmp_path / "0001_base.json", run())
    path.write_text(path.read_text()[:-20])
    for place in (path, tmp_path):
        with pytest.raises(ResultError, match=r"0001_base\.json: not valid JSON"):
            load_rows([place])


def test_only_what_pytest_benchmark_saves_is_taken_for_it():
    assert is_benchmark_file(run())
    assert not any(is_benchmark_file(other) for other in ([], None, {"benchmarks": []}, {"machine_info": {}}))


@pytest.mark.parametrize("factor", [0.25, 0.8, 0.951, 1.0, 1.049, 1.051, 1.0527, 3.0])
def test_both_tools_see_the_same_change_and_give_the_same_verdict(factor):
    base, new = run(spread=np.ones(10)), run(factor, spread=np.ones(10))
    found = changes(base, new)
    percents = {delta.name: delta.percent for delta in found.pairs[0].changes}
    check = parse_compare_fail("median:5%")
    for index, action in enumerate(MEDIANS):
        stats = [file["benchmarks"][index]["stats"] for file in (new, base)]
        theirs = check.compute(*stats)
        assert percents[f"{action}_step_seconds"] == pytest.approx(theirs, abs=1e-9)
        speed = TRAIN_THROUGHPUT if action == "train" else PREDICT_THROUGHPUT
        assert 1 + percents[speed] / 100 == pytest.approx(1 / (1 + theirs / 100))
        assert bool(violations([Threshold.parse(f"{action}_step_seconds:5%")], found)) == bool(check.fails(*stats))
        # Work that takes 1.05 times as long is done at 1 / 1.05 of the speed.
        lost = 100 * (1 - 1 / 1.05)
        assert bool(violations([Threshold.parse(f"{speed}:-{lost}%")], found)) == bool(check.fails(*stats))


def test_spreads_that_meet_are_a_verdict_of_one_tool_alone():
    base, new = run(), run(1.1, spread=np.linspace(0.8, 1.2, 10))
    found = changes(base, new)
    stats = [file["benchmarks"][0]["stats"] for file in (new, base)]
    assert parse_compare_fail("median:5%").fails(*stats)
    assert found.pairs[0].changes[-1].percent == pytest.approx(10.0)
    assert violations([Threshold.parse("train_step_seconds:5%")], found) == []


def test_the_tables_of_both_tools_agree(tmp_path, monkeypatch, capsys):
    files = [write(tmp_path / name, run(factor)) for name, factor in (("1.json", 1.0), ("2.json", 1.37))]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pytest-benchmark", "compare", *map(str, files), "--csv=theirs"])
    cli.main()
    capsys.readouterr()
    with Path("theirs.csv").open() as file:
        medians = {}
        for line in csv.DictReader(file):
            medians.setdefault(line["name"].partition("[")[0].rpartition("_")[2], []).append(float(line["median"]))
    ours = {}
    for line in diff_records(diff_rows(*(load_rows([file]) for file in files))):
        ours[line["quantity"]] = (float(line["base"]), float(line["new"]), float(line["percent"]))
    assert set(medians) == set(MEDIANS)
    for action, (base, new) in medians.items():
        assert ours[f"{action}_step_seconds"] == pytest.approx((base, new, 100 * (new / base - 1)))


def test_speeds_of_another_machine_are_not_compared():
    found = changes(run(), run(2.0, threads=1))
    assert found.pairs[0].changes == ()
    with pytest.raises(ResultError, match="not comparable: measured on"):
        violations([Threshold.parse("train_step_seconds:5%")], found)


def test_a_real_benchmark_is_the_row_of_bench(tmp_path):
    path = tmp_path / "0001_real.json"
    # Seen from a worker of pytest-xdist, benchmarks would be switched off.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    environment = outside | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "benchmarks/test_variants.py",
        "-q",
        "-p",
        "no:cacheprovider",
        "--benchmark-only",
    ]
    command += ["-k", "smoke-vae and not evaluation", f"--benchmark-json={path}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = load_rows([path])
    variant = default_registry().variant("vae", size="smoke")
    bench = speed_row(variant, seed=0, protocol=Protocol(repeats=1))
    assert (row.variant, row.encoder, row.core) == (bench.variant, bench.encoder, bench.core)
    assert row.provenance.config_hash == bench.provenance.config_hash
    assert row.budget == bench.budget and machine_of(row) == machine_of(bench)
    assert row.performance.keys() == bench.performance.keys()
    for name, timing in row.performance.items():
        theirs = bench.performance[name]
        assert (timing.unit, timing.higher_is_better, timing.warmup) == (theirs.unit, theirs.higher_is_better, 3)
        assert timing.n == 10
    ours, theirs = row.model, bench.model
    assert ours.model_copy(update={"peak_memory_bytes": None}) == theirs.model_copy(update={"peak_memory_bytes": None})

    (other,) = load_rows([write(tmp_path / "0002_slow.json", slowed(json.loads(path.read_text()), factor=1e3))])
    found = diff_rows([row], [other])
    assert len(violations([Threshold.parse("train_step_seconds:5%")], found)) == 1


def slowed(contents, *, factor):
    """Returns the same measurement, as if all of it had taken ``factor`` times as long."""
    for found in contents["benchmarks"]:
        found["stats"]["median"] *= factor
        for name in ("p10_seconds", "p90_seconds"):
            found["extra_info"][name] *= factor
    return contents


def test_pytest_benchmark_refuses_another_machine_too(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    hooks = importlib.import_module("benchmarks.conftest")
    config = SimpleNamespace(stash=pytest.Stash())
    here = hooks.pytest_benchmark_generate_machine_info(config)
    hooks.pytest_benchmark_compare_machine_info(here, {"machine_info": here | {"more": 1}})
    output = {}
    hooks.pytest_benchmark_update_json(config, output)
    assert here["threads"] == output["provenance"]["hardware"]["threads"]
    with pytest.raises(pytest.UsageError, match="of another machine and not comparable: threads 64 against 1"):
        hooks.pytest_benchmark_compare_machine_info(here, {"machine_info": here | {"threads": 64}})
    with pytest.raises(pytest.UsageError, match="lacks the machine's fields"):
        hooks.pytest_benchmark_compare_machine_info(here, {"machine_info": {"node": "x", "cpu": {}}})
