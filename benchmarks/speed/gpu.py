"""On a GPU: bf16 and compiled against the plain loop as it is, in float32 and eagerly, at the batch of the paper."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.speed.convolutions import Convolution, fastest
from benchmarks.speed.record import Findings, Measured, Size, measured
from benchmarks.speed.work import NETWORKS, Task, TrainingStep, make_pair, make_task, network
from zoo.episode import ElboTerms
from zoo.evaluation.timing import Action, time_interleaved
from zoo.model.scene_model import CompileMode

PART = "gpu"
SCENES: Mapping[Size, int] = {"full": 36, "quick": 4}
WARMUP = 5  # compiling, choosing kernels and recording graphs takes a few steps
GIGA = 1e9
SPEED_UP, FRACTION = "speed-up", "fraction of the convolution"
FASTEST, CONVOLUTION = "training, the fastest way", "convolution"


class Way(NamedTuple):
    """How a training step is carried out."""

    name: str
    fast: bool = True
    bf16: bool = False
    mode: CompileMode | None = None  # of torch.compile; None runs eagerly


PLAIN = Way("plain, eager, float32", fast=False)
EAGER = Way("fast, eager, float32")
WAYS = (
    PLAIN,
    EAGER,
    Way("fast, eager, bf16", bf16=True),
    Way("fast, compiled, bf16", bf16=True, mode="default"),
    Way("fast, compiled with CUDA graphs, bf16", bf16=True, mode="reduce-overhead"),
)


def on_gpu(*, size: Size, repeats: int, tell: Callable[[str], None], device: str = "cuda") -> Findings:
    """Measures both networks in every way.

    Args:
        size: of the networks.
        repeats: turns.
        tell: called with one sentence at a time.
        device: the GPU. Without one nothing is found, and a note says so.
    """
    if device == "cuda" and not torch.cuda.is_available():
        return Findings(notes=("There is no CUDA device on this machine.",))
    tell("looking for the GPU's fastest convolution in bf16")
    convolution = fastest(size=size, device=device, dtype=torch.bfloat16)
    found: list[Measured] = []
    failed: list[str] = []
    notes = [
        f"{SCENES[size]} scenes a step. The plain loop is float32 as torch has it by default: convolutions in TF32 are "
        f"{'allowed' if torch.backends.cudnn.allow_tf32 else 'not allowed'}.",
        f"The convolution of every turn: {convolution}.",
    ]
    for name in NETWORKS:
        tell(f"{name}: training steps on the GPU, {len(WAYS)} ways in turns")
        of_network = _network(name, size=size, repeats=repeats, convolution=convolution, device=device)
        found += of_network.measured
        notes += of_network.notes
        failed += of_network.failures
    return Findings(measured=found, notes=notes, failures=failed)


def _network(name: str, *, size: Size, repeats: int, convolution: Convolution, device: str) -> Findings:
    variant = network(name, size=size)
    pair = make_pair(variant, device=device)
    # A model of its own for every way: one that is compiled stays so.
    tasks = {
        way: make_task(
            copy.deepcopy(pair.fast if way.fast else pair.plain), variant, scenes=SCENES[size], device=device
        )
        for way in WAYS
    }
    flops = {way: TrainingStep(tasks[way]).count().flops for way in (PLAIN, EAGER)}
    for way, task in tasks.items():
        if way.mode is not None:
            # All before the first step of any: what was compiled before is forgotten.
            task.model.compile_training(way.mode)
    actions: dict[str, Action] = {CONVOLUTION: convolution.action(device)}
    failures = []
    for way, task in tasks.items():
        step = _step(task, way, device=device)
        try:
            for _ in range(WARMUP):
                step()
        except Exception as error:  # a compiler that fails in one way leaves the others to be measured
            failures.append(f"{name}, {way.name}: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
            continue
        actions[way.name] = step
    seconds = time_interleaved(actions, repeats=repeats, device=device)
    rate = convolution.flops / seconds.pop(CONVOLUTION)

    def numbers(action: str, way: Way) -> list[Measured]:
        def of(values: np.ndarray, quantity: str, unit: str) -> Measured:
            return measured(values, part=PART, subject=name, action=action, quantity=quantity, unit=unit)

        times, work = seconds[way.name], flops[EAGER if way.fast else PLAIN]
        found = [
            of(times, "time", "s"),
            of(SCENES[size] / times, "speed", "scenes/s"),
            of(work / times / rate, FRACTION, "1"),
        ]
        return [*found, of(seconds[PLAIN.name] / times, SPEED_UP, "times")] if PLAIN.name in seconds else found

    found = [measured(rate / GIGA, part=PART, subject=name, action=CONVOLUTION, quantity="rate", unit="GFLOP/s")]
    done = [way for way in WAYS if way.name in seconds]
    for way in done:
        found += numbers(f"training, {way.name}", way)
    notes = []
    if best := min((way for way in done if way.bf16), key=lambda way: np.median(seconds[way.name]), default=None):
        found += numbers(FASTEST, best)
        notes.append(f"The fastest way of {name}: {best.name}.")
    return Findings(measured=found, notes=notes, failures=failures)


def _step(task: Task, way: Way, *, device: str) -> Callable[[], None]:
    """Returns a training step done in a way; the weights stay what they are."""
    model = task.model
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, fused=True)

    def terms() -> ElboTerms:
        if way.fast:
            return model(task.batch, task.schedule, task.num_context)
        # Images as public code has them, not laid out as convolutions on a GPU read them fastest.
        return model.score(model.task(task.batch, num_context=task.num_context), task.schedule)

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=way.bf16):
            found = terms()
        found.loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
