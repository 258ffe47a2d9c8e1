"""With submitit's local executor, which starts processes of this machine, and a slurm that writes down what it is given."""

import json
import sys
from dataclasses import replace

import pytest

from zoo.bench.suite.engines import ClusterEngine, ClusterJob
from zoo.bench.suite.jobs import digest_of_job
from zoo.bench.suite.runner import partition_jobs, run_jobs
from zoo.errors import ConfigError
from zoo.results.store import load_rows

pytest.importorskip("submitit")


@pytest.fixture
def engine(tmp_path):
    return ClusterEngine("local", output=tmp_path, parameters={"timeout_min": 5})


@pytest.mark.slow
def test_jobs_are_submitted_together_and_write_their_rows(job, tmp_path, listener, engine):
    jobs = [job("vae"), job("vae", "training.learning_rate={start: 1e6, end: 1e6, steps: 0}", seed=1)]
    failures = run_jobs(jobs, engine=engine, output=tmp_path, listener=listener)
    assert failures == jobs[1:]
    assert sorted(row.status for row in load_rows([tmp_path])) == ["nan", "ok"]
    assert partition_jobs(jobs, retry=False).waiting == []
    assert not list(tmp_path.rglob("submitted.json"))


def test_a_job_in_the_queue_is_not_submitted_again(job, tmp_path, engine, monkeypatch):
    """A killed runner left its file; the cluster still has the job."""
    submitted = []

    class Queued:
        def __init__(self, *, folder, job_id):
            self.job_id = job_id

        def done(self):
            return self.job_id != "17"

    monkeypatch.setattr(engine._executor._executor, "job_class", Queued)
    monkeypatch.setattr(engine._executor, "submit", lambda *arguments, **more: submitted.append(arguments) or Queued(folder="", job_id="18"))  # fmt: skip
    places = []
    for seed, record in enumerate(({"cluster": "local", "id": "17"}, {"cluster": "local", "id": "16"}, {"cluster": "slurm", "id": "17"}, None)):  # fmt: skip
        folder = tmp_path / digest_of_job(replace(job("vae"), seed=seed))
        folder.mkdir()
        if record:
            (folder / "submitted.json").write_text(json.dumps(record))
        places.append(folder)
    with pytest.warns(RuntimeWarning, match="No submission"):
        started = engine.start(places, retry=False)
    assert [entry[1] for entry in submitted] == [str(folder) for folder in places[1:]]
    assert not started[0].ended() and started[0].job.job_id == "17"
    assert json.loads((places[3] / "submitted.json").read_text()) == {"cluster": "local", "id": "18"}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Puts commands of slurm on the path; returns the folder with the scripts that were submitted."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    commands = {
        "srun": "exit 1",
        "sbatch": f'cp "$1" {folder}/submitted-$(ls {folder} | grep -c submitted).sh; echo Submitted batch job 4242',
        "sacct": "echo 'JobID|State|NodeList'; for task in 0 1 2; do echo \"4242_$task|RUNNING|n1\"; done",
    }
    for name, text in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_all_jobs_are_one_array_of_slurm_and_are_not_submitted_again(job, tmp_path, slurm):
    options = {"slurm_partition": "gpu", "timeout_min": 120, "slurm_array_parallelism": 2}
    engine = ClusterEngine("slurm", output=tmp_path, parameters=options, gpus_per_job=8)
    folders = [tmp_path / digest_of_job(replace(job("vae"), seed=seed)) for seed in range(3)]
    for folder in folders:
        folder.mkdir()
    started = engine.start(folders, retry=False)
    (script,) = slurm.glob("submitted-*")
    options = set(script.read_text().splitlines())
    assert options >= {
        "#SBATCH --array=0-2%2",
        "#SBATCH --gpus-per-node=8",
        "#SBATCH --ntasks-per-node=8",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=120",
    }
    assert [each.job.job_id for each in started] == ["4242_0", "4242_1", "4242_2"]
    assert not any(each.ended() for each in started)
    again = ClusterEngine("slurm", output=tmp_path, parameters={}, gpus_per_job=8)
    assert [each.job.job_id for each in again.start(folders, retry=False)] == ["4242_0", "4242_1", "4242_2"]
    assert len(list(slurm.glob("submitted-*"))) == 1


def test_an_end_by_the_cluster_is_a_failure(job, tmp_path, engine):
    class Ended:
        state = "OUT_OF_MEMORY"

        def done(self):
            return True

        def result(self):
            raise RuntimeError("exceeded\nlog")

    started = ClusterJob(tmp_path)
    started.job = Ended()
    assert isinstance(started.failure(), MemoryError)
    Ended.state = "TIMEOUT"
    assert "in state TIMEOUT: exceeded" in str(started.failure())
    Ended.result = lambda self: next(iter(()))
    assert "in state TIMEOUT: StopIteration" in str(started.failure())
    Ended.result = lambda self: 130
    assert isinstance(started.failure(), KeyboardInterrupt)


def test_a_mistake_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="--cluster moon"):
        ClusterEngine("moon", output=tmp_path, parameters={})
    with pytest.raises(ConfigError, match=r"--cluster local: .*timeout_minutes"):
        ClusterEngine("local", output=tmp_path, parameters={"timeout_minutes": 3})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"pip install 'gqn-zoo\[cluster\]'"):
        ClusterEngine("slurm", output=tmp_path, parameters={})
