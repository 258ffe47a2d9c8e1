"""``gqn-zoo bench --suite NAME``."""

import json
import signal
import subprocess
import sys
import time

import pytest

from zoo.results.store import load_rows

SUITE = """\
version: 1
title: tiny
data:
  rooms: {{recipe: rooms_ring_camera, image_size: 16, views: 4, train: 8, validation: 2, test: 3}}
  noise: {{folder: "{scenes}"}}
parts:
  - {{variants: ["*vae"], exclude: [cvae-standard], size: smoke, data: [rooms], contexts: [1, 2]}}
  - {{variants: [vae], size: smoke, data: [noise], {more}}}
seeds: [0, 1]
budget: {{{budget}}}
prediction_samples: 1
metrics: [predictions]
repeats: 0
"""


@pytest.fixture
def suite(tmp_path, scenes):
    def write(budget="steps: 3", more="contexts: [1]"):
        path = tmp_path / "tiny.yaml"
        path.write_text(SUITE.format(scenes=scenes, budget=budget, more=more))
        return path

    return write


def models_in(folder):
    return [row for row in load_rows([folder]) if not row.is_baseline]


def bench(gqn_zoo, suite, output, *more):
    return gqn_zoo("bench", "--suite", suite, "-o", output, "--cpu", *more)


def test_a_suite_from_its_scenes_to_the_tables(gqn_zoo, suite, tmp_path, in_this_process, contents):
    file, output = suite(), tmp_path / "out"
    plan = bench(gqn_zoo, file, output, "--dry-run")
    assert plan.code == 0 and "6 of 6 jobs to do" in plan.out and "Nothing was written" in plan.out
    assert not output.exists()
    first = bench(gqn_zoo, file, output, "--limit-jobs", 2)
    assert first.code == 0 and len(models_in(output)) == 4
    baselines = [row for row in load_rows([output]) if row.is_baseline]
    assert len(baselines) == 6, "two of them, on two numbers of views of the one and on one of the other scenes"
    assert "4 of 6 jobs to do" in bench(gqn_zoo, file, output, "--dry-run").out
    rest = bench(gqn_zoo, file, output)
    assert rest.code == 0 and "2 of 6 have their rows already" in rest.err and "[4 of 4]" in rest.err
    rows = models_in(output)
    assert len(load_rows([output])) == 10 + len(baselines)
    assert len(rows) == 10 and {row.status for row in rows} == {"ok"} and {row.budget.steps for row in rows} == {3}
    assert {row.key.dataset for row in rows} == {"rooms_ring_camera", "noise"}
    assert (output / "tables" / "comparison.csv").is_file() and len(in_this_process) == 6
    before = contents(output)
    assert "0 of 6 jobs to do" in bench(gqn_zoo, file, output, "--dry-run").out
    assert bench(gqn_zoo, file, output).code == 0
    assert contents(output) == before and len(in_this_process) == 6
    refused = bench(gqn_zoo, file, output, "--no-resume")
    assert refused.code == 2 and "holds rows already" in refused.err


def test_failures_are_reported_and_run_again_with_retry(gqn_zoo, suite, tmp_path, in_this_process):
    file, output = suite(more="contexts: [9]"), tmp_path / "out"
    assert bench(gqn_zoo, file, output, "--models", "vae", "--seeds", 0).code == 1
    assert sorted(row.status for row in models_in(output)) == ["error", "ok", "ok"]
    again = bench(gqn_zoo, file, output, "--models", "vae", "--seeds", 0)
    assert again.code == 0 and "1 of 2 failed before and are not run again; --retry" in again.err
    assert "1 failed" in bench(gqn_zoo, file, output, "--models", "vae", "--seeds", 0, "--dry-run").out
    time.sleep(1.1)  # equal failures of the same second are one row
    retried = bench(gqn_zoo, file, output, "--models", "vae", "--seeds", 0, "--retry")
    assert retried.code == 1 and "1 of 1 jobs failed" in retried.err and len(models_in(output)) == 4


def test_at_equal_compute_every_variant_gets_its_own_number_of_updates(gqn_zoo, suite, tmp_path):
    lines = bench(gqn_zoo, suite("flops: 1.0e9"), tmp_path / "out", "--dry-run").out.splitlines()
    updates = {words[0]: int(words[4]) for words in map(str.split, lines) if "@smoke" in words[0]}
    assert set(updates) == {"vae@smoke", "cvae@smoke"} and len(set(updates.values())) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--models vae --size smoke --json", "--json: requires --dry-run"),
        ("--models vae --size smoke --data nowhere", "nowhere: there is no such folder"),
        ("--models vae --size smoke --seeds 9223372036854775808", "--seeds: found 9223372036854775808"),
        ("--suite smoek", "--suite: there is no suite 'smoek'; did you mean 'smoke'"),
        ("--suite smoke --data x", "--data: the file of --suite smoke has this setting"),
        ("--suite smoke --set core.steps=3", "--set: the file of"),
        ("--suite smoke --size full", "--size: the file of"),
        ("--suite smoke --models gqn-towre", "did you mean 'gqn-tower'"),
        ("--suite none.yaml", "none.yaml: cannot be read"),
        ("--models vae --size smoke --cluster-option a=1", "--cluster-option: requires --cluster"),
        ("--models vae --size smoke --cpu --gpus-per-job 2", "there is no GPU"),
    ],
)
def test_a_mistake_in_the_options_is_one_sentence(gqn_zoo, tmp_path, options, sentence):
    outcome = gqn_zoo(f"bench {options} -o {tmp_path}/new")
    assert outcome.code == 2 and sentence in outcome.err and "Traceback" not in outcome.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("more", ["", "--dry-run"])
