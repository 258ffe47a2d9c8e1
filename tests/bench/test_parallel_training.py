"""Several runs at once equal the same runs one after the other."""

import os
import signal
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from zoo.bench.parallel_training import train_in_parallel
from zoo.bench.protocol import Protocol
from zoo.bench.suite.jobs import Job, run_folder, train_job
from zoo.data.make import make_dataset
from zoo.errors import ConfigError, OutOfMemoryError
from zoo.registry.registry import default_registry
from zoo.training import run_checkpoints


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "rooms"
    counts = {"train": 6, "validation": 2, "test": 2}
    return make_dataset("rooms_ring_camera", folder=folder, num_scenes=counts, image_size=16, workers=0)


def job_of(name, *, data, folder, overrides=()):
    variant = default_registry().variant(name, size="smoke", overrides=overrides)
    return Job(
        variant=variant,
        data=data,
        run=run_folder(folder, variant, seed=0),
        rows=folder / "rows",
        protocol=Protocol(repeats=0),
        cpu=True,
    )


def test_runs_at_once_equal_runs_one_by_one_and_tell_every_step(data, tmp_path):
    at_once = [job_of(name, data=data, folder=tmp_path / "at-once") for name in ("gqn-pyramid", "vae")]
    told = []
    train_in_parallel(at_once, cores=2, progress=lambda job, step, figures: told.append((job.variant.name, step)))
    steps = at_once[0].variant.training.steps
    assert sorted(told) == [(name, step) for name in ("gqn-pyramid", "vae") for step in range(1, steps + 1)]
    for job in at_once:
        alone = job_of(job.variant.name, data=data, folder=tmp_path / "alone")
        train_job(alone)
        one, other = (load_file(run_checkpoints.find(run).path / "model.safetensors") for run in (job.run, alone.run))
        assert one.keys() == other.keys()
        for name, weights in one.items():
            assert abs(weights - other[name]).max() <= 1e-5 * max(1.0, abs(weights).max())


def test_a_users_mistake_in_one_run_is_told(data, tmp_path):
    jobs = [job_of("vae", data=data, folder=tmp_path, overrides=["training.contexts.maximum=50"])]
    with pytest.raises(ConfigError, match="50 context views"):
        train_in_parallel(jobs, cores=1, progress=lambda job, step, figures: None)


def test_a_killed_process_is_one_clear_error(data, tmp_path):
    jobs = [job_of("vae", data=data, folder=tmp_path, overrides=["training.steps=100000"])]

    def kill(job, step, figures):
        if step == 3:
            for pid in (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()):
                if parent_of(pid) == os.getpid() and "spawn_main" in command_of(pid):
                    os.kill(pid, signal.SIGKILL)

    with pytest.raises(OutOfMemoryError, match="ended from outside"):
        train_in_parallel(jobs, cores=1, progress=kill)


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
