"""Training and prediction by batch, precision, compilation and number of processes, for variants that stand for others.

Every sweep holds the variant's usual condition too, so that its group in the table can be read by itself. The time of one
prediction from one scene, its latency, is that of a batch of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from benchmarks.process_group import start_group, threads_of
from benchmarks.subject import DEVICE, SIZES, Case, Precision, Subject, standard_batch
from zoo.evaluation.throughput import flops_of, prediction_action, training_action
from zoo.registry.registry import default_registry
from zoo.results.pytest_benchmark import Action

# Latents of every query, of the scene, and of a image alone; the last is the quickest to compile.
STAND_INS = ("gqn-tower", "cgqn", "vae")
COMPILED = ("vae",)
BATCHES = (1, 4, 16)
LARGEST_FULL_BATCH_ON_CPU = 4
PRECISIONS: dict[Precision, str] = {"no": "float32", "bf16": "bf16"}


def by_batch() -> Iterator[Case]:
    """Gives cases of 1 scene, of the usual number and of some in between."""
    for size in SIZES:
        for name in STAND_INS:
            usual = standard_batch(default_registry().variant(name, size=size).training, size=size)
            for batch in sorted({*BATCHES, usual}):
                if size == "full" and DEVICE.type == "cpu" and batch > LARGEST_FULL_BATCH_ON_CPU:
                    continue
                yield Case(name, size, varied=f"batch {batch}", batch_size=batch)


def by_precision() -> Iterator[Case]:
    """Gives cases in float32 and under bf16 autocast."""
    for size in SIZES:
        for name in STAND_INS:
            for precision, told in PRECISIONS.items():
                yield Case(name, size, varied=told, mixed_precision=precision)


def by_compilation() -> Iterator[Case]:
    """Gives cases as they are and compiled."""
    for size in SIZES:
        for name in COMPILED:
            yield Case(name, size, varied="as it is")
            yield Case(name, size, varied="compiled", compiled=True)


def by_processes() -> Iterator[Case]:
    """Gives cases of one process and of two on a CPU, or of one for each GPU."""
    most = 2 if DEVICE.type == "cpu" else torch.cuda.device_count()
    for size in SIZES:
        for name in STAND_INS[:1]:
            for number in sorted({1, most}):
                yield Case(name, size, varied=f"{number} process{'es' if number > 1 else ''}", processes=number)


def of(cases: Iterator[Case]) -> pytest.MarkDecorator:
    """Has a benchmark walk the cases of a sweep."""
    found: Sequence[Case] = list(cases)
    return pytest.mark.parametrize("subject", found, ids=[case.id for case in found], indirect=True)


@of(by_batch())
def test_training_by_batch(subject: Subject, timed: Callable[..., None]) -> None:
    """A training step of several sizes."""
    train(subject, timed, by="batch")


@of(by_batch())
def test_prediction_by_batch(subject: Subject, timed: Callable[..., None]) -> None:
    """Predictions for one scene, which is their latency, and for several at once."""
    predict(subject, timed, by="batch")


@of(by_precision())
def test_training_by_precision(subject: Subject, timed: Callable[..., None]) -> None:
    """A training step whose forward pass is in float32, or in bf16 where that is safe."""
    train(subject, timed, by="precision")


@of(by_precision())
def test_prediction_by_precision(subject: Subject, timed: Callable[..., None]) -> None:
    """A prediction in float32, or in bf16 where that is safe."""
    predict(subject, timed, by="precision")


@of(by_compilation())
def test_training_by_compilation(subject: Subject, timed: Callable[..., None]) -> None:
    """A training step as it is, or as one compiled graph; predictions are never compiled."""
    train(subject, timed, by="compilation")


@of(by_processes())
@pytest.mark.parametrize("kind", ["train", "predict"], ids=["training", "prediction"])
def test_by_processes(subject: Subject, timed: Callable[..., None], kind: Action) -> None:
    """One batch, shared out to processes that average their gradients; all threads together are as many as here."""
    number = subject.case.processes
    assert number is not None
    if subject.num_scenes % number:
        pytest.skip(f"a batch of {subject.num_scenes} scenes is not shared out evenly to {number} processes")
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


def train(subject: Subject, timed: Callable[..., None], *, by: str) -> None:
    """Times the training step of `gqn-zoo bench` under a case's conditions."""
    step = training_action(subject.model, recipe=subject.recipe, batch=subject.batch)
    # What is compiled cannot be counted.
    flops = flops_of(step)
    if subject.case.compiled:
        subject.model.compile_training("default")
    timed(
        step, kind="train", group=f"training step by {by}: {subject.case.name}", units=subject.num_scenes, flops=flops
    )


def predict(subject: Subject, timed: Callable[..., None], *, by: str) -> None:
    """Times the prediction of `gqn-zoo bench` under a case's conditions."""
    action = prediction_action(subject.model, recipe=subject.recipe, batch=subject.batch)
    timed(
        action,
        kind="predict",
        group=f"prediction by {by}: {subject.case.name}",
        units=subject.num_images,
        flops=flops_of(action),
    )
