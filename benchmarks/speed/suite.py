"""The speed suite: its parts one after the other, each of which compares by turns, into one record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from benchmarks.speed import against_plain, every_variant, feeding, gpu, peak_memory, processes, scaling
from benchmarks.speed.record import Findings, PartDone, Size, SpeedRecord, save
from benchmarks.speed.showing import show
from zoo.errors import ConfigError, did_you_mean
from zoo.provenance import collect

FOLDER = "speed"
REPEATS: Mapping[Size, int] = MappingProxyType({"full": 5, "quick": 2})


class Part(Protocol):
    """What every part of the suite is called with."""

    def __call__(self, *, size: Size, repeats: int, tell: Callable[[str], None]) -> Findings:
        """Measures, and tells what is being done one sentence at a time."""


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        against_plain.PART: against_plain.against_plain,
        peak_memory.PART: peak_memory.peak_memory,
        scaling.PART: scaling.scaling,
        processes.PART: processes.processes,
        feeding.PART: feeding.feeding,
        every_variant.PART: every_variant.every_variant,
        gpu.PART: gpu.on_gpu,
    }
)


def chosen_parts(names: Sequence[str]) -> list[str]:
    """Returns the parts named, in the order of the suite; all if none is named.

    Raises:
        ConfigError: if there is no part of that name.
    """
    for name in names:
        if name not in PARTS:
            raise ConfigError(f"the speed suite has no part {name!r}{did_you_mean(name, PARTS)}")
    return [name for name in PARTS if name in names or not names]


def run_suite(
    output: Path,
    *,
    size: Size = "full",
    repeats: int | None = None,
    parts: Sequence[str] = (),
    command: Sequence[str] = (),
    tell: Callable[[str], None],
) -> tuple[SpeedRecord, list[Path]]:
    """Measures, and writes the record with its tables and images to ``<output>/speed``.

    Args:
        output: folder of results.
        size: of the networks; ``quick`` is for trying the suite out.
        repeats: turns; left out, as many as the size asks for.
        parts: some of ``PARTS``; none is all.
        command: the command line, for the provenance.
        tell: called with one sentence at a time about what is being done.

    Returns:
        The record and the files written.

    Raises:
        ConfigError: if there is no such part.
    """
    turns = REPEATS[size] if repeats is None else repeats
    found: list[Findings] = []
    parts_done: list[PartDone] = []
    for name in chosen_parts(parts):
        started = time.perf_counter()
        try:
            findings = PARTS[name](size=size, repeats=turns, tell=tell)
        except Exception as error:  # what was measured for minutes is not lost because another part fails
            findings = Findings(failures=[f"{type(error).__name__}: {error}"])
        seconds = time.perf_counter() - started
        for failure in findings.failures:
            tell(f"{name}: failed: {failure}")
        tell(f"{name}: {seconds:.0f} s")
        found.append(findings)
        parts_done.append(
            PartDone(name=name, seconds=seconds, notes=list(findings.notes), failures=list(findings.failures))
        )
    measured = [number for findings in found for number in findings.measured]
    record = SpeedRecord(
        size=size,
        repeats=turns,
        parts=parts_done,
        measured=measured,
        scalings=[law for findings in found for law in findings.scalings],
        provenance=collect(
            seed=0,
            command=command,
            config={"size": size, "repeats": turns, "parts": [part.name for part in parts_done]},
            device="cuda" if any(number.part == gpu.PART for number in measured) else "cpu",
        ),
    )
    folder = Path(output) / FOLDER
    return record, [save(record, folder), *show(record, folder)]