def test_too_few_gpus_are_refused_before_anything_is_counted(gqn_zoo, tmp_path, more):
    outcome = gqn_zoo(f"bench --suite smoke --cpu --gpus-per-job 4 {more} -o {tmp_path}/new")
    assert outcome.code == 2 and "--gpus-per-job: found 4" in outcome.err
    assert len(outcome.err.splitlines()) == 1 and not outcome.out and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  rooms: {", "  ../../../pwn: {", "is not a name"),
        ('folder: "', 'folder: "/no/such', "there is no such folder"),
        ("steps: 3", "flops: 1.0e+300", "budget.flops: found 1e+300"),
    ],
)
def test_a_dry_run_checks_the_whole_suite(gqn_zoo, suite, tmp_path, contents, old, new, message):
    file = suite()
    file.write_text(file.read_text().replace(old, new))
    before = contents(tmp_path)
    for more in ([], ["--dry-run"]):
        outcome = bench(gqn_zoo, file, tmp_path / "a" / "b" / "out", *more)
        assert outcome.code == 2 and message in outcome.err and str(file) in outcome.err
    assert contents(tmp_path) == before


def test_a_dry_run_as_json_has_every_job(gqn_zoo, suite, tmp_path):
    outcome = bench(gqn_zoo, suite(), tmp_path / "out", "--dry-run", "--json", "--models", "vae")
    plan = json.loads(outcome.out)
    assert plan["to_do"] == 4 == len(plan["jobs"]) and plan["seconds"] > 0
    first = plan["jobs"][0]
    assert (first["variant"], first["data"], first["contexts"], first["steps"]) == ("vae@smoke", "rooms", [1, 2], 3)
    assert first["flops"] == first["flops_per_scene"] * first["batch_size"] * 3 and first["status"] == "to do"
    assert plan["flops"] == sum(job["flops"] for job in plan["jobs"])


def test_every_job_is_announced_before_it_ends(gqn_zoo, suite, tmp_path, in_this_process):
    outcome = bench(gqn_zoo, suite(), tmp_path / "out", "--models", "vae", "--seeds", 0)
    lines = outcome.err.splitlines()
    place = {
        word: [n for n, line in enumerate(lines) if line.endswith(word) or f"{word};" in line]
        for word in ("started", "done")
    }
    assert lines[0].startswith("counting") and any("making 13 scenes of rooms" in line for line in lines)
    assert len(place["started"]) == len(place["done"]) == 2 and place["started"][0] < place["done"][0]


def test_ctrl_c_is_reported_and_the_same_command_resumes(gqn_zoo, suite, tmp_path, in_this_process, monkeypatch):
    from zoo.training.session import Tracker

    real = Tracker.log

    def log(self, step, values):
        real(self, step, values)
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    command = (suite(), tmp_path / "out", "--models", "vae", "--seeds", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "log", log)
        outcome = bench(gqn_zoo, *command)
    assert outcome.code == 130 and "gqn-zoo: interrupted" in outcome.err and "the same command resumes" in outcome.err
    assert "Traceback" not in outcome.err and not models_in(tmp_path / "out")
    assert bench(gqn_zoo, *command).code == 0 and len(models_in(tmp_path / "out")) == 3


@pytest.mark.parametrize("stage", ["plan_suite", "assign_run_dirs"])
def test_ctrl_c_before_the_first_job_is_reported_as_well(gqn_zoo, suite, tmp_path, stage, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"zoo.cli.bench_suite.{stage}", interrupt)
    outcome = bench(gqn_zoo, suite(), tmp_path / "out")
    assert outcome.code == 130 and "gqn-zoo: interrupted" in outcome.err


@pytest.mark.slow
def test_ctrl_c_reaches_a_job_in_its_own_process(suite, tmp_path):
    """As from a terminal, also where the shell that started the tests ignores SIGINT."""
    output = tmp_path / "out"
    command = [sys.executable, "-m", "zoo", "bench", "--suite", str(suite("steps: 100000")), "-o", str(output), "--cpu"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    while process.poll() is None and not list(output.glob("runs/**/metrics.jsonl")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "gqn-zoo: interrupted" in errors and "Traceback" not in errors
    assert list(output.glob("runs/**/checkpoints/step-*")) and not models_in(output)
