"""The record of a run of the speed suite: one JSON file, from which all tables and images are made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from zoo.config.settings import first_problem
from zoo.errors import ResultError
from zoo.files import write_json
from zoo.provenance import Provenance, Record

KIND: Final = "gqn-zoo-speed"
Size = Literal["full", "quick"]
Address = tuple[str, str, str, str]


class Measured(Record):
    """Quantiles of one quantity over the turns in which it was measured; a count has one turn.

    Attributes:
        part: of the suite.
        subject: for example ``shared``, one of the networks.
        action: for example ``training, 1 query``.
        quantity: for example ``speed-up``; of a quotient, the quantiles of the turns' quotients.
        unit: of the quantiles.
        median: over the turns.
        p10: 10th percentile.
        p90: 90th percentile.
        n: turns.
    """

    part: str
    subject: str
    action: str
    quantity: str
    unit: str
    median: float
    p10: float
    p90: float
    n: Annotated[int, Field(ge=1)]

    @property
    def address(self) -> Address:
        """Identifies the quantity."""
        return self.part, self.subject, self.action, self.quantity


class Scaling(Record):
    """Seconds by size along one axis, and the exponent a of time ~ size^a by least squares of the logarithms.

    Attributes:
        axis: the size that varies, for example ``queries``.
        action: ``training`` or ``prediction``.
        subject: ``fast`` or ``plain``.
        sizes: in increasing order.
        seconds: medians over the turns, by size; with 10th and 90th percentiles.
        exponent: median of the turns' exponents, over all sizes; with 10th and 90th percentiles.
        exponent_of_the_largest: between the two largest sizes, where fixed costs matter least.
    """

    axis: str
    action: str
    subject: str
    sizes: Annotated[list[int], Field(min_length=2)]
    seconds: list[float]
    seconds_p10: list[float]
    seconds_p90: list[float]
    exponent: float
    exponent_p10: float
    exponent_p90: float
    exponent_of_the_largest: float

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        lengths = {len(values) for values in (self.sizes, self.seconds, self.seconds_p10, self.seconds_p90)}
        if len(lengths) > 1:
            raise ValueError(f"expected as many seconds as sizes, found {sorted(lengths)}")
        return self


class Findings:
    """The results of one part of the suite, which the part fills in.

    Args:
        part: its name.
        log: receives messages about the progress.
    """

    def __init__(self, part: str, *, log: Callable[[str], None]) -> None:
        self.part, self.log = part, log
        self.measured: list[Measured] = []
        self.scalings: list[Scaling] = []
        self.notes: list[str] = []  # explanations of the numbers
        self.failures: list[str] = []  # what could not be measured, and why

    def add(self, values: np.ndarray | float, quantity: str, unit: str, *, subject: str, action: str) -> None:
        """Adds the quantiles of a quantity's values [turns], or of one value."""
        turns = np.atleast_1d(np.asarray(values, dtype=np.float64))
        low, median, high = (float(value) for value in np.quantile(turns, [0.1, 0.5, 0.9]))
        names = {"part": self.part, "subject": subject, "action": action, "quantity": quantity, "unit": unit}
        self.measured.append(Measured(**names, median=median, p10=low, p90=high, n=len(turns)))


class PartDone(Record):
    """One part of a run; see :class:`Findings`."""

    name: str
    seconds: Annotated[float, Field(ge=0)]
    notes: list[str]
    failures: list[str]


class SpeedRecord(Record):
    """A run of the suite."""

    kind: Literal["gqn-zoo-speed"]
    schema_version: Literal[1]
    size: Size
    repeats: Annotated[int, Field(ge=1)]
    parts: list[PartDone]
    measured: list[Measured]
    scalings: list[Scaling]
    provenance: Provenance

    @model_validator(mode="after")
    def _every_address_once(self) -> Self:
        addresses = [measured.address for measured in self.measured]
        if len(set(addresses)) < len(addresses):
            twice = next(address for address in addresses if addresses.count(address) > 1)
            raise ValueError(f"measured twice: {', '.join(twice)}")
        return self

    def find(self, address: Address) -> Measured | None:
        """Returns the quantity at an address, None if it was not measured."""
        return next((measured for measured in self.measured if measured.address == address), None)

    @property
    def name(self) -> str:
        """``<time>-<processor>-<cores>-cores``, for its files."""
        time = re.sub(r"[-:]", "", self.provenance.utc)
        hardware = self.provenance.hardware
        processor = re.sub(r"[^a-z0-9]+", "-", hardware.cpu.lower()).strip("-")[:40].strip("-")
        return f"{time}-{processor}-{hardware.cores}-cores" + ("-quick" if self.size == "quick" else "")


def save(record: SpeedRecord, folder: Path) -> Path:
    """Writes a record to ``<name>.json`` in a folder and returns the path.

    Raises:
        ResultError: if the file exists.
        DiskFullError: if it cannot be written.
    """
    path = Path(folder) / f"{record.name}.json"
    if path.exists():
        raise ResultError(f"{path}: exists already; records are never overwritten")
    write_json(path, record.model_dump(mode="json"))
    return path


def load(path: Path) -> SpeedRecord:
    """Reads a record.

    Raises:
        ResultError: naming file and field, if the file is missing or not a record.
    """
    try:
        return SpeedRecord.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ResultError(f"{path}: {first_problem(error)}") from error
