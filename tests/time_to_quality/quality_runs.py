"""Runs of the benchmark of time to quality, made by hand."""

from benchmarks.time_to_quality.record import KIND, Point, QualityRun
from zoo.provenance import collect


def run_of(points, *, label="gqn-tower@smoke, 50 updates", seed=0, settings=0):
    """Returns a run with points (updates, CPU seconds, excess), twice as much wall-clock time, 5 operations per update."""
    return QualityRun(
        kind=KIND,
        schema_version=1,
        label=label,
        dataset="rooms",
        revision="0" * 16,
        scenes=8,
        num_context=2,
        sigma=0.7,
        flops_per_update=5,
        points=[
            Point(updates=updates, cpu_seconds=seconds, wall_seconds=2 * seconds, excess=excess)
            for updates, seconds, excess in points
        ],
        provenance=collect(seed=seed, command=["command"], config={"settings": settings}, device="cpu"),
    )
