"""The memory of a step consists of parts, which add up."""

import sys

import pytest
import torch

from benchmarks.speed import peak_memory
from benchmarks.speed.peak_memory import BEFORE, FORWARD, MOMENTS, PEAK, SAVED, STEP, WEIGHTS
from benchmarks.speed.record import Findings
from zoo.evaluation.process_memory import resident

BLOCK = 64 * 2**20
MIB = 2**20


@pytest.mark.parametrize("side", ["fast", "plain"])
def test_the_parts_of_the_memory_of_a_step(side):
    found = peak_memory.memory_of_a_step("shared", "quick", side, torch.get_num_threads())
    assert found[MOMENTS] == 2 * found[WEIGHTS] > 0 and found[SAVED] > 0
    assert found[PEAK] >= found[FORWARD] - BLOCK and found[PEAK] >= found[BEFORE] - BLOCK
    assert found[STEP] > 0


def test_the_explanation_adds_up_to_the_peak():
    plain = {PEAK: 1200 * MIB, STEP: 380 * MIB, BEFORE: 700 * MIB, MOMENTS: 120 * MIB, SAVED: 150 * MIB}
    fast = {**plain, PEAK: 1140 * MIB, STEP: 320 * MIB, SAVED: 90 * MIB}
    text = peak_memory.explanation("shared", {"fast": fast, "plain": plain})
    assert "fast 1140 MiB = 820 of program, weights and moments + 90 of saved activations + 230 of gradients" in text
    assert "plain 1200 MiB = 820 of program, weights and moments + 150 of saved activations + 230 of gradients" in text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the peak of a process without its parent's")
def test_each_core_is_measured_in_a_fresh_process():
    block = torch.ones(8 * BLOCK, dtype=torch.uint8)
    findings = Findings(peak_memory.PART, log=print)
    peak_memory.peak_memory(findings, size="quick", repeats=1)
    peaks = {number.quantity: number.median for number in findings.measured}
    for side in ("fast", "plain"):
        assert 0 < peaks[f"{PEAK}, {side}"] < resident()
    del block
