"""Groups of processes that share a batch through accelerate, and work when asked."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import torch
from accelerate import Accelerator

from benchmarks.subject import DEVICE, SEED
from zoo.errors import OutOfMemoryError
from zoo.evaluation.throughput import noise_for, prediction_action, training_action
from zoo.evaluation.timing import synchronise
from zoo.registry.variant import Variant, build
from zoo.results.pytest_benchmark import Action

LONGEST_SECONDS = 300.0  # to start, or for one turn


class Group(NamedTuple):
    """Processes that compute one batch together, each with a connection to this process."""

    processes: Sequence[BaseProcess]
    connections: Sequence[Connection]

    def wait(self) -> float:
        """Waits until all processes have answered; returns the seconds of the slowest."""
        return max(map(_answer, self.connections))

    def turn(self, *, steps: int) -> float:
        """Makes the group compute some steps; returns the seconds of its slowest process."""
        for connection in self.connections:
            connection.send(steps)
        return self.wait()

    def end(self) -> None:
        """Kills all processes."""
        for process in self.processes:
            process.kill()
            process.join()
        for connection in self.connections:
            connection.close()


def threads_of(number: int, *, cores: int) -> int:
    """Returns the threads of each of ``number`` processes, so that the total is at most the number of cores."""
    return max(1, cores // number)


def start_group(variant: Variant, *, kind: Action, number: int, threads: int) -> Group:
    """Starts a group on this machine, in the environment of torchrun; ``wait`` before the first turn.

    Args:
        variant: whose recipe has the batch size of all processes together.
        kind: ``train``, through accelerate, which averages the gradients, or ``predict``.
        number: of processes; a single one has no process group of torch.
        threads: of each.
    """
    context = get_context("spawn")
    port = _free_port()
    connections, processes = [], []
    for rank in range(number):
        ours, theirs = context.Pipe()
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(number),
            "LOCAL_WORLD_SIZE": str(number),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": str(threads),
        }
        arguments = (theirs, environment if number > 1 else {}, threads, variant, kind)
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        connections.append(ours)
        processes.append(process)
    return Group(processes=processes, connections=connections)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answer(connection: Connection) -> float:
    try:
        if connection.poll(LONGEST_SECONDS):
            return float(connection.recv())
    except EOFError:
        raise OutOfMemoryError("a process of the group ended, most likely for lack of memory") from None
    raise OutOfMemoryError(f"a process of the group did not answer for {LONGEST_SECONDS:.0f} seconds")


def _work(connection: Connection, environment: Mapping[str, str], threads: int, variant: Variant, kind: Action) -> None:
    """Receives numbers of steps, computes them on this process's share of the batch and sends the seconds."""
    os.environ.update(environment)
    torch.set_num_threads(threads)
    accelerator = Accelerator(cpu=DEVICE.type == "cpu")
    torch.set_num_threads(threads)  # accelerate may have changed it
    share = variant.training.batch_size // accelerator.num_processes
    recipe = variant.training.model_copy(update={"batch_size": share})
    model = build(variant, seed=SEED).to_device(accelerator.device)
    batch = noise_for(model, recipe=recipe, image_size=variant.image_size, device=accelerator.device)
    if kind == "train":
        action = training_action(accelerator.prepare(model), recipe=recipe, batch=batch)
    else:
        action = prediction_action(model, recipe=recipe, batch=batch)
    connection.send(0.0)
    while True:
        steps = connection.recv()
        started = time.perf_counter()
        for _ in range(steps):
            action()
        synchronise(accelerator.device)
        connection.send(time.perf_counter() - started)
