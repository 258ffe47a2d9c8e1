"""Jobs on a cluster, through submitit (the extra ``cluster``): queueing, requeueing and limits are the cluster's own.

The folder of the results must be on a file system that all nodes share. When the runner dies its jobs go on; the same
command finds those that are queued or running again instead of submitting them twice.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from zoo.bench.suite.jobs import ENDED_FROM_OUTSIDE
from zoo.bench.suite.worker import INTERRUPTED, carry_out_in
from zoo.errors import ConfigError, DiskFullError
from zoo.files import write_json

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
    """What runs on a node; submitit puts it into the queue again when its time is over, and it goes on where it was."""

    def __call__(self, folder: str, *, again: bool, processes: int) -> int:
        """Carries a job out; several processes of one node train it together."""
        if processes > 1:
            _submitit().helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        return carry_out_in(folder, again=again)

    def checkpoint(self, folder: str, *, again: bool, processes: int) -> Any:
        """Returns what is put into the queue: the same once more, with the checkpoints that it has left."""
        return _submitit().helpers.DelayedSubmission(self, folder, again=again, processes=processes)


class ClusterJob:
    """A job that a cluster holds."""

    def __init__(self, folder: Path, job: Any = None) -> None:
        self.folder, self.job = folder, job

    def ended(self) -> bool:
        """Tells whether it is over."""
        over = bool(self.job.done())
        if over:
            (self.folder / SUBMITTED).unlink(missing_ok=True)
        return over

    def interrupted(self) -> bool:
        """Tells whether it was interrupted and can go on."""
        return self._result() == INTERRUPTED

    def failure(self) -> Exception | None:
        """Returns what it died of: out of memory, out of time, or a node that failed."""
        result = self._result()
        return None if isinstance(result, int) else result

    def interrupt(self) -> None:
        """Takes it from the cluster."""
        self.job.cancel()

    def _result(self) -> int | Exception:
        if not self.job.done():
            return 0
        try:
            return int(self.job.result())
        except Exception as error:  # submitit raises errors of its own, and whatever the job raised
            state = str(self.job.state)
            if "MEMORY" in state:
                return MemoryError(ENDED_FROM_OUTSIDE)
            return RuntimeError(f"the cluster ended this job in state {state}: {str(error).splitlines()[0]}")


class ClusterEngine:
    """Submits every job at once, as one array where the cluster knows arrays."""

    def __init__(self, cluster: str, *, output: Path, parameters: Mapping[str, Any], gpus_per_job: int = 1) -> None:
        """Finds the cluster.

        Args:
            cluster: ``slurm``, or whatever else submitit knows.
            output: folder of the results.
            parameters: of submitit's executor, for example ``slurm_partition`` or ``timeout_min``.
            gpus_per_job: processes of one job, one for each of its GPUs.

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
        self._new: list[tuple[ClusterJob, bool]] = []

    def room(self) -> int:
        """Returns how many jobs may be started now: the cluster does the waiting."""
        return 1_000_000

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Jobs started in this block are submitted together at its end."""
        self._new = []
        yield
        if not self._new:
            return
        with self._executor.batch():
            for job, again in self._new:
                folder = str(job.folder.absolute())
                job.job = self._executor.submit(OnNode(), folder, again=again, processes=self._processes)
        for job, _ in self._new:
            # Unwritten, it may be submitted twice; the second one finds that there is nothing to do.
            with contextlib.suppress(DiskFullError):
                write_json(job.folder / SUBMITTED, {"cluster": self.cluster, "id": str(job.job.job_id)})

    def start(self, folder: Path, *, again: bool) -> ClusterJob:
        """Submits the job of a folder, or finds it again where it was submitted before."""
        job = ClusterJob(folder, self._found_again(folder))
        if job.job is None:
            self._new.append((job, again))
        return job

    def gone(self, job: ClusterJob) -> None:
        """Is told that a job is over."""

    def _found_again(self, folder: Path) -> Any | None:
        try:
            submitted = json.loads((folder / SUBMITTED).read_text(encoding="utf-8"))
            if submitted["cluster"] != self.cluster:
                return None
            job = self._executor._executor.job_class(folder=self._executor.folder, job_id=submitted["id"])
        except (OSError, ValueError, KeyError):
            return None
        return None if job.done() else job
