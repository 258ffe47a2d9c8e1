"""Targets of the suite at full size."""

from __future__ import annotations

from typing import Literal, NamedTuple

from benchmarks.speed import against_plain as plain
from benchmarks.speed import gpu, loading
from benchmarks.speed.record import Address, Measured, SpeedRecord
from benchmarks.speed.work import NETWORKS


class Target(NamedTuple):
    """A bound for the median of one measured quantity, in its unit; for the other fields see ``Measured``."""

    part: str
    subject: str
    action: str
    quantity: str
    sense: Literal["at least", "at most"]
    bound: float

    @property
    def address(self) -> Address:
        """Identifies the quantity."""
        return self.part, self.subject, self.action, self.quantity

    def holds(self, measured: Measured) -> bool:
        """Returns whether the median keeps the bound."""
        return measured.median >= self.bound if self.sense == "at least" else measured.median <= self.bound


def _speed_up(subject: str, action: str, bound: float) -> Target:
    return Target(plain.PART, subject, action, plain.SPEED_UP, "at least", bound)


TARGETS = (
    _speed_up("shared", "training, 1 query", 2.0),
    _speed_up("shared", "training, 4 queries", 2.5),
    _speed_up("shared", "prediction, 1 query", 2.0),
    _speed_up("shared", "prediction, 8 queries", 4.0),
    _speed_up("unshared", "training, 1 query", 1.0),
    _speed_up("unshared", "training, 4 queries", 1.8),
    _speed_up("unshared", "prediction, 1 query", 1.0),
    _speed_up("unshared", "prediction, 8 queries", 3.0),
    # Activations grow with the batch; composed and transformed weights do not.
    Target(plain.PART, "shared", "training, 1 query", plain.SAVED_FURTHER, "at most", 0.6),
    *(Target(plain.PART, name, "training, 1 query", f"{plain.FRACTION}, fast", "at least", 0.7) for name in NETWORKS),
    *(
        Target(plain.PART, name, case.action, plain.DIFFERENCE, "at most", 1e-5)
        for name in NETWORKS
        for case in plain.CASES
    ),
    Target(loading.PART, loading.STORE, loading.ACTION, loading.SPEED, "at least", 20_000.0),
    Target(loading.PART, loading.RESIDENT, loading.ACTION, loading.AGAINST_RECORDS, "at least", 100.0),
    Target(gpu.PART, "shared", gpu.FASTEST, gpu.SPEED_UP, "at least", 6.0),
    Target(gpu.PART, "shared", gpu.FASTEST, gpu.FRACTION, "at least", 0.4),
)


def reached(record: SpeedRecord) -> list[tuple[Target, Measured]]:
    """Returns the targets that were measured in a full run, with the measured quantity; other sizes have no targets."""
    found = [(target, record.find(target.address)) for target in TARGETS if record.size == "full"]
    return [(target, measured) for target, measured in found if measured is not None]
