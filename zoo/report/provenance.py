"""Where every row comes from: code, date, machine, libraries, command; and what a reader should hold against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.comparison.formatting import hardware_of
from zoo.comparison.seed_groups import seed_groups
from zoo.results.row import ResultRow


class Environment(NamedTuple):
    """A machine with its libraries, which rows refer to by its name."""

    name: str
    machine: str
    versions: str


class Origin(NamedTuple):
    """The provenance of one row, in words."""

    row: str
    variant: str
    seed: str
    status: str
    date: str
    code: str
    changed: str
    environment: str
    digest: str
    training: str
    command: str


class Failure(NamedTuple):
    """A run or a measurement that did not come out."""

    variant: str
    seed: str
    status: str
    error: str
    date: str
    command: str


def origins_of(rows: Sequence[ResultRow]) -> tuple[list[Environment], list[Origin]]:
    """Returns the environments in the order of their first row, and one record a row."""
    environments: dict[tuple[str, str], Environment] = {}
    origins = []
    for row in rows:
        contents = (_machine(row), _versions(row))
        environment = environments.setdefault(contents, Environment(f"E{len(environments) + 1}", *contents))
        git, version, budget = row.provenance.git, row.provenance.version, row.budget
        origins.append(
            Origin(
                row=row.id,
                variant=row.variant,
                seed=str(row.provenance.seed),
                status=row.status,
                date=row.provenance.utc,
                code=git.commit[:12] if git else f"version {version or 'unknown'}",
                changed="unknown" if git is None else "yes" if git.dirty else "no",
                environment=environment.name,
                digest=row.provenance.config_hash,
                training=f"{budget.steps:,} steps of {budget.batch_size} scenes, {budget.seconds:,.0f} s"
                if budget
                else "",
                command=row.provenance.command,
            )
        )
    return list(environments.values()), origins


def failures_of(rows: Sequence[ResultRow]) -> list[Failure]:
    """Returns every row that is not ``ok``, with its whole error text."""
    return [
        Failure(
            variant=row.variant,
            seed=str(row.provenance.seed),
            status=row.status,
            error=row.error or "",
            date=row.provenance.utc,
            command=row.provenance.command,
        )
        for row in rows
        if row.status != "ok"
    ]


def caveats(rows: Sequence[ResultRow]) -> list[str]:
    """Returns what weakens the conclusions, one sentence each: changed code, single seeds, several machines, failures."""
    found = []
    if count := sum(row.status != "ok" for row in rows):
        listed = "is a failure: it is" if count == 1 else "are failures: they are"
        found.append(f"{_of(count, len(rows), 'row')} {listed} listed, not ranked.")
    if count := sum(row.provenance.git is None for row in rows):
        found.append(f"{_of(count, len(rows), 'row')} {_is(count)} of code without a commit.")
    if count := sum(row.provenance.git is not None and row.provenance.git.dirty for row in rows):
        found.append(
            f"{_of(count, len(rows), 'row')} {_is(count)} of code that was changed after its commit (marked +)."
        )
    lines = seed_groups(row for row in rows if row.status == "ok" and row.metrics and not row.is_baseline)
    if count := sum(len(line.rows) == 1 for line in lines):
        found.append(
            f"{_of(count, len(lines), 'line')} {_has(count)} one seed: its spread is over scenes, and says nothing about "
            "how training varies."
        )
    machines = {hardware_of(row) for row in rows if row.performance}
    if len(machines) > 1:
        found.append(f"Speeds were measured on {len(machines)} machines; between machines they are not comparable.")
    commits = {row.provenance.git.commit for row in rows if row.provenance.git is not None}
    if len(commits) > 1:
        found.append(f"The rows were made by {len(commits)} commits.")
    return found


def _of(count: int, total: int, noun: str) -> str:
    return f"{count} of {total} {noun}{'s' if total != 1 else ''}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _machine(row: ResultRow) -> str:
    hardware = row.provenance.hardware
    memory = f", {hardware.ram_bytes / 2**30:.0f} GiB" if hardware.ram_bytes else ""
    gpus = "".join(f", {gpu.name} ({gpu.memory_bytes / 2**30:.0f} GiB)" for gpu in hardware.gpus)
    cores = f"{hardware.cores} core{'s' if hardware.cores != 1 else ''}"
    threads = f"{hardware.threads} thread{'s' if hardware.threads != 1 else ''}"
    device = f"; ran on {row.provenance.device}" if row.provenance.device else ""
    return f"{hardware.cpu}, {cores}, {threads}{memory}{gpus}{device}"


def _versions(row: ResultRow) -> str:
    stated = sorted((name, version) for name, version in row.provenance.versions.items() if version)
    ours = [("gqn-zoo", row.provenance.version)] if row.provenance.version else []
    return ", ".join(f"{name} {version}" for name, version in [*ours, *stated])
