"""The highest mark of memory is found, forgotten and found again."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from zoo.evaluation import process_memory

BLOCK = 64 * 2**20
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system keeps no mark to set back"
)


def marks():
    """The mark before a block is taken, with it, after it and set back, and what is resident without it."""
    process_memory.forget_peak()
    before = process_memory.peak()
    block = torch.ones(BLOCK, dtype=torch.uint8)
    taken = process_memory.peak()
    del block
    after, resident = process_memory.peak(), process_memory.resident()
    process_memory.forget_peak()
    return before, taken, after, resident, process_memory.peak()


@needs_proc
def test_the_mark_rises_stays_and_can_be_set_back():
    # In a process of its own: one that has run many tests has memory to spare, and need not take any.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        before, taken, after, resident, again = pool.submit(marks).result()
    most = 3 * BLOCK // 4  # the system's count lags behind by some pages
    assert taken > before + most
    assert after > before + most > resident
    assert again < before + most


def test_a_system_without_proc_has_the_mark_of_getrusage(monkeypatch):
    monkeypatch.setattr(process_memory, "_STATUS", Path("/nowhere/status"))
    monkeypatch.setattr(process_memory, "_FORGET", Path("/nowhere/clear_refs"))
    process_memory.forget_peak()
    assert process_memory.peak() == process_memory.resident() > 10 * 2**20
