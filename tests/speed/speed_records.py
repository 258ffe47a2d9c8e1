"""Made-up records of the speed suite."""

from benchmarks.speed import against_plain, gpu
from benchmarks.speed.record import KIND, Findings, PartDone, SpeedRecord
from zoo.provenance import collect


def number(subject, action, quantity, values, *, part=against_plain.PART, unit="times"):
    findings = Findings(part, log=print)
    findings.add(values, quantity, unit, subject=subject, action=action)
    return findings.measured[0]


def record_of(numbers, scalings=(), *, size="full"):
    """A record with these quantities."""
    parts = [against_plain.PART, *(["scaling"] if scalings else []), gpu.PART]
    return SpeedRecord(
        kind=KIND,
        schema_version=1,
        size=size,
        repeats=3,
        parts=[PartDone(name=name, seconds=1.5, notes=[f"a note on {name}"], failures=[]) for name in parts],
        measured=list(numbers),
        scalings=list(scalings),
        provenance=collect(seed=0, command=["python"], config={}),
    )
