"""A process's share of a batch, worked on when it is told to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection

import torch
from accelerate import Accelerator

from benchmarks.subject import DEVICE, SEED
from zoo.evaluation.throughput import noise_for, prediction_action, training_action
from zoo.evaluation.timing import synchronise
from zoo.registry.variant import Variant, build
from zoo.results.pytest_benchmark import Action


def work(line: Connection, environment: Mapping[str, str], *, threads: int, variant: Variant, kind: Action) -> None:
    """Repeats the training step or the prediction of this process's share, so often as the line says each time.

    Args:
        line: to the process that measures; it is sent the seconds of a turn.
        environment: in which accelerate finds the other processes; empty for a process alone.
        threads: of torch.
        variant: whose recipe has the batch of all processes together.
        kind: ``train``, through accelerate, which averages the gradients, or ``predict``.
    """
    os.environ.update(environment)
    torch.set_num_threads(threads)
    accelerator = Accelerator(cpu=DEVICE.type == "cpu")
    # accelerate may set the number of threads by itself.
    torch.set_num_threads(threads)
    share = variant.training.batch_size // accelerator.num_processes
    recipe = variant.training.model_copy(update={"batch_size": share})
    model = build(variant, seed=SEED).to_device(accelerator.device)
    batch = noise_for(model, recipe=recipe, image_size=variant.image_size, device=accelerator.device)
    if kind == "train":
        action = training_action(accelerator.prepare(model), recipe=recipe, batch=batch)
    else:
        action = prediction_action(model, recipe=recipe, batch=batch)
    line.send(0.0)
    while True:
        steps = line.recv()
        started = time.perf_counter()
        for _ in range(steps):
            action()
        synchronise(accelerator.device)
        line.send(time.perf_counter() - started)
