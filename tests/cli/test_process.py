"""What only a process of its own can show: exit codes, signals to a whole terminal, a reader that leaves."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

SECONDS = 1200  # until a process counts as hung, also on a busy machine


def start(*arguments, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # A shell may start pytest with SIGINT ignored (as background jobs of scripts are), which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def test_exit_codes_reach_the_shell():
    process = start("describe", "vea")
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("gqn-zoo: variant 'vea' is not registered; did you mean 'vae'") and err.count("\n") == 1


def test_a_reader_that_leaves_early_gets_no_traceback():
    with start("list", "--json") as process:
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        process.wait(timeout=SECONDS)


@pytest.mark.faults
def test_ctrl_c_with_workers_ends_after_the_step_with_a_checkpoint(scenes, tmp_path):
    """Ctrl-C reaches every process of the terminal, those that read scenes too."""
    run = tmp_path / "run"
    arguments = ("train", "vae", "--size", "smoke", "--data", scenes, "-o", run, "--cpu", "-j", 1, "--log-interval", 1)
    process = start(*arguments, "--steps", 1_000_000, "--validation-interval", 10**6, start_new_session=True)
    try:
        # The third line of figures says that training is under way, workers and all.
        lines = [process.stderr.readline() for _ in range(3)]
        assert "step 3 of" in lines[-1], lines
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err and "Interrupted after step" in err
    step = int(re.search(r"Interrupted after step (\d+)", err)[1])
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{step:09d}"]
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == step
    for _ in range(50):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a process was left behind")
