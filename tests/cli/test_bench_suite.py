"""``gqn-zoo bench --suite NAME``."""

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
    retried = bench(gqn_zoo, file, output, "--models", "vae", "--seeds", 0, "--retry")
    assert retried.code == 1 and "1 of 1 jobs failed" in retried.err and len(models_in(output)) == 4


def test_at_equal_compute_every_variant_gets_its_own_number_of_updates(gqn_zoo, suite, tmp_path):
    lines = bench(gqn_zoo, suite("flops: 1.0e9"), tmp_path / "out", "--dry-run").out.splitlines()
    updates = {words[0]: int(words[4]) for words in map(str.split, lines) if "@smoke" in words[0]}
    assert set(updates) == {"vae@smoke", "cvae@smoke"} and len(set(updates.values())) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
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
