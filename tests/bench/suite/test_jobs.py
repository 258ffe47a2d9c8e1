import signal
from dataclasses import replace

import pytest

import zoo.bench.suite.jobs
from zoo.bench.protocol import Protocol
from zoo.bench.suite.jobs import carry_out, carry_out_all, digest_of_job, finished, run_folder
from zoo.registry.registry import default_registry
from zoo.results.store import load_row, load_rows
from zoo.training.session import Tracker


def test_a_job_trains_and_leaves_a_row_for_each_number_of_context_views(job, tmp_path):
    mine = job("cvae", contexts=(1, 2), protocol=Protocol(repeats=1, prediction_samples=1))
    assert not finished(mine)
    rows = [load_row(path) for path in carry_out(mine)]
    assert {row.provenance.job for row in rows} == {digest_of_job(mine)}
    assert [row.status for row in rows] == ["ok", "ok"] and [row.key.num_context for row in rows] == [1, 2]
    assert rows[0].performance and rows[0].performance == rows[1].performance, "measured once"
    assert rows[0].model == rows[1].model
    assert {row.key.split for row in rows} == {"test"} and {row.budget.steps for row in rows} == {4}
    assert (tmp_path / "runs" / "cvae" / "smoke-seed-0" / "checkpoints" / "step-000000004").is_dir()
    assert finished(mine)
    assert finished(job("cvae", contexts=(2,))) and finished(job("cvae", contexts=(None,)))


