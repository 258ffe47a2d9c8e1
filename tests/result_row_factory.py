import numpy as np
import pytest

from zoo.provenance import GitState, Hardware, Provenance
from zoo.results.row import (
    PREDICT_THROUGHPUT,
    TRAIN_THROUGHPUT,
    Budget,
    ComparabilityKey,
    Metric,
    ModelFacts,
    ResultRow,
    Timing,
)

FLOOR = 6909.1


def _key(**changes):
    fields = {
        "task": "render",
        "dataset": "rooms",
        "revision": "0123456789abcdef",
        "split": "test",
        "image_size": 64,
        "num_context": 3,
        "num_targets": 2,
        "num_scenes": 40,
        "episodes": "fedcba9876543210",
        "likelihood": "annealed_gaussian",
        "sigma": 0.7,
    }
    return ComparabilityKey(**fields | changes)


def _metric(values, unit="nats/target", higher_is_better=False):
    stderr = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Metric(
        value=float(np.mean(values)), stderr=stderr, n=len(values), unit=unit, higher_is_better=higher_is_better
    )


def _speed(median, unit):
    return Timing(
        median=median, p10=0.98 * median, p90=1.02 * median, n=40, unit=unit, higher_is_better=True, warmup=10
    )


def _row(excess, *, variant="gqn-tower", seed=0, key=None, floor=FLOOR, cpu="EPYC", speed=100.0, **changes):
    """Makes a row from [scenes] values of the excess NELBO."""
    excess = np.asarray(excess, dtype=float)
    fields = {
        "status": "ok",
        "variant": variant,
        "encoder": "tower",
        "core": "gqn",
        "key": key or _key(num_scenes=len(excess)),
        "metrics": {
            "nelbo_excess": _metric(excess),
            "nelbo": _metric(excess + floor),
            "floor": Metric(value=floor, n=len(excess), unit="nats/target"),
            "psnr": _metric(30 - excess / 10, "dB", True),
        },
        "per_scene": {"scene": list(range(len(excess))), "nelbo_excess": excess.tolist()},
        "performance": {
            TRAIN_THROUGHPUT: _speed(speed, "scenes/s"),
            PREDICT_THROUGHPUT: _speed(10 * speed, "images/s"),
        },
        "model": ModelFacts(parameters=15_900_000, peak_memory_bytes=2**30),
        "budget": Budget(steps=20_000, batch_size=36, scenes_seen=720_000, seconds=60.0),
        "provenance": Provenance(
            git=GitState(commit="ab12" * 10, dirty=True),
            version="0.1.0",
            config_hash="0" * 16,
            seed=seed,
            command="gqn-zoo evaluate",
            versions={"torch": "2.15.0"},
            hardware=Hardware(cpu=cpu, cores=2, ram_bytes=None, threads=2, gpus=[]),
            device="cpu",
            utc="2026-11-21T08:00:00Z",
        ),
    }
    return ResultRow(**fields | changes)


def _failure(*, variant="broken", key=None, status="oom", error="out of memory"):
    return _row(
        [1.0], variant=variant, status=status, error=error, metrics={}, per_scene={}, performance={}, model=None
    ).model_copy(update={"key": key, "budget": None})


@pytest.fixture
def make_key():
    return _key


@pytest.fixture
def make_row():
    return _row


@pytest.fixture
def make_failure():
    return _failure


@pytest.fixture
def excess_of_scenes():
    """Excess of 40 scenes: they differ far more from one another than the models do."""
    return np.random.default_rng(0).gamma(4.0, 3.0, 40)
