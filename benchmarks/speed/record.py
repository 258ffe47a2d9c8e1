"""What a run of the speed suite found: one JSON file, from which all tables and images are made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zoo.errors import ResultError
from zoo.files import write_json
from zoo.provenance import Provenance

KIND: Final = "gqn-zoo-speed"
SCHEMA_VERSION: Final = 1
Size = Literal["full", "quick"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Measured(_Record):
    """One number, by its quantiles over the turns in which it was measured; a count has one turn.

    Attributes:
        part: of the suite.
        subject: what was measured, for example ``shared`` or the name of a variant.
        action: what it did, for example ``training, 1 query``.
        quantity: what was measured about it, for example ``speed-up``.
        unit: of the three quantiles.
        median: over the turns; of a quotient, the median of the turns' quotients.
        p10: the lower end of the spread.
        p90: the upper end of the spread.
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
    def address(self) -> tuple[str, str, str, str]:
        """By what a target finds its number."""
        return self.part, self.subject, self.action, self.quantity


class Scaling(_Record):
    """Time against one size, and the exponent a of time ~ size^a by least squares in logarithms.

    Attributes:
        axis: what grows, for example ``queries``.
        action: what was timed.
        subject: which of the two networks.
        sizes: the places along the axis, growing.
        seconds: medians of the turns.
        seconds_p10: the lower ends of their spreads.
        seconds_p90: the upper ends of their spreads.
        exponent: median of the exponents that the turns give by themselves, over the whole range of sizes.
        exponent_p10: the lower end of its spread.
        exponent_p90: the upper end of its spread.
        exponent_of_the_largest: between the two largest sizes, where fixed costs weigh least.
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


class Findings(NamedTuple):
    """What one part of the suite found."""

    measured: Sequence[Measured] = ()
    scalings: Sequence[Scaling] = ()
    notes: Sequence[str] = ()  # what has to be known to read the numbers
    failures: Sequence[str] = ()  # what could not be measured, and why


class PartDone(_Record):
    """One part of a run.

    Attributes:
        name: of the part.
        seconds: that it took.
        notes: what has to be known to read its numbers.
        failures: what could not be measured, and why.
    """

    name: str
    seconds: Annotated[float, Field(ge=0)]
    notes: list[str]
    failures: list[str]


class SpeedRecord(_Record):
    """A run of the suite."""

    kind: Literal["gqn-zoo-speed"] = KIND
    schema_version: Literal[1] = SCHEMA_VERSION
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

    def find(self, address: tuple[str, str, str, str]) -> Measured | None:
        """Returns the number at an address, None if it was not measured."""
        return next((measured for measured in self.measured if measured.address == address), None)

    @property
    def name(self) -> str:
        """``<time>-<processor>-<cores>-cores``, for its files."""
        time = re.sub(r"[-:]", "", self.provenance.utc)
        hardware = self.provenance.hardware
        kind = re.sub(r"[^a-z0-9]+", "-", hardware.cpu.lower()).strip("-")[:40].strip("-")
        return f"{time}-{kind}-{hardware.cores}-cores" + ("-quick" if self.size == "quick" else "")


def measured(
    values: Iterable[float] | np.ndarray | float, *, part: str, subject: str, action: str, quantity: str, unit: str
) -> Measured:
    """Summarises the values of all turns, or of the one turn that a count needs."""
    turns = np.atleast_1d(np.asarray(values, dtype=np.float64))
    low, middle, high = (float(value) for value in np.quantile(turns, [0.1, 0.5, 0.9]))
    return Measured(
        part=part,
        subject=subject,
        action=action,
        quantity=quantity,
        unit=unit,
        median=middle,
        p10=low,
        p90=high,
        n=len(turns),
    )


def save(record: SpeedRecord, folder: Path) -> Path:
    """Writes a record as ``<name>.json``, whole or not at all, and returns the path.

    Raises:
        ResultError: if there is such a file.
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
        ResultError: naming the file and the field, if the file is missing or not a record of this version.
    """
    try:
        contents = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(contents, dict) or contents.get("kind") != KIND:
        raise ResultError(f"{path}: kind: expected {KIND!r}, so this is not a record of the speed suite")
    if contents.get("schema_version") != SCHEMA_VERSION:
        found = contents.get("schema_version")
        raise ResultError(f"{path}: schema_version: expected {SCHEMA_VERSION}, found {found!r}")
    try:
        return SpeedRecord.model_validate(contents)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(place) for place in first["loc"]) or "record"
        raise ResultError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
