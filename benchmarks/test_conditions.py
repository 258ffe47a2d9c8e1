"""Training and prediction by batch size, precision, compilation and number of processes, for representative variants.

Every sweep includes the variant's default condition. The latency of a prediction is the time at batch size 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from benchmarks.process_group import start_group, threads_of
from benchmarks.subject import DEVICE, SIZES, Case, Precision, Subject, standard_batch
from zoo.registry.registry import default_registry
from zoo.results.pytest_benchmark import Action

# Latents per query, per scene and per image; the last compiles fastest.
STAND_INS = ("gqn-tower", "cgqn", "vae")
COMPILED = ("vae",)
BATCHES = (1, 4, 16)
LARGEST_FULL_BATCH_ON_CPU = 4
PRECISIONS: dict[Precision, str] = {"no": "float32", "bf16": "bf16"}


def by_batch() -> Iterator[Case]:
    """Yields cases of 1 scene, of the default number and of some in between."""
    for size in SIZES:
        for name in STAND_INS:
            usual = standard_batch(default_registry().variant(name, size=size).training, size=size)
            for batch in sorted({*BATCHES, usual}):
                if size == "full" and DEVICE.type == "cpu" and batch > LARGEST_FULL_BATCH_ON_CPU:
                    continue
                yield Case(name, size, varied=f"batch {batch}", batch_size=batch)


def by_precision() -> Iterator[Case]:
    """Yields cases in float32 and under bf16 autocast."""
    for size in SIZES:
        for name in STAND_INS:
            for precision, label in PRECISIONS.items():
                yield Case(name, size, varied=label, mixed_precision=precision)


def by_compilation() -> Iterator[Case]:
    """Yields eager and compiled cases."""
    for size in SIZES:
        for name in COMPILED:
            yield Case(name, size, varied="eager")
            yield Case(name, size, varied="compiled", compiled=True)


def by_processes() -> Iterator[Case]:
    """Yields cases of one process and of two on a CPU, or of one per GPU."""
    most = 2 if DEVICE.type == "cpu" else torch.cuda.device_count()
    for size in SIZES:
        for name in STAND_INS[:1]:
            for number in sorted({1, most}):
                yield Case(name, size, varied=f"{number} process{'es' if number > 1 else ''}", processes=number)


def sweep(cases: Iterator[Case]) -> pytest.MarkDecorator:
    """Parametrises a benchmark over cases."""
    found: Sequence[Case] = list(cases)
    return pytest.mark.parametrize("subject", found, ids=[case.id for case in found], indirect=True)


@sweep(by_batch())
def test_training_by_batch(subject: Subject, time_training: Callable[[str], None]) -> None:
    """Training steps by batch size."""
    time_training(f"training step by batch: {subject.case.name}")


@sweep(by_batch())
def test_prediction_by_batch(subject: Subject, time_prediction: Callable[[str], None]) -> None:
    """Predictions by batch size; of one scene, it is the latency."""
    time_prediction(f"prediction by batch: {subject.case.name}")


@sweep(by_precision())
def test_training_by_precision(subject: Subject, time_training: Callable[[str], None]) -> None:
    """Training steps in float32 and under bf16 autocast."""
    time_training(f"training step by precision: {subject.case.name}")


@sweep(by_precision())
def test_prediction_by_precision(subject: Subject, time_prediction: Callable[[str], None]) -> None:
    """Predictions in float32 and under bf16 autocast."""
    time_prediction(f"prediction by precision: {subject.case.name}")


@sweep(by_compilation())
def test_training_by_compilation(subject: Subject, time_training: Callable[[str], None]) -> None:
    """Training steps, eager and compiled; predictions are never compiled."""
    time_training(f"training step by compilation: {subject.case.name}")


@sweep(by_processes())
@pytest.mark.parametrize("kind", ["train", "predict"], ids=["training", "prediction"])
def test_by_processes(subject: Subject, timed: Callable[..., None], kind: Action) -> None:
    """One batch divided among processes that average their gradients, with the same total number of threads."""
    number = subject.case.processes
    assert number is not None
    if subject.num_scenes % number:
        pytest.skip(f"{number} processes do not divide a batch of {subject.num_scenes} scenes")
    threads = threads_of(number, cores=torch.get_num_threads())
    group = start_group(subject.variant, kind=kind, number=number, threads=threads)
    try:
        group.wait()
        units = subject.num_scenes if kind == "train" else subject.num_images
        action = "training step" if kind == "train" else "prediction"
        timed(
            lambda: group.turn(steps=1),
            kind=kind,
            group=f"{action} by processes: {subject.case.name}",
            units=units,
            flops=None,
        )
    finally:
        group.end()
