"""A plan for training a variant on 8 and 64 GPUs, from what was measured here and what is assumed; it needs no GPU.

    python -m benchmarks.scale --measure     # counts operations, times checkpoints and plans: results/scale.json
    python -m benchmarks.scale               # the tables of docs/scale.md from results/scale.json and results/speed

``--measure`` also simulates the launches: for every process of 8 and of 64 it computes the scenes that the loader gives
to it, and checks that together they are the global batch, each scene once.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.comparison.markup import update_markdown_between_markers
from zoo.files import write_json, writing_directory
from zoo.registry.documentation import parameter_count
from zoo.registry.registry import default_registry

ROOT = Path(__file__).resolve().parent.parent
RECORD, SPEED, PAGE = ROOT / "results" / "scale.json", ROOT / "results" / "speed", ROOT / "docs" / "scale.md"
VARIANTS = ("gqn-tower", "gqn-epipolar-improved")
GPUS = (1, 8, 64)
SCENES = 2_000_000  # about those of rooms_ring_camera
FLOAT, GIGA = 4, 1e9
BACKWARD = 2 / 3  # of the operations of an update, during which gradients are exchanged


class Assumed(NamedTuple):
    """What was not measured here."""

    teraflops: float = 100.0  # that one GPU sustains in an update
    node_gigabytes: float = 200.0  # per second, GPU to GPU within a node of 8
    network_gigabytes: float = 25.0  # per second and GPU, between nodes
    node_cores: int = 64  # for loaders
    mean_hours: float = 50_000.0  # between failures of one GPU with its share of a node
    restart_minutes: float = 10.0  # until training goes on
    save_minutes: float = 15.0  # between checkpoints


def measure() -> dict[str, Any]:
    """Returns what the plan needs and ``results/speed`` does not have."""
    from zoo.bench.suite.cost import flops_per_scene
    from zoo.provenance import collect

    registry = default_registry()
    full = {name: registry.variant(name) for name in VARIANTS}
    return {
        "flops_per_scene": {name: flops_per_scene(variant) for name, variant in full.items()},
        "plan_seconds": {str(number): simulate_launch(number) for number in GPUS},
        "bytes_per_second_written": _written_per_second(),
        "provenance": collect(
            seed=0, command=["python", "-m", "benchmarks.scale", "--measure"], config={}
        ).model_dump(),
    }


def simulate_launch(processes: int, *, steps: int = 3, num_scenes: int = SCENES) -> float:
    """Checks the shares of all processes in some steps; returns the seconds that one process takes to plan a step."""
    from zoo.data.plan import Share, TrainingPlan

    recipe = default_registry().variant(VARIANTS[0]).training
    recipe = recipe.model_copy(update={"batch_size": recipe.batch_size * processes})
    source: Any = _Scenes(num_scenes)
    plan = TrainingPlan(source, recipe=recipe, seed=0)
    plan(0)  # draws the order of the first epoch
    seconds = []
    for step in range(1, steps + 1):
        start = time.perf_counter()
        batch = plan(step)
        seconds.append(time.perf_counter() - start)
        parts = [Share(rank, processes).part(batch, 0) for rank in range(processes)]
        assert len({len(part.scenes) for part in parts}) == 1
        together = np.concatenate([part.scenes for part in parts])
        assert np.array_equal(together, batch.scenes) and len(np.unique(together)) == recipe.batch_size
        assert np.array_equal(np.concatenate([part.places for part in parts]), np.arange(recipe.batch_size))
    return float(np.median(seconds))


class _Scenes(NamedTuple):
    num_scenes: int
    num_views: int = 10
    name: str = "simulated"


def _written_per_second(num_bytes: int = 2**27) -> float:
    """Writes a folder as a checkpoint is written: to the disk, with a SHA-256, then renamed."""
    from zoo.files import sha256_of

    data = np.random.default_rng(0).bytes(num_bytes)
    with tempfile.TemporaryDirectory(dir=ROOT / "results") as place:
        start = time.perf_counter()
        with writing_directory(Path(place, "checkpoint")) as folder:
            (folder / "file").write_bytes(data)
            sha256_of(folder / "file")
        return num_bytes / (time.perf_counter() - start)


class Plan(NamedTuple):
    """A training on some GPUs."""

    gpus: int
    batch: int
    rate_factor: float  # of the learning rate
    seconds: float  # of an update
    efficiency: float  # arithmetic's share of an update
    hours: float  # of the recipe's scenes, without losses
    images: float  # per second that all loaders together must give
    checkpoint: float  # bytes
    failures: float  # expected
    loads: dict[str, float]  # share of its limit that each part takes; 1 and more: it decides the speed


def make_plan(name: str, gpus: int, *, record: dict[str, Any], loader: float, assumed: Assumed) -> Plan:
    """Plans the training of a variant at its full size; ``loader``: views per second of one core."""
    variant = default_registry().variant(name)
    recipe, parameters = variant.training, parameter_count(variant)
    assert parameters is not None
    arithmetic = record["flops_per_scene"][name] * recipe.batch_size / (assumed.teraflops * 1e12)
    bandwidth = (assumed.node_gigabytes if gpus <= 8 else assumed.network_gigabytes) * GIGA
    exchange = 2 * (gpus - 1) / gpus * FLOAT * parameters / bandwidth
    update = arithmetic + max(0.0, exchange - BACKWARD * arithmetic)
    batch = recipe.batch_size * gpus
    views = (recipe.contexts.minimum + recipe.contexts.maximum) / 2 + recipe.most_targets
    hours = recipe.steps * recipe.batch_size / batch * update / 3600
    checkpoint = FLOAT * parameters * (4 if recipe.ema_decay else 3)  # weights, two moments, average
    writing = checkpoint / record["bytes_per_second_written"]
    failures = hours * gpus / assumed.mean_hours
    lost = failures * (assumed.save_minutes / 2 + assumed.restart_minutes) / 60
    cores = assumed.node_cores * min(gpus, 8) / 8 * math.ceil(gpus / 8)
    return Plan(
        gpus=gpus,
        batch=batch,
        rate_factor=math.sqrt(gpus),
        seconds=update,
        efficiency=arithmetic / update,
        hours=hours,
        images=batch * views / update,
        checkpoint=checkpoint,
        failures=failures,
        loads={
            "exchange of gradients": exchange / (BACKWARD * arithmetic),
            "loader": batch * views / update / (loader * cores),
            "plan of the batch": record["plan_seconds"][str(gpus)] / update,
            "checkpoints": writing / (60 * assumed.save_minutes),
            "failures": lost / hours,
        },
    )


def measured_speeds() -> dict[tuple[str, str, str], float]:
    """Returns the medians of the newest record of ``results/speed`` by part, subject and quantity."""
    values = json.loads(sorted(SPEED.glob("*.json"))[-1].read_text(encoding="utf-8"))["measured"]
    return {(each["part"], each["subject"], each["quantity"]): each["median"] for each in values}


def tables(record: dict[str, Any], assumed: Assumed) -> Iterator[str]:
    """Yields the lines of the page's tables."""
    speeds = measured_speeds()
    hardware = record["provenance"]["hardware"]
    views = speeds["loading", "store with workers", "speed"]
    loader = views / hardware["cores"]
    records = speeds["loading", "TFRecords, wanted views decoded", "speed"] / hardware["cores"]
    yield f"Measured on {hardware['cpu']}, {hardware['cores']} cores ({record['provenance']['utc'][:10]}, and `results/speed`):\n"
    yield "| quantity | value |\n|---|---:|"
    for (part, subject, quantity), value in speeds.items():
        if part == "processes" and quantity == "against one process":
            yield f"| updates of one global batch, {subject}: speed against one process | {value:.2f} |"
    yield f"| loader, scene store with workers, both cores | {views:,.0f} images/s |"
    yield f"| loader, TFRecords, both cores | {records * hardware['cores']:,.0f} images/s |"
    yield f"| checkpoint: write, SHA-256, rename | {record['bytes_per_second_written'] / 1e6:,.0f} MB/s |"
    for number, seconds in sorted(record["plan_seconds"].items(), key=lambda item: int(item[0])):
        yield f"| plan of a global batch for {number} process(es), {SCENES:,} scenes | {1e3 * seconds:.2f} ms |"
    yield (
        "\nAssumed: "
        + ", ".join(f"{key.replace('_', ' ')} {value:,g}" for key, value in assumed._asdict().items())
        + ".\n"
    )
    for name in VARIANTS:
        flops = record["flops_per_scene"][name]
        yield f"**{name}**, full size: {flops / GIGA:,.0f} GFLOP per scene and update\n"
        plans = [make_plan(name, gpus, record=record, loader=loader, assumed=assumed) for gpus in GPUS]
        yield "| | " + " | ".join(f"{plan.gpus} GPU{'s' if plan.gpus > 1 else ''}" for plan in plans) + " |"
        yield "|---|" + "---:|" * len(plans)
        rows: Sequence[tuple[str, list[str]]] = (
            ("global batch, scenes", [f"{plan.batch:,}" for plan in plans]),
            ("learning rate times", [f"{plan.rate_factor:.2f}" for plan in plans]),
            ("update, ms", [f"{1e3 * plan.seconds:.1f}" for plan in plans]),
            ("efficiency", [f"{plan.efficiency:.0%}" for plan in plans]),
            ("the recipe's scenes, hours", [f"{plan.hours:,.1f}" for plan in plans]),
            ("images/s needed", [f"{plan.images:,.0f}" for plan in plans]),
            ("cores needed, scene store", [f"{plan.images / loader:.2f}" for plan in plans]),
            ("cores needed, TFRecords", [f"{plan.images / records:.1f}" for plan in plans]),
            ("checkpoint", [f"{plan.checkpoint / 1e6:,.0f} MB" for plan in plans]),
            ("writing it, s", [f"{plan.checkpoint / record['bytes_per_second_written']:.1f}" for plan in plans]),
            ("expected failures", [f"{plan.failures:.3f}" for plan in plans]),
            *((f"load: {part}", [f"{plan.loads[part]:.2%}" for plan in plans]) for part in plans[0].loads),
            ("breaks first", [max(plan.loads, key=lambda part: plan.loads[part]) for plan in plans]),
        )
        yield from (f"| {title} | {' | '.join(cells)} |" for title, cells in rows)
        yield ""


def main() -> None:
    """Measures, or writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure and write results/scale.json")
    for field, default in Assumed()._asdict().items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    if given.pop("measure"):
        write_json(RECORD, measure())
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    update_markdown_between_markers(PAGE, "scale", "\n".join(tables(record, Assumed(**given))))


if __name__ == "__main__":
    main()
