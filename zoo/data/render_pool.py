"""Rendering in several processes: pieces of work in order, with interrupts and killed processes dealt with."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

import torch

from zoo.errors import DataError
from zoo.provenance import usable_cores

# Pieces handed out but not yet written, for each process: bounds the memory when writing is slower than rendering.
PIECES_AHEAD = 3

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def _exit_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _start_worker() -> None:
    """Prepares a process of the pool: one thread; ignores Ctrl-C, which the parent handles; exits with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


@contextlib.contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Blocks Ctrl-C for processes started in this block, even while they import; the parent gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def rendered(
    pieces: Sequence[Piece], *, render: Callable[[Piece], Result], workers: int
) -> Generator[Result, None, None]:
    """Renders pieces in order, in this process or in ``workers`` others.

    Raises:
        DataError: if a process ends by itself; errors of ``render`` are raised as they are.
    """
    if not workers:
        yield from map(render, pieces)
        return
    # Spawned, not forked: a forked child inherits the locks of torch's threads, held or not.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    pending: deque[Future[Result]] = deque()
    waiting = iter(pieces)
    try:
        with _interrupt_blocked():
            pending.extend(
                executor.submit(render, piece) for piece in itertools.islice(waiting, workers * PIECES_AHEAD)
            )
        while pending:
            yield pending.popleft().result()
            pending.extend(executor.submit(render, piece) for piece in itertools.islice(waiting, 1))
    except BrokenProcessPool as error:
        raise DataError(
            "workers: a rendering process ended by itself: killed for want of memory (use fewer workers), or started by a "
            "script without an 'if __name__ == \"__main__\":' around this call"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def num_workers(workers: int | None, *, device: str, num_pieces: int) -> int:
    """Returns the number of processes for so many pieces; None takes one for each core, or none on a GPU."""
    if workers is None:
        # One process feeds a GPU; several would each hold a copy of its runtime in the memory of the device.
        wanted = usable_cores() if torch.device(device).type == "cpu" else 0
        # Starting processes takes seconds, so that one or two pieces are rendered here.
        return min(wanted, num_pieces) if min(wanted, num_pieces) > 1 and num_pieces > 2 else 0
    if workers < 0:
        raise DataError(f"workers: {workers} is negative; 0 renders in this process")
    return min(workers, num_pieces)