@pytest.mark.parametrize(
    "change",
    [
        {"contexts": (0,)},
        {"contexts": (1, 2, 3)},
        {"seed": 1},
        {"split": "train"},
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
def test_a_row_answers_only_what_it_measured(job, change):
    mine = job("vae", contexts=(1, 2))
    carry_out(mine)
    assert finished(mine)
    assert not finished(replace(mine, **change))


def test_a_row_without_what_is_asked_for_is_measured_again(job):
    mine = job("vae", protocol=Protocol(repeats=0, metrics=("wrong-context",)))
    carry_out(mine)
    assert finished(mine) and finished(replace(mine, protocol=Protocol(repeats=0, metrics=())))
    for metric in ("bits-per-dim", "reconstruction", "predictions"):
        assert not finished(replace(mine, protocol=Protocol(repeats=0, metrics=(metric,)))), metric
    assert finished(replace(mine, protocol=Protocol(repeats=0, metrics=("separate-targets",)))), "there is one target"


def test_a_sheet_is_left_beside_the_run_if_asked_for(job):
    mine = job("vae", sheet=True)
    carry_out(mine)
    assert (mine.run / "sheet-vae-noise.png").read_bytes().startswith(b"\x89PNG")
    other = job("vae", seed=1)
    carry_out(other)
    assert not list(other.run.glob("sheet*"))


def test_rows_of_another_configuration_do_not_count(job):
    carry_out(job("vae"))
    assert finished(job("vae"))
    assert not finished(job("vae", "core.channels=12"))
    assert not finished(job("cvae"))


def test_the_same_job_once_more_goes_on_from_its_run(job):
    first = load_row(carry_out(job("vae"))[0])
    second = load_row(carry_out(job("vae", contexts=(1,)))[0])
    assert second.budget == first.budget, "nothing was trained again"


def test_speeds_alone_need_no_scenes(job, tmp_path):
    mine = job("vae", data=None, protocol=Protocol(repeats=1))
    (path,) = carry_out(mine)
    row = load_row(path)
    assert row.key is None and row.performance and finished(mine)
    assert not (tmp_path / "runs").exists()
    assert not finished(job("vae"))


@pytest.mark.parametrize(
    ("overrides", "changes", "status", "text"),
    [
        (("encoder.use=tower",), {}, "error", "never looks at the context"),
        (("image_size=32",), {}, "error", "has images of 16 pixels"),
        ((), {"contexts": (1, 9)}, "error", "9 context views and 1 target"),
        ((), {"split": "validation"}, "error", "has no split 'validation'"),
        (
            ("training.learning_rate={start: 1e30, end: 1e30, steps: 0}",),
            {},
            "nan",
            "the loss or its gradient is not finite",
        ),
    ],
)
def test_a_failure_of_a_variant_is_a_row_and_not_the_end(job, overrides, changes, status, text, tmp_path):
    mine = job("vae", *overrides, **changes)
    assert not finished(mine)
    (path,) = carry_out(mine)
    row = load_row(path)
    assert row.status == status and text in row.error and row.variant == "vae@smoke"
    assert not finished(mine), "a failure is tried again"
    if status == "error":
        assert not (tmp_path / "runs").exists(), "what cannot be measured is not trained"


def test_missing_scenes_are_a_row_too(job, tmp_path):
    (path,) = carry_out(job("vae", data=tmp_path / "none"))
    assert "there is no such folder" in load_row(path).error


def test_an_interrupted_run_leaves_no_row_and_goes_on(job, tmp_path, monkeypatch):
    real = Tracker.log

    def log(self, step, values):
        real(self, step, values)
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    mine = job("vae", "training.steps=6")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Tracker, "log", log)
        carry_out(mine)
    assert not (tmp_path / "rows").exists()
    assert load_row(carry_out(mine)[0]).budget.steps == 6


def test_a_run_in_the_way_is_not_taken_for_another_configuration(job):
    carry_out(job("vae"))
    other = job("vae", "core.channels=12")
    row = load_row(carry_out(other)[0])
    assert row.status == "error" and "another configuration; differing: core.channels" in row.error


class InThisProcess:
    """A pool whose process is this one."""

    def __init__(self, size, *, mp_context):
        assert size == 1 and mp_context.get_start_method() == "spawn"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def submit(self, function, job):
        class Future:
            @staticmethod
            def result():
                return function(job)

        return Future


def test_a_defect_of_one_variant_does_not_spoil_the_others(job, monkeypatch, tmp_path):
    def breaks_on_vae(job):
        if job.variant.name == "vae":
            raise RuntimeError("shapes do not match")
        return carry_out(job)

    monkeypatch.setattr(zoo.bench.suite.jobs, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(zoo.bench.suite.jobs, "carry_out", breaks_on_vae)
    told = []
    paths = carry_out_all([job("vae"), job("cvae")], tell=told.append)
    first, second = (load_row(path) for path in paths)
    assert (first.status, first.error, second.status) == ("error", "RuntimeError: shapes do not match", "ok")
    assert told[0] == "1 of 2: vae, seed 0" and any("shapes do not match" in sentence for sentence in told)


def test_ctrl_c_ends_a_whole_suite(job, monkeypatch):
    def interrupted(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo.bench.suite.jobs, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(zoo.bench.suite.jobs, "carry_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carry_out_all([job("vae"), job("cvae")], tell=lambda sentence: None)


KILLER = """\
import multiprocessing, os, signal
from zoo.cores.vae import Vae

if multiprocessing.parent_process() is not None:
    signal.raise_signal(signal.SIGKILL)


class Core(Vae):
    pass
"""


def test_a_process_that_dies_leaves_a_row_and_the_next_one_runs(job, tmp_path, monkeypatch):
    (tmp_path / "killer_core.py").write_text(KILLER)
    monkeypatch.syspath_prepend(str(tmp_path))
    killed = job("vae", "core={use: 'killer_core:Core', z_channels: 8, channels: 8}")
    healthy = job("vae", data=None, seed=1, protocol=Protocol(repeats=1))
    first, second = (load_row(path) for path in carry_out_all([killed, healthy], tell=lambda sentence: None))
    assert first.status == "oom" and "ended from outside" in first.error
    assert second.status == "ok"
    assert {row.id for row in load_rows([tmp_path])} == {first.id, second.id}
    assert first.core == "killer_core:Core"


def test_every_variant_size_and_seed_has_a_folder_of_its_own(tmp_path):
    registry = default_registry()
    folders = {
        run_folder(tmp_path, registry.variant(name, size=size), seed=seed)
        for name in registry.names()
        for size in ("full", "smoke")
        for seed in (0, 1)
    }
    assert len(folders) == 4 * len(registry.names())
    assert all(tmp_path in folder.parents for folder in folders)
