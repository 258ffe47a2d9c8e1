"""The commands one after the other, as a user types them, at sizes of seconds."""

import json
import re
from collections import Counter

import pytest

from zoo.data.inspection import inspect_scenes
from zoo.results.store import load_rows

QUICK = ("--repeats", 1, "--prediction-samples", 1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def succeeded(outcome):
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    return outcome


def test_from_rendering_to_a_table(gqn_zoo, work, contents):
    data, records, again = work / "rooms", work / "records", work / "again"
    make = ("data", "make", "rooms_ring_camera", "-o", data, "--train", 6, "--validation", 2, "--test", 3)
    make = (*make, "--image-size", 16, "-j", 0)
    outcome = succeeded(gqn_zoo(*make, "--dry-run"))
    assert "Nothing was written" in outcome.out and contents(work) == {}
    outcome = succeeded(gqn_zoo(*make))
    assert str(data) in outcome.out and "11 scenes" in outcome.out

    sheet = work / "sheet.png"
    assert succeeded(gqn_zoo("data", "show", data, "-o", sheet, "--scenes", 2)).out.strip() == str(sheet)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    facts = json.loads(succeeded(gqn_zoo("data", "inspect", data, "--verify", "--json")).out)
    assert facts["verified"] and facts["splits"]["train"]["num_scenes"] == 6 and facts["image_size"] == 16
    assert "all checksums match" in succeeded(gqn_zoo("data", "inspect", data, "--verify")).out

    assert "train 6" in succeeded(gqn_zoo("data", "convert", data, "-o", records, "--to", "tfrecord")).out
    assert "test 2" in succeeded(gqn_zoo("data", "convert", records, "-o", again, "--max-scenes", 2)).out
    assert inspect_scenes(again)["splits"]["train"]["num_scenes"] == 2

    run = work / "run"
    train = ("train", "gqn-tower", "--size", "smoke", "--data", data, "-o", run, "--cpu", "--log-interval", 2)
    before = contents(work)
    outcome = succeeded(gqn_zoo(*train, "--dry-run"))
    assert "Nothing was written." in outcome.out and "NELBO" in outcome.out and contents(work) == before
    outcome = succeeded(gqn_zoo(*train))
    assert f"Next: gqn-zoo evaluate {run} --data {data}" in " ".join(outcome.err.split())
    assert "gqn-tower: step 2 of 4" in outcome.err and outcome.out == ""

    image = work / "predictions.png"
    outcome = succeeded(
        gqn_zoo(
            *("evaluate", run, "--data", data, "--cpu", "--contexts", "1,2", "-K", "2,3", "--baselines"),
            *("--metrics", "wrong-context,predictions", "--sheet", image, *QUICK),
        )
    )
    assert image.read_bytes().startswith(b"\x89PNG") and "size smoke" in outcome.out
    found = load_rows([run / "results"])
    references = Counter((row.variant, row.key.num_context) for row in found if row.is_baseline)
    assert references == {(name, number): 1 for name in ("mean-image", "nearest-view") for number in (1, 2)}
    rows = [row for row in found if not row.is_baseline]
    assert [row.key.num_context for row in rows] in ([1, 2], [2, 1]) and {row.status for row in rows} == {"ok"}
    assert all({"iwae_2", "iwae_3_gap", "mse_best", "wrong_context_nelbo_excess"} <= set(row.metrics) for row in rows)
    assert not any("bits_per_dim" in row.metrics or "reconstruction_mse" in row.metrics for row in rows)
    assert all(row.provenance.trained_git == row.provenance.git for row in rows)
    assert str(work) not in rows[0].provenance.command

    bench = ("bench", "--models", "vae,cvae", "--size", "smoke", "--data", data, "-o", work / "suite", "--cpu")
    before = contents(work)
    outcome = succeeded(gqn_zoo(*bench, "--dry-run"))
    planned = [line.split()[:5] for line in outcome.out.splitlines() if "@smoke" in line]
    assert planned == [[f"{name}@smoke", "data", "most", "0", "4"] for name in ("cvae", "vae")]
    assert "2 of 2 jobs to do" in outcome.out
    assert contents(work) == before

    tables = work / "tables"
    outcome = succeeded(
        gqn_zoo("compare", run / "results", "-o", tables, "--curve", f"gqn={run}", "--metric", "train/nelbo_excess")
    )
    assert "gqn-tower" in outcome.out and "size smoke" in outcome.out
    assert {"comparison.csv", "comparison.md", "comparison.tex", "curves.png"} <= {
        path.name for path in tables.iterdir()
    }
    readme = work / "README.md"
    readme.write_text("before\n<!-- results:begin -->\nSTALE\n<!-- results:end -->\nafter\n")
    succeeded(gqn_zoo("compare", run / "results", "--readme", readme))
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "STALE" not in text and "gqn-tower" in text
    two = [str(path) for path in sorted((run / "results" / "rows").glob("*gqn-tower*.json"))]
    outcome = gqn_zoo("diff", *two)
    assert outcome.code == 3 and "num_context 1 against 2" in outcome.err.replace("2 against 1", "1 against 2")


def test_a_suite_measures_and_resumes(gqn_zoo, work, scenes, in_this_process):
    """In this process; that each variant has one of its own is tested with the suite."""
    output = work / "bench"
    command = ("bench", "--models", "vae,cvae*", "--exclude", "*standard", "--size", "smoke", "--data", scenes)
    command = (*command, "-o", output, "--cpu", "--repeats", 1, "--seeds", "0,1", "--contexts", "1,2")
    outcome = succeeded(gqn_zoo(*command))
    assert " vae " in outcome.out and " cvae " in outcome.out and "size smoke" in outcome.out
    rows = load_rows([output])
    assert len(rows) == 8 and {row.status for row in rows} == {"ok"}
    assert {"comparison.csv", "comparison.md", "comparison.tex"} <= {
        path.name for path in (output / "tables").iterdir()
    }
    outcome = succeeded(gqn_zoo(*command))
    assert "4 of 4 have their rows already" in outcome.err and len(load_rows([output])) == 8
    assert "0 of 4 jobs to do" in gqn_zoo(*command, "--dry-run").out
    more = [*command[:-1], "0,1,2"]
    planned = gqn_zoo(*more, "--dry-run").out
    assert "4 of 4 jobs to do" in planned, "another number of context views has no row yet"
    speeds = ("bench", "--models", "vae", "--size", "smoke", "-o", work / "speeds", "--cpu", "--repeats", 1)
    assert "size smoke" in succeeded(gqn_zoo(*speeds)).out
    (row,) = load_rows([work / "speeds"])
    assert row.key is None and row.performance


def test_an_interrupted_run_says_how_to_go_on_and_does(gqn_zoo, work, scenes, monkeypatch):
    import signal

    from zoo.training.session import Tracker

    real = Tracker.log

    def log(self, step, values):
        real(self, step, values)
        if step == 2 and "train/nelbo" in values:
            signal.raise_signal(signal.SIGTERM)

    run = work / "interrupted"
    command = ("train", "vae", "--size", "smoke", "--data", scenes, "-o", run, "--cpu", "--log-interval", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "log", log)
        outcome = gqn_zoo(*command)
    assert outcome.code == 143
    assert "Interrupted after step 2; a checkpoint was written" in outcome.err and "--resume auto" in outcome.err
    succeeded(gqn_zoo(*command, "--resume", "auto"))
    assert (run / "checkpoints" / "step-000000004").is_dir()


def test_a_loss_that_is_not_finite_ends_with_code_4_and_an_intact_checkpoint(gqn_zoo, work, scenes):
    from zoo.training import run_checkpoints

    run = work / "diverged"
    changes = ("--set", "training.learning_rate={start: 1e6, end: 1e6, steps: 0}", "--save-interval", 1)
    outcome = gqn_zoo("train", "vae", "--size", "smoke", "--data", scenes, "-o", run, "--cpu", *changes)
    assert outcome.code == 4
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("gqn-zoo:")]
    step = int(
        re.match(r"gqn-zoo: step (\d+): the loss or its gradient is not finite; the update was not made", line)[1]
    )
    found, problems = run_checkpoints.newest(run)
    assert found.state.step == step >= 1 and problems == []


def test_a_dry_run_of_the_quickstart_writes_nothing(gqn_zoo, work, contents):
    before = contents(work)
    outcome = succeeded(gqn_zoo("quickstart", "-o", work / "quick", "--dry-run"))
    assert "Nothing was written." in outcome.out and outcome.out.count("@small") == 3
    assert contents(work) == before
