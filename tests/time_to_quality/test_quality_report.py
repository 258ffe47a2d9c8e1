"""Tables and figure of runs made by hand."""

import pytest
from quality_runs import run_of

from benchmarks.time_to_quality.record import load_runs, save
from benchmarks.time_to_quality.report import curves_of, markdown, write_report
from zoo.errors import ResultError

FAST = [(0, 0.0, 200.0), (10, 100.0, 100.0), (20, 200.0, 50.0)]
SLOW = [(0, 0.0, 200.0), (10, 100.0, 150.0), (20, 300.0, 100.0)]


def cells(page, label):
    return [
        cell.strip() for cell in next(line for line in page.splitlines() if line.startswith(f"| {label}")).split("|")
    ]


def test_cells_state_the_median_its_range_and_what_was_not_reached():
    runs = [run_of(points, label="fast", seed=seed) for seed, points in enumerate([FAST, SLOW, FAST])]
    page = markdown([*runs, run_of(SLOW, label="slow")], thresholds=(100.0, 60.0))
    assert cells(page, "fast")[2:6] == ["3", "100 (100 to 300)", "180 (180 to later)", "50.0 (50.0 to 100.0)"]
    assert cells(page, "slow")[2:6] == ["1", "300", "not in 300", "100.0"]
    assert "2.00 to 2.00 times" in page


def test_half_of_the_seeds_are_stated_as_such():
    page = markdown([run_of(FAST, seed=0), run_of(SLOW, seed=1)], thresholds=(60.0,))
    assert cells(page, "gqn-tower@smoke")[3] == "1 of 2 seeds"


def test_runs_of_one_label_with_other_settings_are_a_curve_of_their_own():
    runs = [run_of(FAST, label="one", seed=1), run_of(FAST, label="one"), run_of(SLOW, label="one", settings=1)]
    curves = curves_of(runs)
    assert sorted(len(members) for members in curves.values()) == [1, 2]
    assert all(label.startswith("one (") for label in curves)


def test_the_same_runs_give_the_same_bytes(tmp_path):
    runs = [run_of(FAST, label="fast"), run_of(SLOW, label="slow")]
    pages = [[path.read_bytes() for path in write_report(runs, tmp_path / name)] for name in ("one", "two")]
    assert pages[0] == pages[1]


def test_a_damaged_run_is_named_with_its_field(tmp_path):
    save(run_of(FAST), tmp_path / "run.json")
    assert len(load_runs(tmp_path)) == 1
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text().replace('"scenes": 8', '"scenes": 0'))
    with pytest.raises(ResultError, match=r"run\.json: scenes: "):
        load_runs(tmp_path)


def test_runs_that_were_scored_differently_are_not_put_into_one_table(tmp_path):
    save(run_of(FAST), tmp_path / "smoke.json")
    save(run_of(FAST).model_copy(update={"scenes": 200, "num_context": 4}), tmp_path / "full.json")
    with pytest.raises(ResultError, match=r"200 scenes of rooms@00000000 from 4 views at sigma 0\.7 against 8 scenes"):
        load_runs(tmp_path)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ResultError, match=r"folder\.json: cannot be read"):
        load_runs(tmp_path)
