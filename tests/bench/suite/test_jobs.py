import signal
from dataclasses import replace

import numpy as np
import pytest

from zoo.bench.protocol import Protocol
from zoo.bench.suite.jobs import digest_of_job, is_done, run_job
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.figures.attachments import find_attachments, load_curve, load_strip
from zoo.results.store import load_row
from zoo.training.session import Tracker


def test_a_job_trains_and_writes_a_row_for_each_number_of_context_views(job, tmp_path):
    mine = job("cvae", contexts=(1, 2), protocol=Protocol(repeats=1, prediction_samples=1))
    assert not is_done(mine)
    rows = [load_row(path) for path in run_job(mine)]
    assert {row.provenance.job for row in rows} == {digest_of_job(mine)}
    assert [row.status for row in rows] == ["ok", "ok"] and [row.key.num_context for row in rows] == [1, 2]
    assert rows[0].performance and rows[0].performance == rows[1].performance, "measured once"
    assert rows[0].model == rows[1].model
    assert {row.key.split for row in rows} == {"test"} and {row.budget.steps for row in rows} == {4}
    assert (tmp_path / "runs" / "cvae" / "smoke-seed-0" / "checkpoints" / "step-000000004").is_dir()
    assert is_done(mine)
    assert is_done(job("cvae", contexts=(2,))) and is_done(job("cvae", contexts=(None,)))


@pytest.mark.parametrize(
    "change",
    [
        {"contexts": (0,)},
        {"contexts": (1, 2, 3)},
        {"seed": 1},
        {"protocol": Protocol(repeats=0, prediction_samples=1, importance_samples=(2,))},
        {"protocol": Protocol(repeats=0, prediction_samples=2)},
        {"protocol": Protocol(repeats=0, prediction_samples=1, max_scenes=3)},
        {"protocol": Protocol(repeats=0, prediction_samples=1, sigma=0.3)},
        {"protocol": Protocol(repeats=0, prediction_samples=1, num_targets=2)},
        {"protocol": Protocol(repeats=0, prediction_samples=1, seed=1)},
        {"data": None},
    ],
    ids=str,
)
def test_a_row_satisfies_only_what_it_measured(job, change):
    mine = job("vae", contexts=(1, 2))
    run_job(mine)
    assert is_done(mine)
    assert not is_done(replace(mine, **change))


def test_a_row_without_a_metric_is_measured_again(job):
    mine = job("vae", protocol=Protocol(repeats=0, metrics=("wrong-context",)))
    run_job(mine)
    assert is_done(mine) and is_done(replace(mine, protocol=Protocol(repeats=0, metrics=())))
    for metric in ("bits-per-dim", "reconstruction", "predictions"):
        assert not is_done(replace(mine, protocol=Protocol(repeats=0, metrics=(metric,)))), metric
    assert is_done(replace(mine, protocol=Protocol(repeats=0, metrics=("separate-targets",)))), "there is one target"


def test_every_row_has_its_predictions_and_the_curve_of_its_run_beside_it(job, tmp_path):
    mine = job("vae", contexts=(1,))
    files = run_job(mine)
    assert not find_attachments([mine.rows]).curves, "the scenes have no validation split"
    (log,) = mine.run.rglob("metrics.jsonl")
    with log.open("a") as file:
        file.write('{"step": 4, "seconds": 1.5, "eval/nelbo_excess": 2.5}\n')
    files += run_job(replace(mine, contexts=(1, 2)))
    found = find_attachments([mine.rows])
    assert sorted(found.strips) == sorted(load_row(path).id for path in files)
    scenes = open_scenes(mine.data, "test")
    for path in files:
        row = load_row(path)
        plan = EvaluationPlan(scenes, num_context=row.key.num_context, num_targets=1)
        expected = scenes.read(np.arange(4), plan.views[:4, -1:])[0][:, 0]
        strip = load_strip(found.strips[row.id])
        np.testing.assert_array_equal(strip.truth, expected)
        assert (strip.predicted != strip.truth).any()
    assert list(found.curves) == [row.id] and load_curve(found.curves[row.id]) == [(4, 1.5, 2.5)]


def test_a_sheet_is_written_to_the_run_folder_if_requested(job):
    mine = job("vae", sheet=True)
    run_job(mine)
    assert (mine.run / "sheet-vae-noise.png").read_bytes().startswith(b"\x89PNG")
    other = job("vae", seed=1)
    run_job(other)
    assert not list(other.run.glob("sheet*"))


def test_rows_of_another_configuration_do_not_satisfy_a_job(job):
    run_job(job("vae"))
    assert is_done(job("vae"))
    assert not is_done(job("vae", "core.channels=12"))
    assert not is_done(job("cvae"))


def test_another_number_of_context_views_does_not_train_again(job):
    first = load_row(run_job(job("vae"))[0])
    second = load_row(run_job(job("vae", contexts=(1,)))[0])
    assert second.budget == first.budget, "nothing was trained again"


def test_a_job_without_scenes_measures_speeds(job, tmp_path):
    mine = job("vae", data=None, protocol=Protocol(repeats=1))
    (path,) = run_job(mine)
    row = load_row(path)
    assert row.key is None and row.performance and is_done(mine)
    assert not (tmp_path / "runs").exists()
    assert not is_done(job("vae"))


@pytest.mark.parametrize(
    ("overrides", "changes", "status", "text"),
    [
        (("encoder.use=tower",), {}, "error", "ignores the context"),
        (("image_size=32",), {}, "error", "has images of 16 pixels"),
        ((), {"contexts": (1, 9)}, "error", "9 context views and 1 target"),
        (
            ("training.learning_rate={start: 1e6, end: 1e6, steps: 0}",),
            {},
            "nan",
            "the loss or its gradient is not finite",
        ),
    ],
)
def test_a_failure_of_a_variant_is_a_row_and_not_an_exception(job, overrides, changes, status, text, tmp_path):
    mine = job("vae", *overrides, **changes)
    assert not is_done(mine)
    (path,) = run_job(mine)
    row = load_row(path)
    assert row.status == status and text in row.error and row.variant == "vae@smoke"
    assert not is_done(mine), "a failure is tried again"
    if status == "error":
        assert not (tmp_path / "runs").exists(), "what cannot be measured is not trained"


def test_missing_scenes_are_a_row_too(job, tmp_path):
    (path,) = run_job(job("vae", data=tmp_path / "none"))
    assert "there is no such folder" in load_row(path).error


def test_an_interrupted_run_writes_no_row_and_is_resumed(job, tmp_path, monkeypatch):
    real = Tracker.log

    def log(self, step, values):
        real(self, step, values)
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    mine = job("vae", "training.steps=6")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Tracker, "log", log)
        run_job(mine)
    assert not (tmp_path / "rows").exists()
    assert load_row(run_job(mine)[0]).budget.steps == 6


def test_a_run_of_another_configuration_in_the_same_folder_is_refused(job):
    run_job(job("vae"))
    other = job("vae", "core.channels=12")
    row = load_row(run_job(other)[0])
    assert row.status == "error" and "another configuration; differing: core.channels" in row.error
