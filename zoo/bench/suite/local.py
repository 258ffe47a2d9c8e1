"""Jobs as processes of this machine: several on the cores, one per GPU, or one over several GPUs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.bench.suite.jobs import KILLED
from zoo.bench.suite.worker import ATTACHED, INTERRUPTED, RETRY
from zoo.errors import ConfigError
from zoo.provenance import usable_cores
from zoo.registry.sources import registry_environment

LOG = "log.txt"
WORKER = "zoo.bench.suite.worker"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Slot(NamedTuple):
    """Room for one job.

    Attributes:
        environment: variables set for its process.
        processes: that share the job, through torchrun and accelerate.
    """

    environment: Mapping[str, str]
    processes: int = 1


def slots_of_machine(*, cpu: bool, parallel: int | None, gpus_per_job: int = 1) -> list[Slot]:
    """Divides the machine among ``parallel`` jobs, by default one per group of GPUs, or one on CPUs.

    Jobs share the cores evenly.

    Raises:
        ConfigError: if a job needs more GPUs than there are.
    """
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
    import torch

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
        launcher = [] if slot.processes == 1 else _torchrun(slot.processes)
        command = [sys.executable, *launcher, "-m", WORKER, str(folder), ATTACHED, *([RETRY] if retry else [])]
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

    def interrupted(self) -> bool:
        """Returns whether it was interrupted and can be resumed."""
        return self._process.poll() == INTERRUPTED

    def failure(self) -> Exception | None:
        """Returns the failure of a process that could not write a row itself."""
        code = self._process.poll()
        if code in (None, 0, INTERRUPTED):
            return None
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


def _torchrun(processes: int) -> list[str]:
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]


class LocalEngine:
    """Starts a job in every free slot of this machine."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._jobs: list[tuple[Slot, LocalJob | None]] = [(slot, None) for slot in slots]

    def _free(self) -> list[int]:
        return [number for number, (_, job) in enumerate(self._jobs) if job is None or job.ended()]

    def free_slots(self) -> int:
        """Returns how many jobs may be started now."""
        return len(self._free())

    def start(self, folders: Sequence[Path], *, retry: bool) -> list[LocalJob]:
        """Starts the jobs of folders, at most as many as there are free slots."""
        started = []
        for number, folder in zip(self._free(), folders, strict=False):
            slot = self._jobs[number][0]
            started.append(LocalJob(folder, slot, retry=retry))
            self._jobs[number] = slot, started[-1]
        return started
