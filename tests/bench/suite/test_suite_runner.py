import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import zoo.bench.suite.engines
from zoo.bench.protocol import Protocol
from zoo.bench.suite.engines import LocalEngine, LocalJob, Slot, slots_of_machine
from zoo.bench.suite.jobs import digest_of_job
from zoo.bench.suite.runner import partition_jobs, run_jobs
from zoo.bench.suite.worker import JobState, ProgressWriter, read_job, read_state, run_job_in, write_job
from zoo.errors import ConfigError
from zoo.results.store import load_rows

ROOT = Path(zoo.bench.suite.engines.__file__).resolve().parents[3]


def run(jobs, output, listener, *, slots=1, **options):
    return run_jobs(jobs, engine=LocalEngine([Slot({})] * slots), output=output, listener=listener, **options)


def measured(folder):
    """Returns the contents of every row by its job and context views, without times, and the number of rows."""
    rows = load_rows([folder])
    return {
        (row.variant, row.provenance.seed, row.key.num_context): (row.budget.steps, row.per_scene, row.key.episodes)
        for row in rows
    }, Counter((row.variant, row.provenance.seed, row.key and row.key.num_context) for row in rows)


def test_a_job_is_read_back_unchanged(job, tmp_path):
    mine = job("gqn-tower", "core.steps=1", contexts=[1, None], protocol=Protocol(importance_samples=(3,), sigma=0.5))
    write_job(mine, tmp_path)
    assert read_job(tmp_path) == mine and digest_of_job(read_job(tmp_path)) == digest_of_job(mine)
    (tmp_path / "job.json").write_text('{"variant": 3}')
    with pytest.raises(ConfigError, match=r"job\.json: variant"):
        read_job(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_job(tmp_path / "none")


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"contexts": [1]}, {"data": None}, {"protocol": Protocol(seed=1)}, {"protocol": Protocol(max_scenes=3)}],
    ids=str,
)  # fmt: skip
def test_a_jobs_digest_covers_everything_that_it_measures(job, change):
    assert digest_of_job(replace(job("vae"), **change)) != digest_of_job(job("vae"))
    assert digest_of_job(job("vae", "training.steps=5")) != digest_of_job(job("vae"))


def test_execution_is_not_part_of_a_jobs_digest(job, tmp_path):
    mine = job("vae")
    faster = replace(mine.protocol, repeats=7, batch_size=3)
    assert digest_of_job(replace(mine, run=tmp_path, cpu=False, protocol=faster)) == digest_of_job(mine)


def test_jobs_are_run_and_then_skipped(job, tmp_path, listener, in_this_process):
    jobs = [job("vae"), job("vae", seed=1), job("cvae", contexts=[1, 2])]
    assert partition_jobs(jobs, retry=False, limit=2).waiting == jobs[:2]
    assert run(jobs, tmp_path, listener) == []
    assert [entry[:3] for entry in listener.events if entry[0] == "ended"] == [
        ("ended", one.variant.name, one.seed) for one in jobs
    ]
    status = partition_jobs(jobs, retry=False)
    assert status.done == jobs and not status.waiting
    _, counts = measured(tmp_path)
    assert sorted(counts.values()) == [1, 1, 1, 1]
    # A job that is started again finds its rows.
    run(jobs, tmp_path, listener)
    assert measured(tmp_path)[1] == counts


def test_a_failure_is_a_row_and_the_job_is_skipped_until_retry(job, tmp_path, listener, in_this_process):
    rate = "training.learning_rate={start: 1e6, end: 1e6, steps: 0}"
    jobs = [job("vae", rate), job("cvae", contexts=[1, 9]), job("cvae", seed=1)]
    assert run(jobs, tmp_path, listener) == jobs[:2]
    status = partition_jobs(jobs, retry=False)
    assert (status.failed, status.done) == (jobs[:2], jobs[2:])
    assert sorted(row.status for row in load_rows([tmp_path])) == ["error", "nan", "ok"]
    assert partition_jobs(jobs, retry=True).waiting == jobs[:2]
    # A process that starts after another one's failure does nothing.
    folder = in_this_process[0]
    assert run_job_in(str(folder)) == 0 and len(load_rows([tmp_path])) == 3
    time.sleep(1.1)  # equal failures of the same second are one row
    assert run(jobs[:1], tmp_path, listener, retry=True) == jobs[:1] and len(load_rows([tmp_path])) == 4
    # The same run with fewer measurements is another job.
    assert partition_jobs([job("cvae", contexts=[1])], retry=False).waiting


def test_a_defect_is_a_row_too(job, tmp_path, listener, in_this_process, monkeypatch):
    def breaks(job, *, progress):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("zoo.bench.suite.worker.run_job", breaks)
    assert len(run([job("vae")], tmp_path, listener)) == 1
    (row,) = load_rows([tmp_path])
    assert (row.status, row.error) == ("error", "RuntimeError: shapes do not match")


def test_a_process_that_dies_after_its_last_row_has_not_failed(job, tmp_path, listener, in_this_process, monkeypatch):
    monkeypatch.setattr(zoo.bench.suite.engines.LocalJob, "failure", lambda _: RuntimeError("exit code 1"))
    assert run([job("vae")], tmp_path, listener) == []
    assert [row.status for row in load_rows([tmp_path])] == ["ok"]


class Killed(BaseException):
    """A death that no handler of the program catches."""


