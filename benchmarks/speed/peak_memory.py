"""Peak memory of a training step on the CPU, in a fresh process for each core.

A process never lowers its own peak by itself, and ``getrusage`` on Linux starts with the peak of the parent; the peak in
/proc/self/status belongs to the process and can be reset after the model was made.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from benchmarks.speed.record import Findings, Size
from benchmarks.speed.work import NETWORKS, SIDES, Side, make_pair, make_task, network, saved_bytes
from zoo.evaluation.process_memory import peak, reset_peak, resident

PART = "memory"
ACTION = "training, 1 query"
SCENES = 2
MIB = 2**20
PEAK, STEP = "peak resident memory", "memory of the step itself"
BEFORE, WEIGHTS, MOMENTS = "before the first step", "weights", "Adam's moments"
SAVED, FORWARD = "saved activations", "highest mark of the forward pass"
NOTE = (
    "The second step of a fresh process: Adam's moments exist by then. Only the saved activations and the gradients of maps "
    "grow with the batch; the program, the weights, their gradients and Adam's moments do not, and both ways have them."
)


def peak_memory(findings: Findings, *, size: Size, repeats: int) -> None:
    """Measures both networks (a quick run: one) with both cores, once each."""
    findings.notes.append(NOTE)
    for name in list(NETWORKS)[: None if size == "full" else 1]:
        memory: dict[Side, dict[str, int]] = {}
        for side in SIDES:
            findings.log(f"{name}: memory of training steps, {side}, in a fresh process")
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                memory[side] = pool.submit(memory_of_a_step, name, size, side, torch.get_num_threads()).result()
        add = partial(findings.add, subject=name, action=ACTION)
        for quantity in (PEAK, STEP):
            add(memory["fast"][quantity] / memory["plain"][quantity], quantity, "of the plain loop's")
        for side, quantities in memory.items():
            for quantity, number in quantities.items():
                add(number, f"{quantity}, {side}", "bytes")
        findings.notes.append(explanation(name, memory))


def explanation(name: str, memory: dict[Side, dict[str, int]]) -> str:
    """Returns a sentence with the parts of both peaks."""
    parts = []
    for side, found in memory.items():
        fixed, rest = found[BEFORE] + found[MOMENTS], found[STEP] - found[SAVED]
        parts.append(
            f"{side} {found[PEAK] / MIB:.0f} MiB = {fixed / MIB:.0f} of program, weights and moments "
            f"+ {found[SAVED] / MIB:.0f} of saved activations + {rest / MIB:.0f} of gradients and temporary tensors"
        )
    return f"Peak memory, {name}: {'; '.join(parts)}."


def memory_of_a_step(name: str, size: Size, side: Side, threads: int) -> dict[str, int]:
    """Runs two training steps in this process, which must be fresh, and returns bytes by quantity."""
    torch.set_num_threads(threads)
    variant = network(name, size=size)
    model = getattr(make_pair(variant), side)
    task = make_task(model, variant, scenes=SCENES)
    step = task.action("training")
    reset_peak()
    before = resident()
    saved = saved_bytes(task)
    step()
    reset_peak()
    loss = task.loss()
    forward = peak()
    del loss
    reset_peak()
    step()
    highest = peak()
    weights = sum(parameter.nbytes for parameter in model.parameters())
    moments = 2 * weights
    return {
        PEAK: highest,
        STEP: max(1, highest - before - moments),
        BEFORE: before,
        WEIGHTS: weights,
        MOMENTS: moments,
        SAVED: saved,
        FORWARD: forward,
    }
