"""Training steps on a GPU: bf16 and compiled against the textbook's loop in float32 and eagerly, at the paper's batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.convolutions import Convolution, fastest
from benchmarks.speed.record import Findings, Size
from benchmarks.speed.work import NETWORKS, Task, make_pair, make_task, network
from zoo.evaluation.throughput import adam_step, flops_of
from zoo.evaluation.timing import Action, time_interleaved
from zoo.model.scene_model import CompileMode

PART = "gpu"
SCENES: Mapping[Size, int] = {"full": 36, "quick": 4}
WARMUP = 5  # compiling, choosing kernels and recording graphs take some steps
GIGA = 1e9
SPEED_UP, FRACTION = "speed-up", "fraction of the convolution"
FASTEST, CONVOLUTION = "training, the fastest way", "convolution"


class Way(NamedTuple):
    """How a training step is computed."""

    name: str
    fast: bool = True
    bf16: bool = False
    mode: CompileMode | None = None  # of torch.compile; None is eager


PLAIN = Way("plain, eager, float32", fast=False)
EAGER = Way("fast, eager, float32")
WAYS = (
    PLAIN,
    EAGER,
    Way("fast, eager, bf16", bf16=True),
    Way("fast, compiled, bf16", bf16=True, mode="default"),
    Way("fast, compiled with CUDA graphs, bf16", bf16=True, mode="reduce-overhead"),
)


def on_gpu(findings: Findings, *, size: Size, repeats: int, device: str = "cuda") -> None:
    """Measures both networks in every way; without a GPU there is only a note."""
    if device == "cuda" and not torch.cuda.is_available():
        findings.notes.append("There is no CUDA device on this machine.")
        return
    findings.log("searching the GPU's fastest convolution in bf16")
    convolution = fastest(size=size, device=device, dtype=torch.bfloat16)
    findings.notes += [
        f"{SCENES[size]} scenes a step. The plain loop is float32 with torch's defaults: convolutions in TF32 are "
        f"{'allowed' if torch.backends.cudnn.allow_tf32 else 'not allowed'}.",
        f"The convolution of every turn: {convolution}.",
    ]
    for name in NETWORKS:
        findings.log(f"{name}: training steps on the GPU, {len(WAYS)} ways in turns")
        _network(findings, name, size=size, repeats=repeats, convolution=convolution, device=device)


def _network(findings: Findings, name: str, *, size: Size, repeats: int, convolution: Convolution, device: str) -> None:
    variant, scenes = network(name, size=size), SCENES[size]
    pair = make_pair(variant, device=device)
    # A model per way, because compilation changes the model.
    tasks = {
        way: make_task(copy.deepcopy(pair.fast if way.fast else pair.plain), variant, scenes=scenes, device=device)
        for way in WAYS
    }
    flops = {way: flops_of(_step(tasks[way], way, device=device)) for way in (PLAIN, EAGER)}
    for way, task in tasks.items():
        if way.mode is not None:
            # All before the first step of any: compilation resets what was compiled before.
            task.model.compile_training(way.mode)
    actions: dict[str, Action] = {CONVOLUTION: convolution.action(device)}
    for way, task in tasks.items():
        step = _step(task, way, device=device)
        try:
            for _ in range(WARMUP):
                step()
        except Exception as error:  # the other ways are still measured if one does not compile
            reason = str(error).partition("\n")[0][:200]
            findings.failures.append(f"{name}, {way.name}: {type(error).__name__}: {reason}")
            continue
        actions[way.name] = step
    seconds = time_interleaved(actions, repeats=repeats, device=device)
    rate = convolution.flops / seconds[CONVOLUTION]
    findings.add(rate / GIGA, "rate", "GFLOP/s", subject=name, action=CONVOLUTION)
    measured = [way for way in WAYS if way.name in seconds]
    results = [(f"training, {way.name}", way) for way in measured]
    if best := min((way for way in measured if way.bf16), key=lambda way: np.median(seconds[way.name]), default=None):
        results.append((FASTEST, best))
        findings.notes.append(f"The fastest way of {name}: {best.name}.")
    for action, way in results:
        add, times = partial(findings.add, subject=name, action=action), seconds[way.name]
        add(times, "time", "s")
        add(scenes / times, "speed", "scenes/s")
        add(flops[EAGER if way.fast else PLAIN] / times / rate, FRACTION, "1")
        if PLAIN.name in seconds:
            add(seconds[PLAIN.name] / times, SPEED_UP, "times")


def _step(task: Task, way: Way, *, device: str) -> Action:
    model = task.model

    def loss() -> Tensor:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=way.bf16):
            if way.fast:
                return task.loss()
            # Images in the layout of public code, not in the fastest one for a GPU.
            return model.score(model.task(task.batch, num_context=task.num_context), task.schedule).loss()

    return adam_step(model, loss)
