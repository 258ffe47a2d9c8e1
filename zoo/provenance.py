"""Where a result comes from: the code, the settings, the libraries and the machine, without a name or a path of anyone.

Importing this module is cheap; torch is imported by :func:`collect` alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

PACKAGE = "gqn-zoo"
LIBRARIES = ("torch", "timm", "accelerate", "einops", "numpy")
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# What decides how the code behaves; results, runs and notes beside it do not make a checkout dirty.
_CODE = ("zoo", "registry.yaml", "pyproject.toml")
_GIT_SECONDS = 10
# A drive, a home sign or a slash that begins a path, not one inside of a relative path or of an address.
_ABSOLUTE_PATH = re.compile(r"(?<![\w.~/\\-])(?:file://)?(?:[A-Za-z]:[\\/]|~|/)[^,;:=\"']*")


class Record(BaseModel):
    """Base of everything that is recorded with a result: strict types, unknown keys forbidden, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class GitState(Record):
    """The commit of the checkout that holds the package, and whether its code differs from that commit."""

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
    dirty: bool


class Gpu(Record):
    """One accelerator of the machine."""

    name: str
    memory_bytes: Annotated[int, Field(ge=0)]


class Hardware(Record):
    """The machine, in the terms that decide about speed."""

    cpu: str
    cores: Annotated[int, Field(ge=1)]  # those that this process may use
    ram_bytes: Annotated[int, Field(ge=0)] | None
    threads: Annotated[int, Field(ge=1)]  # that torch uses within one operation
    gpus: list[Gpu]


class ComponentSource(Record):
    """The code of a component that this package does not hold."""

    distribution: str | None
    version: str | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]  # first digits of the digest of the Python files


class Provenance(Record):
    """Everything that is needed to make a result again, or to doubt it."""

    git: GitState | None
    trained_git: GitState | None = None  # of the run whose weights were measured; None: not known, or nothing trained
    version: str | None
    config_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    job: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None  # of a suite: which of its jobs left the row
    components: dict[str, ComponentSource] | None = None  # by kind; None: all components are of this package
    seed: int
    command: str
    versions: dict[str, str | None]
    hardware: Hardware
    device: str | None
    utc: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]


def hash_config(config: Mapping[str, Any]) -> str:
    """Returns 16 hexadecimal digits of the SHA-256 of the canonical JSON of ``config`` without its seeds.

    The entries named ``seed``, at any depth, are left out: runs that differ by their seed alone share one hash.

    Raises:
        TypeError, ValueError: if the settings hold something that JSON does not know.
    """
    canonical = json.dumps(_without_seeds(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _without_seeds(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_seeds(entry) for key, entry in value.items() if key != "seed"}
    if isinstance(value, list | tuple):
        return [_without_seeds(entry) for entry in value]
    return value


def anonymous_command(command: Sequence[str]) -> str:
    """Returns a command line, quoted for a shell, in which only the last part of every absolute path is left."""
    return shlex.join(without_folders(token) for token in command)


def without_folders(token: str) -> str:
    """Returns a text in which only the last part of every absolute path is left."""
    if "://" in token and "file://" not in token:
        return token  # an address, not a path of this machine
    return _ABSOLUTE_PATH.sub(lambda match: re.split(r"[/\\]", match.group().rstrip("/\\"))[-1] or "/", token)


def git_state(package: Path) -> GitState | None:
    """Returns the state of the checkout that tracks the folder ``package``; None if there is none, or no git.

    A package that is installed below some other project's checkout is not tracked there, hence not described by it.
    """
    git = shutil.which("git")
    if git is None:
        return None
    # A hook of git sets variables that would redirect these calls to the repository of the hook.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def ask(*arguments: str, folder: Path) -> str:
        return subprocess.run(  # noqa: S603 -- fixed words, no shell
            [git, "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_SECONDS,
            env=environment,
        ).stdout

    try:
        ask("ls-files", "--error-unmatch", "__init__.py", folder=package)
        commit = ask("rev-parse", "HEAD", folder=package).strip()
        changes = ask("status", "--porcelain", "--", *_CODE, folder=package.parent)
        return GitState(commit=commit, dirty=bool(changes.strip()))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Returns the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return " ".join(value.split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ram_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def collect(
    *,
    seed: int,
    command: Sequence[str],
    config: Mapping[str, Any],
    device: str | None = None,
    trained_git: GitState | None = None,
    components: Mapping[str, ComponentSource] | None = None,
) -> Provenance:
    """Describes this process; never raises because a tool or a piece of information is missing.

    Of ``command``, the words of the command line, absolute paths are cut to their last part. Of ``config``, the resolved
    settings of the run as plain JSON values, only the hash is kept, see :func:`hash_config`.
    """
    import torch

    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_properties(index) for index in range(num_gpus)]
    versions = {
        "python": platform.python_version(),
        **{library: _version_of(library) for library in LIBRARIES},
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }
    return Provenance(
        git=git_state(Path(__file__).resolve().parent),
        trained_git=trained_git,
        version=_version_of(PACKAGE),
        components=dict(components) if components else None,
        config_hash=hash_config(config),
        seed=seed,
        command=anonymous_command(command),
        versions=versions,
        hardware=Hardware(
            cpu=cpu_model(),
            cores=usable_cores(),
            ram_bytes=_ram_bytes(),
            threads=torch.get_num_threads(),
            gpus=[Gpu(name=gpu.name, memory_bytes=gpu.total_memory) for gpu in gpus],
        ),
        device=device,
        utc=datetime.now(UTC).strftime(TIME_FORMAT),
    )
