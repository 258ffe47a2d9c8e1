"""The same training by 1, 2 and 4 CPU processes: the house's own training, distributed by accelerate over gloo.

All groups of processes are alive at the same time and train in turns, a few steps each, while the others wait: what
else the machine does meets all of them alike. The global batch is the same, and so is the number of threads in total.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.speed.record import Findings, Measured, Size, measured
from benchmarks.speed.work import NETWORKS
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.store_writer import StoreWriter
from zoo.errors import OutOfMemoryError
from zoo.provenance import usable_cores
from zoo.registry.registry import default_registry
from zoo.registry.variant import Variant
from zoo.training.options import TrainingOptions
from zoo.training.run import train

PART = "processes"
GROUPS: Mapping[Size, Sequence[int]] = {"full": (1, 2, 4), "quick": (1, 2)}
STEPS_A_TURN = 4
STORED_SCENES = 32
START_SECONDS = 300.0  # the longest that a group may take to begin, or for one turn
_REGISTERED_AS: Mapping[Size, str] = {"full": "quickstart", "quick": "smoke"}


class Group(NamedTuple):
    """Processes that work on one model together, each with a line to this one."""

    processes: Sequence[BaseProcess]
    lines: Sequence[Connection]

    def wait(self) -> float:
        """Waits until all have answered; returns the seconds that the slowest process took."""
        return max(_answer(line) for line in self.lines)

    def turn(self, *, steps: int = STEPS_A_TURN) -> float:
        """Lets the group take so many steps; returns the seconds that its slowest process took."""
        for line in self.lines:
            line.send(steps)
        return self.wait()

    def end(self) -> None:
        """Ends all processes at once: nothing of their work is wanted any more."""
        for process in self.processes:
            # A polite end would write checkpoints first.
            process.kill()
            process.join()
        for line in self.lines:
            line.close()


def processes(*, size: Size, repeats: int, tell: Callable[[str], None]) -> Findings:
    """Measures the shared network at a size that trains in minutes."""
    variant = default_registry().variant(NETWORKS["shared"], size=_REGISTERED_AS[size])
    batch, cores, numbers = variant.training.batch_size, usable_cores(), GROUPS[size]
    steps = STEPS_A_TURN * (repeats + 1)
    seconds: dict[int, list[float]] = {number: [] for number in numbers}
    with tempfile.TemporaryDirectory(prefix="gqn-zoo-speed-") as place:
        data = _store_of_noise(Path(place) / "data", variant)
        tell(f"starting groups of {', '.join(map(str, numbers))} processes, which will train in turns")
        with _groups(numbers, variant, data=data, runs=Path(place), steps=steps, cores=cores) as groups:
            for turn in range(1 + repeats):
                for number, group in groups.items():
                    took = group.turn()
                    if turn:
                        seconds[number].append(took)
    scenes = {number: batch * STEPS_A_TURN / np.array(times) for number, times in seconds.items()}
    return Findings(
        measured=[
            found
            for number in numbers
            for found in _numbers(scenes[number], alone=scenes[1], number=number, cores=cores)
        ],
        notes=(
            f"{variant.name} at size {variant.size}, {batch} scenes an update in all, trained as `gqn-zoo train` does under "
            f"torchrun, {STEPS_A_TURN} updates a turn; {cores} core(s) shared out as threads.",
        ),
    )


def _numbers(scenes: np.ndarray, *, alone: np.ndarray, number: int, cores: int) -> list[Measured]:
    subject = f"{number} process{'es' if number > 1 else ''} of {threads_of(number, cores=cores)} thread(s)"
    if number > cores:
        subject += ", more than cores"

    def of(values: np.ndarray, quantity: str, unit: str) -> Measured:
        return measured(values, part=PART, subject=subject, action="training", quantity=quantity, unit=unit)

    return [of(scenes, "speed", "scenes/s"), of(scenes / alone, "against one process", "times")]


def threads_of(number: int, *, cores: int) -> int:
    """Returns the threads of each of so many processes, so that together they are as many as the cores."""
    return max(1, cores // number)


def _store_of_noise(folder: Path, variant: Variant) -> Path:
    generator = np.random.default_rng(0)
    recipe, pixels = variant.training, variant.image_size
    views = recipe.contexts.maximum + recipe.targets
    count = max(STORED_SCENES, recipe.batch_size)
    frames = generator.integers(0, 256, (count, views, pixels, pixels, 3), dtype=np.uint8)
    cameras = generator.normal(size=(count, views, CAMERA_WIDTH)).clip(-1.5, 1.5).astype(np.float32)
    with StoreWriter(folder, name="noise", image_size=pixels, num_views=views, provenance={}) as writer:
        writer.add("train", frames, cameras)
    return folder


@contextmanager
def _groups(
    numbers: Sequence[int], variant: Variant, *, data: Path, runs: Path, steps: int, cores: int
) -> Iterator[dict[int, Group]]:
    """Starts all groups and waits until each stands before its first turn; ends them afterwards."""
    started: dict[int, Group] = {}
    try:
        for number in numbers:
            threads = threads_of(number, cores=cores)
            settings = {"variant": variant, "data": data, "run": runs / str(number), "steps": steps}
            started[number] = start_group(_train, number=number, threads=threads, settings=settings)
        for group in started.values():
            group.wait()
        yield started
    finally:
        for group in started.values():
            group.end()


def start_group(target: Callable[..., None], *, number: int, threads: int, settings: Mapping[str, Any]) -> Group:
    """Starts processes that find one another as those of torchrun do, on this machine.

    Args:
        target: what each of them carries out, given its line to this process and its environment, by name ``threads``
            and the settings. It sends seconds: once when it is ready and once after every turn, whose number of steps
            it receives.
        number: of processes. One alone belongs to no group of torch's.
        threads: of each.
        settings: for the target.
    """
    context = get_context("spawn")
    port = _free_port()
    lines, made = [], []
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
        process = context.Process(
            target=target,
            args=(theirs, environment if number > 1 else {}),
            kwargs={"threads": threads, **settings},
            daemon=True,
        )
        process.start()
        theirs.close()
        lines.append(ours)
        made.append(process)
    return Group(processes=made, lines=lines)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answer(line: Connection) -> float:
    try:
        if line.poll(START_SECONDS):
            return float(line.recv())
    except EOFError:
        raise OutOfMemoryError("a training process ended by itself, most likely for want of memory") from None
    raise OutOfMemoryError(f"a training process did not answer for {START_SECONDS:.0f} seconds")


def _train(
    line: Connection,
    environment: Mapping[str, str],
    *,
    threads: int,
    variant: Variant,
    data: Path,
    run: Path,
    steps: int,
) -> None:
    """Trains in a process of its own, and stands still before every turn until it is told to go on."""
    os.environ.update(environment)
    torch.set_num_threads(threads)
    recipe = variant.training.model_copy(update={"steps": steps + 1})
    started = time.perf_counter()

    def progress(step: int, figures: Mapping[str, Any]) -> None:
        nonlocal started
        # The first step is not part of any turn: after it everything is in its place.
        if (step - 1) % STEPS_A_TURN == 0:
            torch.set_num_threads(threads)
            line.send(time.perf_counter() - started)
            line.recv()
            started = time.perf_counter()

    train(
        variant.model_copy(update={"training": recipe}),
        data=data,
        run=run,
        options=TrainingOptions(log_interval=steps + 1, save_interval=steps + 1),
        cpu=True,
        progress=progress,
    )
