"""``gqn-zoo compare`` and ``gqn-zoo diff`` on files of pytest-benchmark."""

import csv
from pathlib import Path

import pytest
from benchmark_files import entry, run, saved, write


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, factor in (("base", 1.0), ("same", 1.02), ("slow", 1.25)):
        write(tmp_path / f"{name}.json", run(factor))


@pytest.mark.parametrize(
    ("limit", "new", "code"),
    [
        ("train_step_seconds:5%", "same", 0),
        ("train_step_seconds:5%", "slow", 1),
        ("train_scenes_per_second:-5%", "slow", 1),
        ("train_scenes_per_second:-30%", "slow", 0),
        ("predict_images_per_second:-5%", "slow", 1),
        ("nelbo_excess:1", "slow", 2),
    ],
)
def test_a_slower_step_gives_an_exit_code(gqn_zoo, limit, new, code):
    done = gqn_zoo("diff", "base.json", f"{new}.json", "--fail", limit)
    assert done.code == code, done.err
    assert ("is worse by" in done.err) == (code == 1)


def test_the_change_is_written_and_shown(gqn_zoo):
    done = gqn_zoo("diff", "base.json", "slow.json", "-o", "tables")
    assert done.code == 0 and "vae@smoke" in done.out and "+25.0" in done.out and "-20.0" in done.out
    with Path("tables/diff.csv").open() as file:
        percents = {line["quantity"]: float(line["percent"]) for line in csv.DictReader(file)}
    assert percents["train_step_seconds"] == pytest.approx(25.0)
    assert percents["train_scenes_per_second"] == pytest.approx(-20.0)


def test_conditions_are_rows_of_one_table(gqn_zoo, tmp_path):
    conditions = [entry(0.01 * size, label=f"vae@smoke (batch {size})", batch_size=size, units=size) for size in (1, 4)]
    write(tmp_path / "sweep.json", saved(*conditions))
    done = gqn_zoo("compare", "sweep.json")
    assert done.code == 0
    for words in ("vae@smoke (batch 1)", "vae@smoke (batch 4)", "100"):
        assert words in done.out


def test_a_file_of_other_benchmarks_is_refused_in_one_sentence(gqn_zoo, tmp_path):
    write(tmp_path / "other.json", {"machine_info": {}, "benchmarks": []})
    done = gqn_zoo("compare", "other.json")
    assert done.code == 2 and "other.json: saved by pytest-benchmark, but holds no benchmark of a variant" in done.err
