"""Timing several actions fairly: they take turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from zoo.evaluation.throughput import synchronise

Action = Callable[[], object]


def time_interleaved(
    actions: Mapping[str, Action], *, repeats: int, warmup: int = 1, device: torch.device | str = "cpu"
) -> dict[str, np.ndarray]:
    """Times every action once a turn, in the order given: A B C A B C ...

    Args:
        actions: what is timed, by name.
        repeats: turns that count.
        warmup: turns before, that do not.
        device: waited for before and after every action.

    Returns:
        Seconds of every action, [repeats].
    """
    device = torch.device(device)
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    gc.collect()
    for turn in range(warmup + repeats):
        for name, action in actions.items():
            synchronise(device)
            started = time.perf_counter()
            action()
            synchronise(device)
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in seconds.items()}
