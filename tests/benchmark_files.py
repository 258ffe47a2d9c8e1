"""Small files as pytest-benchmark saves them."""

import json

import numpy as np
from pytest_benchmark.stats import Stats

from zoo.provenance import GitState, Hardware, Provenance
from zoo.results.pytest_benchmark import BenchmarkFacts

SPREAD = np.linspace(0.99, 1.01, 10)  # ten rounds whose median is 1
MEDIANS = {"train": 0.02, "predict": 0.005}


def facts(action="train", **changes):
    fields = {
        "label": "vae@smoke",
        "variant": "vae",
        "size": "smoke",
        "encoder": "none",
        "core": "vae",
        "action": action,
        "unit": "images" if action == "predict" else "scenes",
        "units": 8 if action == "predict" else 4,
        "batch_size": 4,
        "num_context": 2,
        "mixed_precision": "no",
        "compiled": False,
        "processes": None,
        "device": "cpu",
        "seed": 3,
        "config_hash": "0123456789abcdef",
        "parameters": 1000,
        "flops": 4000 if action == "train" else 800,
        "peak_memory_bytes": None,
        "warmup_rounds": 3,
        "p10_seconds": 1.0,
        "p90_seconds": 1.0,
    }
    return fields | changes


def entry(median, *, action="train", spread=SPREAD, **changes):
    """Makes one benchmark as pytest-benchmark saves it, with its own statistics."""
    stats = Stats()
    for seconds in median * np.asarray(spread):
        stats.update(float(seconds))
    low, high = np.quantile(stats.data, [0.1, 0.9])
    known = BenchmarkFacts(**facts(action, **changes) | {"p10_seconds": float(low), "p90_seconds": float(high)})
    name = f"test_{action}[{known.label}]"
    return {
        "group": action,
        "name": name,
        "fullname": f"benchmarks/test_variants.py::{name}",
        "params": None,
        "param": known.label,
        "extra_info": {**known.model_dump(mode="json"), "scenes_per_second": known.units / stats.median},
        "options": {"timer": "perf_counter"},
        "stats": {**stats.as_dict(), "iterations": 1},
    }


def saved(*entries, threads=2):
    provenance = Provenance(
        git=GitState(commit="ab12" * 10, dirty=True),
        version="0.1.0",
        config_hash="f" * 16,
        seed=0,
        command="pytest benchmarks",
        versions={"torch": "2.15.0"},
        hardware=Hardware(cpu="EPYC", cores=2, ram_bytes=None, threads=threads, gpus=[]),
        device="cpu",
        utc="2026-11-21T08:00:00Z",
    )
    return {
        "machine_info": {"cpu": "EPYC", "threads": threads, "gpus": [], "device": "cpu"},
        "commit_info": {"id": "ab12" * 10, "dirty": True},
        "benchmarks": list(entries),
        "datetime": "2026-11-21T08:00:00+00:00",
        "version": "5.3.1",
        "provenance": provenance.model_dump(mode="json"),
    }


def run(factor=1.0, *, threads=2, spread=SPREAD):
    """Makes a file in which training and prediction of one variant take ``factor`` times their seconds."""
    entries = (entry(factor * seconds, action=action, spread=spread) for action, seconds in MEDIANS.items())
    return saved(*entries, threads=threads)


def write(path, contents):
    path.write_text(json.dumps(contents))
    return path
