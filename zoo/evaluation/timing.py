"""Wall-clock time of actions on a device, measured in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch

Action = Callable[[], object]
NOTHING: Mapping[str, Action] = MappingProxyType({})


def synchronise(device: torch.device) -> None:
    """Waits until a GPU has finished its queue; other devices have none."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_interleaved(
    actions: Mapping[str, Action],
    *,
    repeats: int,
    warmup: int = 1,
    device: torch.device | str = "cpu",
    before: Mapping[str, Action] = NOTHING,
) -> dict[str, np.ndarray]:
    """Times every action once per turn, A B C A B C ..., so that other load on the machine affects all of them alike.

    The device is synchronised before and after every action; an action of ``before`` runs untimed before the action of the
    same name.

    Returns:
        Seconds of every action, [repeats], without those of the ``warmup`` turns before.
    """
    device = torch.device(device)
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    gc.collect()
    for turn in range(warmup + repeats):
        for name, action in actions.items():
            if name in before:
                before[name]()
            synchronise(device)
            started = time.perf_counter()
            action()
            synchronise(device)
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in seconds.items()}
