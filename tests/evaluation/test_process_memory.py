"""The peak of resident memory rises, stays and can be reset."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from zoo.evaluation import process_memory

BLOCK = 64 * 2**20
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system's peak cannot be reset")


def peaks():
    """The peak before, with and after a block of memory, the resident memory after it, and the peak after a reset."""
    process_memory.reset_peak()
    before = process_memory.peak()
    block = torch.ones(BLOCK, dtype=torch.uint8)
    taken = process_memory.peak()
    del block
    after, resident = process_memory.peak(), process_memory.resident()
    process_memory.reset_peak()
    return before, taken, after, resident, process_memory.peak()


@needs_proc
def test_the_peak_rises_stays_and_can_be_reset():
    # In a fresh process: one that has run many tests has spare memory.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        before, taken, after, resident, again = pool.submit(peaks).result()
    most = 3 * BLOCK // 4  # the system's count lags by some pages
    assert taken > before + most
    assert after > before + most > resident
    assert again < before + most


def test_without_proc_the_peak_is_that_of_getrusage(monkeypatch):
    monkeypatch.setattr(process_memory, "_STATUS", Path("/nowhere/status"))
    monkeypatch.setattr(process_memory, "_CLEAR_REFS", Path("/nowhere/clear_refs"))
    process_memory.reset_peak()
    assert process_memory.peak() == process_memory.resident() > 10 * 2**20
