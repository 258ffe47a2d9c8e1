"""What the fast core is to reach: every target is one line here, and every table judges by these lines alone."""

from __future__ import annotations

from typing import Literal, NamedTuple

from benchmarks.speed import against_plain, feeding, gpu
from benchmarks.speed.loading import RESIDENT, STORE
from benchmarks.speed.record import Measured, SpeedRecord
from benchmarks.speed.work import NETWORKS


class Target(NamedTuple):
    """A bound for one measured number, at full size.

    Attributes:
        part: of the suite.
        subject: as in :class:`benchmarks.speed.record.Measured`.
        action: the same.
        quantity: the same.
        sense: which side of the bound is wanted.
        bound: in the unit of the number.
    """

    part: str
    subject: str
    action: str
    quantity: str
    sense: Literal["at least", "at most"]
    bound: float

    @property
    def address(self) -> tuple[str, str, str, str]:
        """Where the number is found."""
        return self.part, self.subject, self.action, self.quantity

    def holds(self, measured: Measured) -> bool:
        """Tells whether the median keeps the bound."""
        return measured.median >= self.bound if self.sense == "at least" else measured.median <= self.bound


def _times(subject: str, action: str, bound: float) -> Target:
    return Target(against_plain.PART, subject, action, against_plain.SPEED_UP, "at least", bound)


TARGETS = (
    _times("shared", "training, 1 query", 2.0),
    _times("shared", "training, 4 queries", 2.5),
    _times("shared", "prediction, 1 query", 2.0),
    _times("shared", "prediction, 8 queries", 4.0),
    _times("unshared", "training, 1 query", 1.0),
    _times("unshared", "training, 4 queries", 1.8),
    _times("unshared", "prediction, 1 query", 1.0),
    _times("unshared", "prediction, 8 queries", 3.0),
    # Activations are what grows with the batch; composed and transformed weights do not, and are told beside it.
    Target(against_plain.PART, "shared", "training, 1 query", against_plain.SAVED_FURTHER, "at most", 0.6),
    *(
        Target(against_plain.PART, subject, "training, 1 query", f"{against_plain.FRACTION}, fast", "at least", 0.7)
        for subject in NETWORKS
    ),
    *(
        Target(against_plain.PART, subject, case.action, against_plain.DIFFERENCE, "at most", 1e-5)
        for subject in NETWORKS
        for case in against_plain.CASES
    ),
    Target(feeding.PART, STORE, feeding.ACTION, feeding.SPEED, "at least", 20_000.0),
    Target(feeding.PART, RESIDENT, feeding.ACTION, feeding.AGAINST_RECORDS, "at least", 100.0),
    Target(gpu.PART, "shared", gpu.FASTEST, gpu.SPEED_UP, "at least", 6.0),
    Target(gpu.PART, "shared", gpu.FASTEST, gpu.FRACTION, "at least", 0.4),
)


class Judged(NamedTuple):
    """A target beside what was reached."""

    target: Target
    measured: Measured
    holds: bool


def judge(record: SpeedRecord) -> list[Judged]:
    """Returns, for every target whose number a full run measured, whether it holds; other sizes are not judged."""
    if record.size != "full":
        return []
    found = ((target, record.find(target.address)) for target in TARGETS)
    return [Judged(target, number, target.holds(number)) for target, number in found if number is not None]
