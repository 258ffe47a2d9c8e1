"""docs/scale.md is computed from its record; the simulated launch finds shares that are not the global batch."""

import json

import pytest

from benchmarks import scale
from zoo.data.plan import Share

ASSUMED = scale.Assumed()


@pytest.fixture(scope="module")
def record():
    return json.loads(scale.RECORD.read_text())


def test_the_page_is_that_of_the_record(record):
    """It is written by: python -m benchmarks.scale."""
    page = scale.PAGE.read_text()
    begin, end = "<!-- scale:begin -->\n", "\n<!-- scale:end -->"
    assert page.partition(begin)[2].partition(end)[0] == "\n".join(scale.tables(record, ASSUMED)).strip()


@pytest.mark.parametrize("processes", [8, 64])
def test_shares_of_a_launch_are_the_global_batch(processes):
    assert scale.simulate_launch(processes, steps=2, num_scenes=10_000) > 0.0


def test_a_process_that_takes_the_share_of_another_is_found(monkeypatch):
    real = Share.part
    monkeypatch.setattr(Share, "part", lambda share, plan, piece: real(share._replace(rank=0), plan, piece))
    with pytest.raises(AssertionError):
        scale.simulate_launch(8, steps=1, num_scenes=10_000)


def test_one_gpu_exchanges_nothing_and_a_slow_network_decides_at_64(record):
    (one, many, slow) = (
        scale.make_plan("gqn-tower", gpus, record=record, loader=50_000.0, assumed=assumed)
        for gpus, assumed in ((1, ASSUMED), (64, ASSUMED), (64, ASSUMED._replace(network_gigabytes=0.1)))
    )
    assert one.efficiency == 1.0 and one.loads["exchange of gradients"] == 0.0
    assert many.batch == 64 * one.batch and many.images > one.images
    assert slow.efficiency < many.efficiency <= 1.0
    assert max(slow.loads, key=slow.loads.get) == "exchange of gradients" and slow.seconds > many.seconds
