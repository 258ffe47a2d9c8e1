"""Provenance of every row: code, date, machine, libraries, command; failures; and caveats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.comparison.formatting import hardware_of
from zoo.comparison.seed_groups import seed_groups
from zoo.report.page_tables import PageTable, plain_table
from zoo.results.row import ResultRow


class Environment(NamedTuple):
    """A machine with its libraries."""

    name: str  # by which rows refer to it
    machine: str
    versions: str


def provenance_of(rows: Sequence[ResultRow]) -> tuple[list[Environment], PageTable]:
    """Returns the environments in the order of their first row, and a table of all rows."""
    environments: dict[tuple[str, str], Environment] = {}
    records = []
    for row in rows:
        contents = (_machine(row), _versions(row))
        environment = environments.setdefault(contents, Environment(f"E{len(environments) + 1}", *contents))
        source, budget = row.provenance, row.budget
        git = source.git
        records.append(
            {
                "row": row.id,
                "variant": row.variant,
                "seed": str(source.seed),
                "status": row.status,
                "date (UTC)": source.utc,
                "commit": git.commit[:12] if git else f"version {source.version or 'unknown'}",
                "modified": "unknown" if git is None else "yes" if git.dirty else "no",
                "environment": environment.name,
                "settings": source.config_hash,
                "training": f"{budget.steps:,} steps of {budget.batch_size} scenes, {budget.seconds:,.0f} s"
                if budget
                else "",
                "command": source.command,
            }
        )
    return list(environments.values()), plain_table("Provenance of every row", records)


def failures_of(rows: Sequence[ResultRow]) -> PageTable:
    """Returns a table of the failed rows with their whole error texts."""
    records = [
        {
            "variant": row.variant,
            "seed": str(row.provenance.seed),
            "status": row.status,
            "error": row.error or "",
            "date (UTC)": row.provenance.utc,
            "command": row.provenance.command,
        }
        for row in rows
        if row.status != "ok"
    ]
    return plain_table("Failures", records)


def caveats_of(rows: Sequence[ResultRow]) -> list[str]:
    """Returns what weakens conclusions from the rows, one sentence each."""
    models = seed_groups(row for row in rows if row.status == "ok" and row.metrics and not row.is_baseline)
    sources = [row.provenance.git for row in rows]
    machines = {hardware_of(row) for row in rows if row.performance}
    commits = {git.commit for git in sources if git is not None}
    failed = sum(row.status != "ok" for row in rows)
    unknown = sum(git is None for git in sources)
    modified = sum(git is not None and git.dirty for git in sources)
    single = sum(len(group.rows) == 1 for group in models)
    found = [
        (failed, f"Failed, not ranked: {failed} of {len(rows)} rows."),
        (unknown, f"Code without a commit: {unknown} of {len(rows)} rows."),
        (modified, f"Code modified after its commit (marked +): {modified} of {len(rows)} rows."),
        (
            single,
            f"One seed: {single} of {len(models)} results. Their spread is over scenes; it does not include how training "
            "varies.",
        ),
        (len(machines) > 1, f"Speeds of {len(machines)} machines, which are not comparable with each other."),
        (len(commits) > 1, f"Rows of {len(commits)} commits."),
    ]
    return [sentence for applies, sentence in found if applies]


def _machine(row: ResultRow) -> str:
    hardware = row.provenance.hardware
    memory = f", {hardware.ram_bytes / 2**30:.0f} GiB" if hardware.ram_bytes else ""
    gpus = "".join(f", {gpu.name} ({gpu.memory_bytes / 2**30:.0f} GiB)" for gpu in hardware.gpus)
    cores = f"{hardware.cores} core{'s' if hardware.cores != 1 else ''}"
    threads = f"{hardware.threads} thread{'s' if hardware.threads != 1 else ''}"
    device = f"; on {row.provenance.device}" if row.provenance.device else ""
    return f"{hardware.cpu}, {cores}, {threads}{memory}{gpus}{device}"


def _versions(row: ResultRow) -> str:
    libraries = sorted((name, version) for name, version in row.provenance.versions.items() if version)
    ours = [("gqn-zoo", row.provenance.version)] if row.provenance.version else []
    return ", ".join(f"{name} {version}" for name, version in [*ours, *libraries])
