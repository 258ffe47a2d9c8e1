"""Where jobs run: in processes of this machine, or on a cluster through submitit (the extra ``cluster``).

A cluster queues, requeues and limits jobs. The folder of the results must be on a file system that all nodes share. When
the runner dies its jobs there continue; the same command finds those that are queued or running and does not submit them
twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from zoo.bench.suite.jobs import KILLED
from zoo.bench.suite.worker import ATTACHED, INTERRUPTED, RETRY, run_job_in
from zoo.errors import ConfigError, DiskFullError
from zoo.files import write_json
from zoo.provenance import usable_cores
from zoo.registry.sources import registry_environment

LOG = "log.txt"
WORKER = "zoo.bench.suite.worker"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
SUBMITTED = "submitted.json"
LOGS = "cluster"


class Slot(NamedTuple):
    """Room for one job."""

    environment: Mapping[str, str]  # of its process, beside that of this one
    processes: int = 1  # that share the job, through torchrun and accelerate


def slots_of_machine(*, cpu: bool, parallel: int | None, gpus_per_job: int = 1) -> list[Slot]:
    """Divides the machine among jobs, by default one per group of GPUs; raises ConfigError if GPUs are missing."""
    gpus = [] if cpu else visible_gpus()
    if not gpus:
        if gpus_per_job > 1:
            raise ConfigError(f"--gpus-per-job: found {gpus_per_job}, but there is no GPU that may be used")
        return [Slot(_threads(parallel or 1))] * (parallel or 1)
    if gpus_per_job > len(gpus):
        raise ConfigError(f"--gpus-per-job: found {gpus_per_job}, but there are {len(gpus)} GPUs")
    groups = [gpus[first : first + gpus_per_job] for first in range(0, len(gpus) - gpus_per_job + 1, gpus_per_job)]
    # More jobs than groups share the GPUs: the smaller the models, the more of them fit.
    count = parallel or len(groups)
    shared = _threads(count)
    return [
        Slot({**shared, "CUDA_VISIBLE_DEVICES": ",".join(groups[number % len(groups)])}, processes=gpus_per_job)
        for number in range(count)
    ]


def visible_gpus() -> list[str]:
    """Returns the names of the usable GPUs, as in CUDA_VISIBLE_DEVICES, without opening any of them."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in named.split(",")] if named else [str(number) for number in range(count)]
    return names[:count]


def _threads(jobs: int) -> dict[str, str]:
    """Returns the environment with the threads of each of so many jobs; a number that the user set is kept."""
    threads = os.environ.get(THREADS[0]) or str(max(1, usable_cores() // jobs))
    return dict.fromkeys(THREADS, threads)


class LocalJob:
    """A job's process, in a session of its own: Ctrl-C reaches it once, through the runner."""

    def __init__(self, folder: Path, slot: Slot, *, retry: bool) -> None:
        self.folder = folder
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={slot.processes}"]
        launcher, options = torchrun if slot.processes > 1 else [], [RETRY] if retry else []
        command = [sys.executable, *launcher, "-m", WORKER, str(folder), ATTACHED, *options]
        with (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **slot.environment, **same_imports()},
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Returns whether the process has ended."""
        if self._process.poll() is None:
            return False
        self.detach()
        return True

    def failure(self) -> BaseException | None:
        """Returns the failure of a process that could not write a row itself; KeyboardInterrupt if it can be resumed."""
        code = self._process.poll()
        if not code:
            return None
        if code == INTERRUPTED:
            return KeyboardInterrupt()
        if code == -signal.SIGKILL:
            return MemoryError(KILLED)
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return RuntimeError(f"the process of this variant ended by {name}")

    def detach(self) -> None:
        """Closes the pipe to the process, which ends without it."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def interrupt(self) -> None:
        """Requests an end with a checkpoint."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)


def same_imports() -> dict[str, str]:
    """Returns the environment in which a process has the modules and registry files of this one, in any folder."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONSAFEPATH": "1",
        **registry_environment(),
    }


class LocalEngine:
    """Starts a job in every free slot of this machine."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._jobs: dict[int, LocalJob] = {}

    def _free(self) -> list[int]:
        return [number for number in range(len(self._slots)) if number not in self._jobs or self._jobs[number].ended()]

    def free_slots(self) -> int:
        """Returns how many jobs may be started now."""
        return len(self._free())

    def start(self, folders: Sequence[Path], *, retry: bool) -> list[LocalJob]:
        """Starts the jobs of folders, at most as many as there are free slots."""
        places = dict(zip(self._free(), folders, strict=False))
        started = {number: LocalJob(folder, self._slots[number], retry=retry) for number, folder in places.items()}
        self._jobs |= started
        return list(started.values())


def _submitit() -> ModuleType:
    try:
        import submitit
    except ModuleNotFoundError:
        raise ConfigError(
            "--cluster: needs the package submitit; install it with: pip install 'gqn-zoo[cluster]'"
        ) from None
    return submitit


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


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

    def failure(self) -> BaseException | None:
        """Returns its failure: out of memory, out of time, a node that failed; KeyboardInterrupt if it can be resumed."""
        if not self.job.done():
            return None
        try:
            return KeyboardInterrupt() if self.job.result() == INTERRUPTED else None
        except Exception as error:  # submitit raises errors of its own, and whatever the job raised
            state = str(self.job.state)
            if "MEMORY" in state:
                return MemoryError(KILLED)
            return RuntimeError(f"the cluster ended this job in state {state}: {_first_line(error)}")

    def interrupt(self) -> None:
        """Cancels it."""
        self.job.cancel()


class ClusterEngine:
    """Submits every job at once, as one array where the cluster has arrays."""

    def __init__(self, cluster: str, *, output: Path, parameters: Mapping[str, Any], gpus_per_job: int = 1) -> None:
        """Prepares submissions; raises ConfigError if submitit is missing or does not know cluster or parameter."""
        self.cluster, self._processes = cluster, gpus_per_job
        together = {"tasks_per_node": gpus_per_job, "gpus_per_node": gpus_per_job} if gpus_per_job > 1 else {}
        try:
            self._executor = _submitit().AutoExecutor(folder=output / LOGS / "%j", cluster=cluster)
            self._executor.update_parameters(name="gqn-zoo", **together, **parameters)
        except (ValueError, TypeError, NameError, AssertionError, RuntimeError) as error:
            raise ConfigError(f"--cluster {cluster}: {_first_line(error)}") from None

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


Engine = LocalEngine | ClusterEngine
RunningJob = LocalJob | ClusterJob
