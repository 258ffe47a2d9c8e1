from dataclasses import replace

from zoo.bench.protocol import Protocol
from zoo.bench.suite.baselines import leave_references
from zoo.results.store import load_rows


def test_every_set_of_episodes_gets_its_references_once(job, tmp_path):
    protocol = Protocol(repeats=0, metrics=())
    jobs = [
        job(name, seed=seed, contexts=[1, 2], protocol=protocol)
        for name in ("vae", "cvae", "gqn-tower-8bit")
        for seed in (0, 1)
    ]
    jobs.append(replace(jobs[0], data=None))
    rows = tmp_path / "rows"
    assert len(leave_references(jobs, rows=rows)) == 4
    found = {(row.variant, row.key.num_context) for row in load_rows([rows])}
    assert found == {(name, number) for name in ("mean-image", "nearest-view") for number in (1, 2)}
    assert leave_references(jobs, rows=rows) == []
    other = [replace(jobs[0], protocol=replace(protocol, sigma=0.5))]
    assert len(leave_references(other, rows=rows)) == 4


def test_what_does_not_fit_is_left_to_the_job(job, tmp_path):
    assert len(leave_references([job("vae", contexts=[9, 1])], rows=tmp_path / "rows")) == 2
