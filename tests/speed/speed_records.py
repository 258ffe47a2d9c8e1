"""Records of the speed suite for tests, made up."""

from benchmarks.speed import against_plain, gpu
from benchmarks.speed.record import PartDone, SpeedRecord, measured
from zoo.provenance import collect


def number(subject, action, quantity, values, *, part=against_plain.PART, unit="times"):
    return measured(values, part=part, subject=subject, action=action, quantity=quantity, unit=unit)


def record_of(numbers, scalings=(), *, size="full", failures=()):
    """A record of a run in which these numbers were found."""
    parts = [against_plain.PART, *(["scaling"] if scalings else []), gpu.PART]
    return SpeedRecord(
        size=size,
        repeats=3,
        parts=[
            PartDone(
                name=name, seconds=1.5, notes=[f"a note on {name}"], failures=list(failures) if name == "gpu" else []
            )
            for name in parts
        ],
        measured=list(numbers),
        scalings=list(scalings),
        provenance=collect(seed=0, command=["gqn-zoo", "bench"], config={}),
    )
