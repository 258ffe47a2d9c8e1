"""Components of a user in jobs: an edited file is measured anew, rows name its hash, jobs elsewhere find it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import zoo
from zoo.bench.suite.engines import same_imports
from zoo.bench.suite.jobs import configuration_of, digest_of_job, is_done, run_job, train_job
from zoo.bench.suite.worker import write_job
from zoo.errors import CheckpointError, ZooWarning
from zoo.evaluation.throughput import random_batch
from zoo.registry.registry import default_registry
from zoo.results.store import load_row

ROOT = Path(__file__).resolve().parents[3]
CORE = "from zoo.cores.vae import Vae\n\n\nclass MyCore(Vae):\n    '''A core of a file.'''\n"
REGISTRY = "version: 1\nvariants:\n  mine: {base: vae, core: {use: ./my_core.py:MyCore}, sizes: {smoke: {core: {use: ./my_core.py:MyCore, z_channels: 8, channels: 8}}}}\n"


@pytest.fixture
def core(tmp_path, monkeypatch):
    """A registry file that only the environment names, with a core in a file beside it."""
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "lab.yaml").write_text(REGISTRY)
    (folder / "my_core.py").write_text(CORE)
    monkeypatch.setenv("GQN_ZOO_REGISTRY", str(folder / "lab.yaml"))
    return folder / "my_core.py"


def test_an_edited_component_is_measured_anew(job, core):
    mine = job("mine")
    (path,) = run_job(mine)
    row = load_row(path)
    assert row.status == "ok" and row.core == "./my_core.py:MyCore"
    assert (
        row.provenance.components["core"].sha256
        == default_registry().variant("mine").config()["sources"]["core"]["sha256"]
    )
    assert is_done(mine)
    before = digest_of_job(mine), configuration_of(mine)
    core.write_text(CORE + "# edited\n")
    assert not is_done(mine) and digest_of_job(mine) != before[0] and configuration_of(mine) != before[1]
    with pytest.warns(ZooWarning, match="the code of core './my_core.py:MyCore' has changed since"):
        zoo.load_run(mine.run)
    again = load_row(run_job(replace(mine, run=mine.run.parent / "other"))[0])
    assert again.provenance.components["core"].sha256 != row.provenance.components["core"].sha256
    assert is_done(mine)


def test_a_run_is_not_resumed_with_edited_code(job, core):
    mine = job("mine")
    train_job(mine)
    core.write_text(CORE + "# edited\n")
    with pytest.raises(CheckpointError, match=r"sources\.core\.sha256"):
        train_job(mine)


def test_a_job_in_another_folder_finds_the_component(job, core, tmp_path):
    mine = job("mine")
    folder = tmp_path / "job"
    folder.mkdir()
    write_job(mine, folder)
    environment = {**os.environ, **same_imports()}
    assert environment["GQN_ZOO_REGISTRY"] == str(core.with_name("lab.yaml"))
    command = [sys.executable, "-m", "zoo.bench.suite.worker", str(folder)]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert [json.loads(path.read_text())["status"] for path in mine.rows.glob("*.json")] == ["ok"]


def test_a_loaded_run_has_model_variant_and_schedule(job, core):
    mine = job("mine")
    train_job(mine)
    run = zoo.load_run(mine.run)
    assert run.variant.name == "mine" and type(run.model.core).__name__ == "MyCore" and not run.model.training
    assert run.schedule.sigma.item() == pytest.approx(mine.variant.training.sigma.end)
    assert run.schedule.beta.item() == run.schedule.temperature.item() == 1.0
    batch = random_batch(batch_size=2, num_views=2, image_size=16)
    assert run.model(batch, run.schedule, 1).nelbo().shape == (2,)
    assert zoo.load_model(mine.run).num_parameters == run.model.num_parameters
