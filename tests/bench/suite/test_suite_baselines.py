from dataclasses import replace

from zoo.bench.baselines import measure_baselines
from zoo.bench.protocol import Protocol
from zoo.results.store import load_rows


def test_every_set_of_episodes_gets_its_baselines_once(job, tmp_path):
    protocol = Protocol(repeats=0, metrics=())
    jobs = [
        job(name, seed=seed, contexts=[1, 2], protocol=protocol)
        for name in ("vae", "cvae", "gqn-tower-8bit")
        for seed in (0, 1)
    ]
    jobs.append(replace(jobs[0], data=None))
    rows = tmp_path / "rows"
    assert len(measure_baselines(jobs, rows=rows)) == 4
    found = {(row.variant, row.key.num_context) for row in load_rows([rows])}
    assert found == {(name, number) for name in ("mean-image", "nearest-view") for number in (1, 2)}
    assert measure_baselines(jobs, rows=rows) == []
    other = [replace(jobs[0], protocol=replace(protocol, sigma=0.5))]
    assert len(measure_baselines(other, rows=rows)) == 4


def test_episodes_that_do_not_fit_are_skipped(job, tmp_path):
    assert len(measure_baselines([job("vae", contexts=[9, 1])], rows=tmp_path / "rows")) == 2
