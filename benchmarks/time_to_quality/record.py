"""The record of one training: excess NELBO of unseen scenes, by updates and seconds; one JSON file per run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from zoo.config.settings import first_problem
from zoo.errors import ResultError
from zoo.files import write_json
from zoo.provenance import Provenance, Record

KIND: Final = "gqn-zoo-time-to-quality"


class Point(Record):
    """The model after some updates.

    Attributes:
        updates: made so far; 0 is the model before training.
        cpu_seconds: of the process in training steps, data loading included, scoring excluded.
        wall_seconds: of the same steps.
        excess: mean excess NELBO of the test scenes, nats/target.
    """

    updates: Annotated[int, Field(ge=0)]
    cpu_seconds: Annotated[float, Field(ge=0)]
    wall_seconds: Annotated[float, Field(ge=0)]
    excess: float


class QualityRun(Record):
    """One training of one subject with one seed."""

    kind: Literal["gqn-zoo-time-to-quality"]
    schema_version: Literal[1]
    label: str
    dataset: str
    revision: str
    scenes: Annotated[int, Field(ge=1)]  # scored
    num_context: Annotated[int, Field(ge=0)]
    sigma: Annotated[float, Field(gt=0)]  # of the scores
    flops_per_update: Annotated[int, Field(ge=1)]  # direct convolutions, middle number of context views
    points: Annotated[list[Point], Field(min_length=2)]
    provenance: Provenance

    @property
    def subject(self) -> tuple[str, str, str]:
        """What runs that differ by their seed share: label, settings and scenes."""
        return self.label, self.provenance.config_hash, self.revision


def run_path(folder: Path, *, label: str, seed: int, config_hash: str) -> Path:
    """Returns the file of a run."""
    name = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    return Path(folder) / f"{name}-seed-{seed}-{config_hash[:8]}.json"


def save(run: QualityRun, path: Path) -> None:
    """Writes a run, whole or not at all; raises DiskFullError if it cannot be written."""
    write_json(path, run.model_dump(mode="json"))


def load_runs(folder: Path) -> list[QualityRun]:
    """Reads all runs of a folder, by file name.

    Raises:
        ResultError: naming file and field, if a file is not a run, if there is none, or if they were scored differently.
    """
    runs = []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            runs.append(QualityRun.model_validate_json(path.read_bytes()))
        except OSError as error:
            raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise ResultError(f"{path}: {first_problem(error)}") from error
    if not runs:
        raise ResultError(f"{folder}: has no runs; the command without --report trains them")
    scored = {
        f"{run.scenes} scenes of {run.dataset}@{run.revision[:8]} from {run.num_context} views at sigma {run.sigma:g}"
        for run in runs
    }
    if len(scored) > 1:
        raise ResultError(f"{folder}: its runs are not comparable: {' against '.join(sorted(scored))}")
    return runs
