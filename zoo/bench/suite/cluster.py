"""Jobs on a cluster, through submitit (the extra ``cluster``): the cluster queues, requeues and limits them.

The folder of the results must be on a file system that all nodes share. When the runner dies its jobs continue; the
same command finds those that are queued or running and does not submit them twice.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from zoo.bench.suite.jobs import KILLED
from zoo.bench.suite.worker import INTERRUPTED, run_job_in
from zoo.errors import ConfigError, DiskFullError
from zoo.files import write_json
from zoo.registry.sources import registry_environment

SUBMITTED = "submitted.json"
LOGS = "cluster"


def _submitit() -> ModuleType:
    try:
        import submitit
    except ModuleNotFoundError:
        raise ConfigError(
            "--cluster: needs the package submitit; install it with: pip install 'gqn-zoo[cluster]'"
        ) from None
    return submitit


class OnNode:
    """The function that runs on a node; submitit requeues it when its time is over, and it resumes from its checkpoint."""

    def __init__(self) -> None:
        self.environment = registry_environment()

    def __call__(self, folder: str, *, retry: bool, processes: int) -> int:
        """Runs a job; several processes of one node train it together."""
        os.environ.update(self.environment)
        if processes > 1:
            _submitit().helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        return run_job_in(folder, retry=retry)

    def checkpoint(self, folder: str, *, retry: bool, processes: int) -> Any:
        """Returns the submission that is requeued: the same job, which finds its checkpoints."""
        return _submitit().helpers.DelayedSubmission(self, folder, retry=retry, processes=processes)


class ClusterJob:
    """A job in the queue of a cluster."""

    def __init__(self, folder: Path, job: Any = None) -> None:
        self.folder, self.job = folder, job

    def ended(self) -> bool:
        """Returns whether it has ended."""
        ended = bool(self.job.done())
        if ended:
            (self.folder / SUBMITTED).unlink(missing_ok=True)
        return ended

    def interrupted(self) -> bool:
        """Returns whether it was interrupted and can be resumed."""
        return self._result() == INTERRUPTED

    def failure(self) -> Exception | None:
        """Returns its failure: out of memory, out of time, or a node that failed."""
        result = self._result()
        return None if isinstance(result, int) else result

    def interrupt(self) -> None:
        """Cancels it."""
        self.job.cancel()

    def _result(self) -> int | Exception:
        if not self.job.done():
            return 0
        try:
            return int(self.job.result())
        except Exception as error:  # submitit raises errors of its own, and whatever the job raised
            state = str(self.job.state)
            if "MEMORY" in state:
                return MemoryError(KILLED)
            return RuntimeError(f"the cluster ended this job in state {state}: {str(error).splitlines()[0]}")


class ClusterEngine:
    """Submits every job at once, as one array where the cluster has arrays."""

    def __init__(self, cluster: str, *, output: Path, parameters: Mapping[str, Any], gpus_per_job: int = 1) -> None:
        """Prepares submissions to ``slurm`` or another executor of submitit, with its parameters.

        Raises:
            ConfigError: if submitit is missing, or does not know the cluster or a parameter.
        """
        self.cluster, self._processes = cluster, gpus_per_job
        together = {"tasks_per_node": gpus_per_job, "gpus_per_node": gpus_per_job} if gpus_per_job > 1 else {}
        try:
            self._executor = _submitit().AutoExecutor(folder=output / LOGS / "%j", cluster=cluster)
            self._executor.update_parameters(name="gqn-zoo", **together, **parameters)
        except (ValueError, TypeError, NameError, AssertionError, RuntimeError) as error:
            raise ConfigError(f"--cluster {cluster}: {str(error).splitlines()[0]}") from None

    def free_slots(self) -> int:
        """Returns how many jobs may be started now: the cluster queues them."""
        return 1_000_000

    def start(self, folders: Sequence[Path], *, retry: bool) -> list[ClusterJob]:
        """Submits the jobs of folders together, except those that were submitted before and still exist."""
        jobs = [ClusterJob(folder, self._submitted_before(folder)) for folder in folders]
        new = [job for job in jobs if job.job is None]
        if new:
            with self._executor.batch():
                for job in new:
                    folder = str(job.folder.absolute())
                    job.job = self._executor.submit(OnNode(), folder, retry=retry, processes=self._processes)
        for job in new:
            # Without the file a job may be submitted twice; the second process finds its rows and ends.
            with contextlib.suppress(DiskFullError):
                write_json(job.folder / SUBMITTED, {"cluster": self.cluster, "id": str(job.job.job_id)})
        return jobs

    def _submitted_before(self, folder: Path) -> Any | None:
        try:
            submitted = json.loads((folder / SUBMITTED).read_text(encoding="utf-8"))
            if submitted["cluster"] != self.cluster:
                return None
            job = self._executor._executor.job_class(folder=self._executor.folder, job_id=submitted["id"])
        except (OSError, ValueError, KeyError):
            return None
        return None if job.done() else job
