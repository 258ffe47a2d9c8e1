"""Two processes are one: the same weights, the same figures, the same end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import two_processes
from accelerate import Accelerator
from safetensors.torch import load_file

from zoo.cli.main import main
from zoo.training import run_checkpoints

SCRIPT = Path(two_processes.__file__)
SECONDS = 1200  # until a process counts as hung, also on a busy machine
LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def start(command, *, mark, **variables):
    """Starts a process that bears a mark, as does everything that it starts."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), "MARK": str(mark)}
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, **variables},
    )


def wait(*processes, mark, seconds=SECONDS):
    """Waits, and ends every process that is left; returns the exit codes and the outputs."""
    try:
        outputs = [process.communicate(timeout=seconds)[0] for process in processes]
        left = alive(mark)
    finally:
        for number in alive(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for process in processes:
            process.wait()
    assert left == [], "no process is left"
    return [process.returncode for process in processes], outputs


def alive(mark):
    """Returns the numbers of the processes that bear a mark."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"MARK={mark}".encode() in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory, scenes):
    """What two processes found, by rank, and their folder."""
    folder = tmp_path_factory.mktemp("two")
    (code,), (output,) = wait(start([*LAUNCHER, SCRIPT, "all", folder, scenes], mark=folder), mark=folder)
    assert code == 0, output
    ranks = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]
    # Without this everything below would compare one process with one process.
    assert [rank["num_processes"] for rank in ranks] == [2, 2]
    return ranks, folder


def test_every_process_gets_every_score_as_one_process_computes_it(two):
    ranks, _ = two
    alone = two_processes.evaluate(Accelerator(cpu=True))
    assert ranks[0]["evaluate"] == ranks[1]["evaluate"]
    for size, scores in alone.items():
        found = ranks[0]["evaluate"][size]
        assert found.keys() == scores.keys() and len(scores) == 9
        assert found["scene"] == scores["scene"] == list(range(int(size.split()[0])))
        for name, values in scores.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-4, err_msg=f"{size}: {name}")


def close(one, other):
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-5, atol=5e-6)
    return one.keys() == other.keys()


@pytest.mark.parametrize("settings", ["train", "accumulate", "objective"])
def test_two_processes_train_to_the_weights_of_one(two, scenes, tmp_path, settings, look):
    ranks, folder = two
    assert ranks[0][settings] == ranks[1][settings], "to the bit"
    assert ranks[0][settings]["status"] == "finished" and ranks[0][settings]["step"] == 4
    two_processes.train(tmp_path / "one", scenes, *two_processes.TRAININGS[settings])
    for step in (1, 4):
        mine, theirs = look.folder(tmp_path / "one", step), look.folder(folder / settings, step)
        for file in ("model.safetensors", "optimizer.safetensors"):
            assert close(load_file(mine / file), load_file(theirs / file))
    for one, both in zip(look.rows(tmp_path / "one"), look.rows(folder / settings), strict=True):
        assert one.keys() == both.keys()
        for name, value in one.items():
            assert both[name] == pytest.approx(value, rel=1e-4), name


def test_the_program_under_torchrun_trains_to_the_weights_of_the_program_alone(two, scenes, tmp_path, look):
    ranks, folder = two
    assert [rank["program"] for rank in ranks] == [0, 0]
    arguments = ["train", "gqn-tower", "--size", "smoke", "--data", str(scenes), "--cpu", "--seed", "2"]
    with pytest.raises(SystemExit) as leave:
        main([*arguments, "-o", str(tmp_path / "one"), "--log-interval", "1"])
    assert leave.value.code == 0
    mine, theirs = look.folder(tmp_path / "one", 4), look.folder(folder / "program", 4)
    assert close(load_file(mine / "model.safetensors"), load_file(theirs / "model.safetensors"))
    assert len(look.rows(folder / "program")) == len(look.rows(tmp_path / "one")) == 5, "one process alone writes"
    # A run of two processes may be resumed by one, and the other way round: the configuration is the same.
    for file in ("config.yaml", "checkpoints/step-000000004/MANIFEST.json"):
        assert (folder / "program" / file).is_file()
    assert (folder / "program" / "config.yaml").read_text() == (tmp_path / "one" / "config.yaml").read_text()


def test_a_batch_that_cannot_be_divided_by_two_is_refused_by_both(two):
    ranks, folder = two
    assert [rank["indivisible"] for rank in ranks] == [2, 2]
    assert not (folder / "indivisible").exists()


@pytest.mark.faults
def test_values_that_are_not_finite_on_one_process_stops_both_before_the_update(two):
    ranks, folder = two
    for rank, found in enumerate(ranks):
        assert found["nan"]["exit_code"] == 4 and found["nan"]["unchanged"] and found["nan"]["steps_before"] == 2
        assert found["nan"]["message"].startswith("step 2: the loss or its gradient is not finite")
        assert ("Not finite: scenes [" in found["nan"]["message"]) == (rank == 1)
    assert ranks[0]["nan"]["checkpoints"] == ["step-000000001", "step-000000002"]
    weights = load_file(folder / "nan" / "checkpoints" / "step-000000002" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.faults
def test_a_signal_to_one_process_ends_both_at_the_same_step(two):
    ranks, folder = two
    assert ranks[0]["signal"] == ranks[1]["signal"]
    assert (ranks[0]["signal"]["status"], ranks[0]["signal"]["step"]) == ("interrupted", 2)
    assert (folder / "signal" / "checkpoints" / "step-000000002").is_dir()


@pytest.mark.faults
def test_values_that_are_not_finite_on_one_process_ends_the_program_on_both_with_code_4(tmp_path, scenes, look):
    """Without a launcher, which has an exit code of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    processes = [
        start([SCRIPT, "nan", tmp_path, scenes], mark=tmp_path, RANK=str(rank), LOCAL_RANK=str(rank), **place)
        for rank in range(2)
    ]
    assert len(alive(tmp_path)) == 2
    codes, outputs = wait(*processes, mark=tmp_path)
    assert codes == [4, 4], outputs
    for output in outputs:
        assert "gqn-zoo: step 2: the loss or its gradient is not finite" in output and "Traceback" not in output
    assert look.steps(tmp_path / "program") == [1, 2]


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_faults_of_one_process_again_and_again(tmp_path, scenes, record_property):
    """20 signals to one process and 20 values that are not finite on one process, at random steps."""
    count = 20
    run = start([*LAUNCHER, SCRIPT, f"faults={count}", tmp_path, scenes], mark=tmp_path)
    (code,), (output,) = wait(run, mark=tmp_path, seconds=7000)
    assert code == 0, output
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    for one, other in zip(*(rank["signal"] for rank in ranks), strict=True):
        assert (one["status"], one["step"], one["model"]) == (other["status"], other["step"], other["model"])
        assert one["newest"] == one["step"] and one["problems"] == [] and one["seconds"] <= 10
    for one, other in zip(*(rank["nan"] for rank in ranks), strict=True):
        assert one["exit_code"] == other["exit_code"] == 4 and one["unchanged"] and other["unchanged"]
        assert one["steps_before"] == other["steps_before"] == one["at"]
    for path in tmp_path.glob("nan-*/checkpoints/step-*/model.safetensors"):
        assert all(torch.isfinite(value).all() for value in load_file(path).values()), path
    record_property("SIGTERM to one process, valid checkpoints", f"{len(ranks[0]['signal'])} of {count}")
    slowest = max(one["seconds"] for one in ranks[0]["signal"])
    record_property("slowest end after a SIGTERM (s)", f"{slowest:.2f}")
    record_property("not finite on one process, both stopped before the update", f"{len(ranks[0]['nan'])} of {count}")


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("fault", "rank", "seconds"),
    [
        (signal.SIGKILL, 1, 10),
        (signal.SIGKILL, 0, 10),
        # Half a minute until the other process gives up waiting, and as long until the launcher kills a process that does
        # not react to SIGTERM.
        (signal.SIGSTOP, 1, 30 + 30 + 10),
    ],
    ids=["dead rank 1", "dead rank 0", "hung rank 1"],
)
def test_a_process_that_dies_or_hangs_ends_the_run(tmp_path, scenes, fault, rank, seconds, record_property):
    launcher = start([*LAUNCHER, SCRIPT, "endless", tmp_path, scenes], mark=tmp_path)
    run, deadline = tmp_path / "run", time.monotonic() + SECONDS
    try:
        while len(run_checkpoints.all_steps(run)) < 3:
            assert time.monotonic() < deadline and launcher.poll() is None, "training did not begin"
            time.sleep(0.05)
        os.kill(int((tmp_path / f"pid-{rank}").read_text()), fault)
        started = time.monotonic()
    finally:
        (code,), (output,) = wait(launcher, mark=tmp_path)
    taken = time.monotonic() - started
    assert code != 0 and taken <= seconds, output
    newest, problems = run_checkpoints.newest(run)
    assert newest is not None and newest.state.step >= 3 and problems == []
    record_property("end of the launcher after the fault (s)", f"{taken:.1f}")
