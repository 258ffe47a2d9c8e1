"""The memory of a step is told in its parts, which add up."""

import sys

import pytest
import torch

from benchmarks.speed import peak_memory
from benchmarks.speed.peak_memory import Memory
from zoo.evaluation.process_memory import resident

BLOCK = 64 * 2**20


@pytest.mark.parametrize("side", ["fast", "plain"])
def test_the_memory_of_a_step_is_told_in_its_parts(side):
    found = peak_memory._of_a_step("shared", "quick", side, torch.get_num_threads())
    assert found.moments == 2 * found.weights > 0 and found.saved > 0
    assert found.peak >= found.after_forward - BLOCK and found.peak >= found.before - BLOCK
    assert found.step > 0


def test_the_reason_adds_up_to_the_peak():
    mib = 2**20
    plain = Memory(
        before=700 * mib, weights=60 * mib, moments=120 * mib, saved=150 * mib, after_forward=0, peak=1200 * mib
    )
    text = peak_memory._reason("shared", {"fast": plain._replace(saved=90 * mib, peak=1140 * mib), "plain": plain})
    assert "fast 1140 MiB = 820 of program, weights and moments + 90 of saved activations + 230 of gradients" in text
    assert "plain 1200 MiB = 820 of program, weights and moments + 150 of saved activations + 230 of gradients" in text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the mark of a program of its own is Linux's")
def test_every_way_is_measured_in_a_process_of_its_own():
    block = torch.ones(8 * BLOCK, dtype=torch.uint8)
    found = peak_memory.peak_memory(size="quick", repeats=1, tell=lambda sentence: None)
    peaks = {number.quantity: number.median for number in found.measured}
    for side in ("fast", "plain"):
        assert 0 < peaks[f"peak resident memory, {side}"] < resident()
    del block
