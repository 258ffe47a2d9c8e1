"""Fixtures of all benchmarks: every registered variant at every size, on images of noise.

    pytest benchmarks --benchmark-only -k smoke            minutes, every variant
    pytest benchmarks --benchmark-only -k full             the sizes of the papers; on a GPU
    pytest benchmarks --benchmark-only -k "by and smoke"   by batch, precision, compilation and number of processes
    pytest benchmarks/speed --benchmark-only               the fast core against the textbook's, at the smallest size
    pytest benchmarks/speed --benchmark-only -k full       the same at the size of the paper as well; minutes on a CPU
    pytest benchmarks --benchmark-only --benchmark-autosave; later --benchmark-compare, or gqn-zoo compare on the files

The actions, their warm-up and their number of repetitions are those of ``gqn-zoo bench``. Rows are grouped by action and
size. ``extra_info`` has the fields of :class:`zoo.results.pytest_benchmark.BenchmarkFacts` and the file has the provenance,
so that a saved JSON file can be read without this code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.subject import DEVICE, SEED, SIZES, Subject, all_cases, subject_of
from zoo.evaluation.throughput import REPEATS, WARMUP, flops_of, prediction_action, training_action
from zoo.evaluation.timing import synchronise
from zoo.provenance import Provenance, collect
from zoo.results.pytest_benchmark import Action, BenchmarkFacts

_PROVENANCE = pytest.StashKey[Provenance]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises ``subject`` over the registry where a benchmark does not; ``speed_size`` is full only with -k full."""
    if "speed_size" in metafunc.fixturenames:
        full = "full" in metafunc.config.getoption("keyword")
        metafunc.parametrize("speed_size", SIZES if full else SIZES[:1])
    chosen = [marker.args[0] for marker in metafunc.definition.iter_markers("parametrize")]
    if "subject" in metafunc.fixturenames and "subject" not in chosen:
        metafunc.parametrize("subject", all_cases(), ids=lambda case: case.id, indirect=True)


def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    """Returns what of the machine decides whether two speeds may be compared; the provenance has the rest."""
    hardware = _provenance(config).hardware
    return {**hardware.model_dump(mode="json", include={"cpu", "threads", "gpus"}), "device": DEVICE.type}


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_compare_machine_info(machine_info: dict[str, Any], compared_benchmark: dict[str, Any]) -> None:
    """Refuses speeds of another machine, as ``gqn-zoo compare`` does."""
    theirs = compared_benchmark["machine_info"]
    if not machine_info.keys() <= theirs.keys():
        raise pytest.UsageError(
            "the saved file lacks the machine's fields of these benchmarks, so it is not comparable"
        )
    unlike = [f"{name} {theirs[name]} against {ours}" for name, ours in machine_info.items() if theirs[name] != ours]
    if unlike:
        raise pytest.UsageError(f"the saved file is of another machine and not comparable: {', '.join(unlike)}")


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Adds code, command, libraries and machine."""
    output_json["provenance"] = _provenance(config).model_dump(mode="json")


def _provenance(config: pytest.Config) -> Provenance:
    if _PROVENANCE not in config.stash:
        # Seed and settings are those of each benchmark.
        config.stash[_PROVENANCE] = collect(seed=SEED, command=sys.argv, config={}, device=DEVICE.type)
    return config.stash[_PROVENANCE]


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    """Builds the model of one case."""
    return subject_of(request.param)


@pytest.fixture
def timed(benchmark: Any, subject: Subject) -> Callable[..., None]:
    """Returns a function that times an action on the subject and records its facts.

    Its arguments: the ``action``, which need not synchronise a GPU; its ``kind``; the ``group`` in the table, to which the
    size is added; the ``units`` of work per round; its ``flops``, None if unknown.
    """

    def run(action: Callable[[], object], *, kind: Action, group: str, units: int, flops: int | None) -> None:
        benchmark.group = f"{group} ({subject.case.size})"

        def waited() -> None:
            action()
            synchronise(DEVICE)

        if DEVICE.type == "cuda":
            torch.cuda.reset_peak_memory_stats(DEVICE)
        synchronise(DEVICE)
        benchmark.pedantic(waited, warmup_rounds=WARMUP, rounds=REPEATS)
        if benchmark.disabled:
            return
        stats = benchmark.stats.stats
        low, high = np.quantile(stats.data, [0.1, 0.9])
        facts = BenchmarkFacts(
            **subject.facts(),
            action=kind,
            unit="images" if kind == "predict" else "scenes",
            units=units,
            flops=flops,
            peak_memory_bytes=_peak_memory(subject),
            warmup_rounds=WARMUP,
            p10_seconds=float(low),
            p90_seconds=float(high),
        )
        benchmark.extra_info.update(facts.model_dump(mode="json"))
        benchmark.extra_info[f"{facts.unit}_per_second"] = units / stats.median

    return run


@pytest.fixture
def time_training(subject: Subject, timed: Callable[..., None]) -> Callable[[str], None]:
    """Returns a function that times the training step of ``gqn-zoo bench`` in a group of the table."""

    def run(group: str) -> None:
        step = training_action(subject.model, recipe=subject.recipe, batch=subject.batch)
        flops = flops_of(step)  # operations of a compiled step cannot be counted
        if subject.case.compiled:
            subject.model.compile_training("default")
        timed(step, kind="train", group=group, units=subject.num_scenes, flops=flops)

    return run


@pytest.fixture
def time_prediction(subject: Subject, timed: Callable[..., None]) -> Callable[[str], None]:
    """Returns a function that times the prediction of ``gqn-zoo bench`` in a group of the table."""

    def run(group: str) -> None:
        predict = prediction_action(subject.model, recipe=subject.recipe, batch=subject.batch)
        timed(predict, kind="predict", group=group, units=subject.num_images, flops=flops_of(predict))

    return run


def _peak_memory(subject: Subject) -> int | None:
    # This process also ran other benchmarks, and the memory of groups of processes is not in it.
    if DEVICE.type != "cuda" or subject.case.processes is not None:
        return None
    return torch.cuda.max_memory_allocated(DEVICE)
