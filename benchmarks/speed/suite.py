"""The speed suite: its parts one after the other, into one record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.speed import against_plain, gpu, loading, peak_memory, processes, scaling
from benchmarks.speed.record import KIND, Findings, PartDone, Size, SpeedRecord, save
from benchmarks.speed.report import write_report
from zoo.errors import ConfigError, did_you_mean
from zoo.provenance import collect

FOLDER = "speed"
REPEATS: Mapping[Size, int] = {"full": 5, "quick": 2}


class Part(Protocol):
    """A part of the suite: adds its measurements to the findings."""

    def __call__(self, findings: Findings, *, size: Size, repeats: int) -> None: ...  # noqa: D102


PARTS: Mapping[str, Part] = {
    against_plain.PART: against_plain.against_plain,
    peak_memory.PART: peak_memory.peak_memory,
    scaling.PART: scaling.scaling,
    processes.PART: processes.processes,
    loading.PART: loading.loading,
    gpu.PART: gpu.on_gpu,
}


def choose_parts(names: Sequence[str]) -> list[str]:
    """Returns the named parts in the order of the suite; all without names.

    Raises:
        ConfigError: if there is no part of a name.
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
    log: Callable[[str], None],
) -> tuple[SpeedRecord, list[Path]]:
    """Runs the suite and writes the record, its tables and images to ``<output>/speed``.

    Args:
        output: folder of results.
        size: ``quick`` uses the smallest networks.
        repeats: turns; by default as many as the size has.
        parts: names of ``PARTS``; none is all.
        command: for the provenance.
        log: receives messages about the progress.

    Returns:
        The record and the files written.

    Raises:
        ConfigError: if there is no such part.
    """
    repeats = REPEATS[size] if repeats is None else repeats
    done: list[PartDone] = []
    found: list[Findings] = []
    for name in choose_parts(parts):
        started = time.perf_counter()
        findings = Findings(name, log=log)
        try:
            PARTS[name](findings, size=size, repeats=repeats)
        except Exception as error:  # the measurements of the other parts are kept
            findings.failures.append(f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - started
        for failure in findings.failures:
            log(f"{name}: failed: {failure}")
        log(f"{name}: {seconds:.0f} s")
        found.append(findings)
        done.append(PartDone(name=name, seconds=seconds, notes=findings.notes, failures=findings.failures))
    measured = [number for findings in found for number in findings.measured]
    record = SpeedRecord(
        kind=KIND,
        schema_version=1,
        size=size,
        repeats=repeats,
        parts=done,
        measured=measured,
        scalings=[law for findings in found for law in findings.scalings],
        provenance=collect(
            seed=0,
            command=command,
            config={"size": size, "repeats": repeats, "parts": [part.name for part in done]},
            device="cuda" if any(number.part == gpu.PART for number in measured) else "cpu",
        ),
    )
    folder = Path(output) / FOLDER
    return record, [save(record, folder), *write_report(record, folder)]