@pytest.mark.faults
def test_a_death_at_any_write_loses_nothing_and_repeats_nothing(job, tmp_path, listener, in_this_process, monkeypatch):
    """Every file appears by a rename: the process dies before or after each of them, and is started again."""
    real = Path.replace
    renames = deaths = 0
    dying = {}

    def rename(self, target):
        nonlocal renames
        renames += 1
        if renames == dying.get("before"):
            raise Killed
        result = real(self, target)
        if renames == dying.get("after"):
            raise Killed
        return result

    def jobs_in(folder):
        made = [job("vae", "training.steps=2", contexts=[1, 2]), job("cvae", "training.steps=2")]
        return [replace(one, rows=folder / "rows", run=folder / "runs" / one.variant.name) for one in made]

    run(jobs_in(tmp_path / "whole"), tmp_path / "whole", listener)
    truth, counts = measured(tmp_path / "whole")
    assert len(truth) == 3
    folder = tmp_path / "killed"
    for number, moment in enumerate((1, 2, 3, 4, 5, 6, 8, 9, 11)):
        dying = {("before", "after")[number % 2]: moment}
        renames = 0
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(Path, "replace", rename)
            run(partition_jobs(jobs_in(folder), retry=False).waiting, folder, listener)
            deaths -= 1
        deaths += 1
    run(partition_jobs(jobs_in(folder), retry=False).waiting, folder, listener)
    assert deaths >= 4
    assert measured(folder) == (truth, counts)


def test_progress_is_written_and_read(tmp_path):
    assert read_state(tmp_path) is None
    writer = ProgressWriter(tmp_path)
    writer("training", 1, 10)
    assert read_state(tmp_path) == JobState("training", 1, 10)
    writer("training", 2, 10)
    assert read_state(tmp_path).done == 1, "not at every step"
    writer("training", 10, 10)
    writer("measuring", 1, 5)
    assert read_state(tmp_path) == JobState("measuring", 1, 5)
    (tmp_path / "progress.json").write_text("[")
    assert read_state(tmp_path) is None


def test_the_machine_is_divided_among_jobs(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(zoo.bench.suite.engines, "usable_cores", lambda: 8)
    assert slots_of_machine(cpu=True, parallel=None)[0].environment["OMP_NUM_THREADS"] == "8"
    four = slots_of_machine(cpu=True, parallel=4)
    assert len(four) == 4 and {slot.environment["OMP_NUM_THREADS"] for slot in four} == {"2"}
    monkeypatch.setattr(zoo.bench.suite.engines, "visible_gpus", lambda: ["2", "3", "5", "7"])
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots_of_machine(cpu=False, parallel=None)] == list("2357")  # fmt: skip
    pairs = slots_of_machine(cpu=False, parallel=None, gpus_per_job=2)
    assert [(slot.environment["CUDA_VISIBLE_DEVICES"], slot.processes) for slot in pairs] == [("2,3", 2), ("5,7", 2)]
    assert len(slots_of_machine(cpu=False, parallel=8)) == 8
    with pytest.raises(ConfigError, match="there are 4 GPUs"):
        slots_of_machine(cpu=False, parallel=None, gpus_per_job=5)
    with pytest.raises(ConfigError, match="no GPU"):
        slots_of_machine(cpu=True, parallel=None, gpus_per_job=2)


@pytest.mark.faults
def test_a_killed_process_has_a_row_and_a_process_without_its_runner_exits(job, tmp_path, listener):
    """With real processes: the first is killed while it imports, the second sees the pipe to its runner closed."""

    class Impatient(LocalEngine):
        def start(self, folders, *, retry):
            started = super().start(folders, retry=retry)
            for job in started:
                job._process.kill()
            return started

    mine = job("vae")
    run_jobs([mine], engine=Impatient([Slot({})]), output=tmp_path, listener=listener)
    (row,) = load_rows([tmp_path])
    assert row.status == "oom" and "was killed" in row.error
    folder = tmp_path / "jobs" / digest_of_job(mine)
    orphan = LocalJob(folder, Slot({}), retry=True)
    orphan.detach()
    assert orphan._process.wait(timeout=600) == 1
    assert len(load_rows([tmp_path])) == 1


SUITE = """\
version: 1
title: tiny
data:
  noise: {{folder: "{scenes}"}}
parts:
  - {{variants: [vae, cvae], size: smoke, data: [noise], contexts: [1, 2]}}
seeds: [0, 1]
budget: {{steps: 40}}
prediction_samples: 1
repeats: 0
checks: 10
"""


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_killed_runner_is_resumed_by_the_same_command(scenes, tmp_path):
    """With kill -9, as soon as there is a job, a checkpoint, a row, three rows; then the same command to its end."""
    file = tmp_path / "tiny.yaml"
    file.write_text(SUITE.format(scenes=scenes))

    def command(output):
        return [
            sys.executable,
            "-m",
            "zoo",
            "bench",
            "--suite",
            str(file),
            "-o",
            str(output),
            "--cpu",
            "--parallel",
            "2",
        ]

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command(tmp_path / "whole"), env=environment, check=True, capture_output=True)
    truth, counts = measured(tmp_path / "whole")
    assert len(truth) == 8 + 4, "and two baselines for each number of context views"
    output = tmp_path / "killed"
    for pattern, number in (("jobs/*/job.json", 1), ("runs/**/step-*", 1), ("rows/*.json", 1), ("rows/*.json", 3)):
        process = subprocess.Popen(
            command(output), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and len(list(output.glob(pattern))) < number:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(output), env=environment, check=True, capture_output=True)
    assert measured(output) == (truth, counts)
