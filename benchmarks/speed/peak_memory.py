"""The most memory that a training step needs: a process of its own for each way of computing, on the CPU.

A process keeps its highest mark for ever, so that two models in one process could not be told apart. The mark that
``getrusage`` gives is no help either: on Linux it outlives ``exec``, and a child begins with that of its parent. The
mark of /proc/self/status belongs to the program itself, and can be set back after the model was made.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import torch

from benchmarks.speed.record import Findings, Measured, Size, measured
from benchmarks.speed.work import NETWORKS, SIDES, Side, TrainingStep, make_pair, make_task, network
from zoo.evaluation.process_memory import peak, reset_peak, resident

PART = "memory"
ACTION = "training, 1 query"
SCENES = 2
MIB = 2**20
PEAK, STEP = "peak resident memory", "memory of the step itself"


class Memory(NamedTuple):
    """Of one process, bytes."""

    before: int  # with the model made, before the first step
    weights: int
    moments: int  # of Adam
    saved: int  # kept from the forward for the backward pass, counted
    after_forward: int  # the highest mark of a forward pass
    peak: int  # the highest mark of a whole step

    @property
    def step(self) -> int:
        """What a step needs beside the program, the weights and Adam's moments."""
        return max(1, self.peak - self.before - self.moments)


def peak_memory(*, size: Size, repeats: int, tell: Callable[[str], None]) -> Findings:
    """Measures both networks in both ways, each in a fresh process, once: memory does not vary as time does."""
    found: list[Measured] = []
    notes = [
        "The second step of a fresh process: Adam's moments exist by then. Only the saved activations and the gradients of "
        "maps grow with the batch; the program, the weights, their gradients and Adam's moments do not, and both ways of "
        "computing have them.",
    ]
    for name in list(NETWORKS)[: None if size == "full" else 1]:
        sides: dict[str, Memory] = {}
        for side in SIDES:
            tell(f"{name}: memory of training steps, {side}, in a process of its own")
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                sides[side] = pool.submit(_of_a_step, name, size, side, torch.get_num_threads()).result()
        found += _numbers(name, sides)
        notes.append(_reason(name, sides))
    return Findings(measured=found, notes=notes)


def _numbers(name: str, sides: dict[str, Memory]) -> list[Measured]:
    def number(value: float, quantity: str, unit: str) -> Measured:
        return measured(value, part=PART, subject=name, action=ACTION, quantity=quantity, unit=unit)

    fast, plain = sides["fast"], sides["plain"]
    found = [
        number(fast.peak / plain.peak, PEAK, "of the plain loop's"),
        number(fast.step / plain.step, STEP, "of the plain loop's"),
    ]
    for side, memory in sides.items():
        found += [
            number(getattr(memory, field), f"{words}, {side}", "bytes")
            for field, words in (
                ("peak", PEAK),
                ("step", STEP),
                ("before", "before the first step"),
                ("weights", "weights"),
                ("moments", "Adam's moments"),
                ("saved", "saved activations"),
                ("after_forward", "highest mark of the forward pass"),
            )
        ]
    return found


def _reason(name: str, sides: dict[str, Memory]) -> str:
    """Says, in the numbers found, what a peak is made of."""
    parts = []
    for side, memory in sides.items():
        fixed, rest = memory.before + memory.moments, memory.step - memory.saved
        parts.append(
            f"{side} {memory.peak / MIB:.0f} MiB = {fixed / MIB:.0f} of program, weights and moments "
            f"+ {memory.saved / MIB:.0f} of saved activations + {rest / MIB:.0f} of gradients and what kernels need for a while"
        )
    return f"Peak memory, {name}: {'; '.join(parts)}."


def _of_a_step(name: str, size: Size, side: Side, threads: int) -> Memory:
    """Runs two training steps; meant for a fresh process."""
    torch.set_num_threads(threads)
    variant = network(name, size=size)
    pair = make_pair(variant)
    model = getattr(pair, side)
    del pair
    task = make_task(model, variant, scenes=SCENES)
    step = TrainingStep(task)
    reset_peak()
    before = resident()
    saved = step.count().saved_bytes
    reset_peak()
    loss = task.loss()
    after_forward = peak()
    del loss
    reset_peak()
    step()
    weights = sum(parameter.nbytes for parameter in model.parameters())
    return Memory(
        before=before, weights=weights, moments=2 * weights, saved=saved, after_forward=after_forward, peak=peak()
    )
