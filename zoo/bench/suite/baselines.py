"""The references of a suite: one row each for every set of episodes on which its variants are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from zoo.bench.baselines import Scenes, reference_rows
from zoo.bench.protocol import plan_of
from zoo.bench.suite.jobs import Job
from zoo.errors import ConfigError
from zoo.results.store import rows_in, save_row


def leave_references(
    jobs: Sequence[Job], *, rows: Path, counting: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Measures the mean image and the nearest context view wherever a job's variant has to pass them.

    What has its row already is left alone.

    Args:
        jobs: of a suite whose scenes are there.
        rows: folder of the rows.
        counting: is told how many jobs were looked at, and of how many.

    Returns:
        The files of the rows written.

    Raises:
        ZooError: if scenes or a row are damaged.
    """
    present = [row for row in rows_in(rows) if row.is_baseline]
    opened: dict[Path, Scenes] = {}
    seen = set()
    written: list[Path] = []
    for number, job in enumerate(jobs, start=1):
        if job.data is None:
            continue
        scenes = opened.setdefault(job.data, Scenes.of(job.data, job.split))
        for num_context in job.contexts:
            protocol = job.protocol.at(num_context, timed=False)
            try:
                plan = plan_of(protocol, job.variant, scenes.reported)
            except ConfigError:
                continue  # the job fails by it, and its row will say so
            sigma = protocol.sigma_for(job.variant)
            place = (
                job.data,
                job.variant.task.model_dump_json(),
                job.variant.likelihood.use,
                plan.digest(),
                plan.num_context,
                sigma,
            )
            if place in seen:
                continue
            seen.add(place)
            for row in reference_rows(job.variant, scenes, protocol=protocol, present=present, command=job.command):
                present.append(row)
                written.append(save_row(row, rows))
        if counting:
            counting(number, len(jobs))
    return written
