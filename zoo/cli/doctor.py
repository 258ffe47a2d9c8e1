"""``gqn-zoo doctor``."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import multiprocessing
import os
import platform
import re
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from zoo.cli.options import Json, RegistryFiles
from zoo.cli.screen import data_size, log, stdout_console
from zoo.errors import ZooError
from zoo.provenance import PACKAGE, cpu_model, git_state, usable_cores, without_folders

if TYPE_CHECKING:
    import torch
    from packaging.requirements import Requirement

Status = Literal["ok", "note", "broken"]
HANDSHAKE_SECONDS = 240.0  # the processes import torch first: seconds, or minutes on a machine that is busy
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- a mount, not a temporary file
LEAST_SHARED_MEMORY, LEAST_DISK = 256_000_000, 1_000_000_000  # bytes
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
WORST_ERROR = 0.05  # of a convolution in 16 bits, relative to the largest value


class Finding(NamedTuple):
    """What one check found."""

    check: str
    status: Status  # note: something optional is missing; broken: something needed does not work
    found: str
    advice: str = ""


Check = Callable[[], Iterator[Finding]]


def run(
    folders: Annotated[list[Path], typer.Argument(metavar="[DATA]...", help="Folders of scenes to verify.")] = [],
    as_json: Json = False,
    registry_files: RegistryFiles = [],
) -> None:
    """Check the installation, the machine and data: versions, devices, processes, disk, registry, weights, checksums.

    The output names neither folders nor the host, so that it can be pasted into an issue. Exits with code 1 if something
    that is needed does not work.
    """
    checks: dict[str, Check] = {
        "package": _package,
        "requirements": _requirements,
        "extras": _extras,
        "devices": _devices,
        "torch.compile": _compiler,
        "gloo": lambda: _processes("gloo"),
        "nccl": lambda: _processes("nccl"),
        "disk": _disk,
        "shared memory": _shared_memory,
        "registry": _registry,
        "weights": _weights,
    }
    checks |= {f"data {folder.absolute().name}": partial(_data, folder) for folder in folders}
    findings: list[Finding] = []
    for name, check in checks.items():
        log(f"checking {name}")
        findings += map(_anonymous, _guarded(name, check))
    broken = [finding for finding in findings if finding.status == "broken"]
    if as_json:
        typer.echo(json.dumps({"usable": not broken, "findings": [each._asdict() for each in findings]}, indent=2))
    else:
        table = Table("check", "status", "found", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for each in findings:
            style = {"ok": "green", "note": "yellow", "broken": "bold red"}[each.status]
            text = f"{each.found}; {each.advice}" if each.advice else each.found
            table.add_row(Text(each.check, no_wrap=True), Text(each.status, style=style), Text(text))
        stdout_console().print(table)
        typer.echo(f"{len(broken)} checks failed" if broken else "everything that is needed works")
    log("The report names neither folders nor the host; it can be pasted into an issue.")
    if broken:
        raise typer.Exit(1)


def _guarded(name: str, check: Check) -> Iterator[Finding]:
    """Yields what a check finds; an exception is a finding as well."""
    try:
        yield from check()
    except Exception as error:  # whatever a broken driver or library raises
        yield Finding(name, "broken", _reason(error))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _anonymous(finding: Finding) -> Finding:
    host = re.escape(socket.gethostname())
    found, advice = (re.sub(rf"\b{host}\b", "HOST", without_folders(text)) for text in (finding.found, finding.advice))
    return finding._replace(found=found, advice=advice)


def _package() -> Iterator[Finding]:
    import zoo

    git = git_state(Path(zoo.__file__).resolve().parent)
    text = zoo.__version__ + (f", commit {git.commit[:8]}{' with changes' if git.dirty else ''}" if git else "")
    installed = importlib.metadata.version(PACKAGE)
    if installed != zoo.__version__:
        yield Finding("package", "note", f"{text}, but the metadata are of {installed}", "pip install . again")
    else:
        yield Finding("package", "ok", text)


def _requirements() -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    wanted, found = importlib.metadata.metadata(PACKAGE)["Requires-Python"] or "", platform.python_version()
    status: Status = "ok" if SpecifierSet(wanted).contains(found, prereleases=True) else "broken"
    yield Finding("python", status, f"{found} on {platform.system()} {platform.machine()}, required {wanted}")
    checked = {requirement.name: _problem_of(requirement) for requirement in _required(extra="")}
    yield Finding("packages", "ok", ", ".join(f"{name} {version}" for name, (_, version) in checked.items()))
    for name, (problem, _) in checked.items():
        if problem:
            yield Finding(f"package {name}", "broken", problem, f"pip install '{PACKAGE}'")


def _required(*, extra: str) -> Iterator[Requirement]:
    """Yields the requirements of an extra on this machine, or those without extras."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, importlib.metadata.requires(PACKAGE) or ()):
        marker = requirement.marker
        if bool(extra) == ("extra" in str(marker)) and (marker is None or marker.evaluate({"extra": extra})):
            yield requirement


def _problem_of(requirement: Requirement) -> tuple[str, str | None]:
    """Returns why a requirement is not met, empty if it is, and the installed version."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed, required {requirement.specifier}", None
    met = requirement.specifier.contains(version, prereleases=True)
    return "" if met else f"{requirement.name} {version}, required {requirement.specifier}", version


def _extras() -> Iterator[Finding]:
    for extra in importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or ():
        problems = [problem for problem, _ in map(_problem_of, _required(extra=extra)) if problem]
        advice = f"pip install '{PACKAGE}[{extra}]'" if problems else ""
        yield Finding(f"extra {extra}", "note" if problems else "ok", "; ".join(problems) or "installed", advice)


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("cpu", "ok", f"{cpu_model()}, {usable_cores()} cores, {torch.get_num_threads()} threads of torch")
    devices = [torch.device("cpu")]
    if not torch.cuda.is_available():
        yield Finding("gpu", "note", f"torch {torch.__version__} finds none")
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        yield Finding(f"gpu {index}", "ok", f"{facts.name}, {data_size(facts.total_memory)}, CUDA {torch.version.cuda}")
        devices.append(torch.device("cuda", index))
    for device, (precision, dtype) in itertools.product(devices, PRECISIONS.items()):
        bad: Status = "broken" if precision == "fp32" else "note"  # recipes use 16 bits only where they are asked to
        try:
            difference = _difference_of(device, getattr(torch, dtype))
            text = f"relative error of a convolution {difference:.1e}, allowed {WORST_ERROR:g}"
            yield Finding(f"{precision} on {device}", "ok" if difference <= WORST_ERROR else bad, text)  # bad for NaN
        except Exception as error:  # whatever a driver raises
            yield Finding(f"{precision} on {device}", bad, _reason(error))


def _difference_of(device: torch.device, dtype: torch.dtype) -> float:
    """Returns the largest difference of a convolution's gradient from that in 64 bits, relative to the largest value."""
    import torch

    image = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients: list[torch.Tensor] = []
    for place, kind in ((torch.device("cpu"), torch.float64), (device, dtype)):
        x = image.to(place, torch.promote_types(kind, torch.float32))
        weight = x[:, :, :3, :3].repeat(4, 1, 1, 1).requires_grad_()
        with torch.autocast(place.type, dtype=kind, enabled=kind.itemsize == 2):
            loss = torch.nn.functional.conv2d(x, weight, padding=1).float().square().mean()
        gradients.append(torch.autograd.grad(loss, weight)[0].double().cpu())
    return ((gradients[1] - gradients[0]).abs().max() / gradients[0].abs().max()).item()


def _compiler() -> Iterator[Finding]:
    compiler = os.environ.get("CXX") or ("g++" if shutil.which("g++") else "clang++")
    command = [compiler, "-fopenmp", "-fsyntax-only", "-x", "c++", "-I", sysconfig.get_paths()["include"], "-"]
    program, problem = "#include <Python.h>\n#include <omp.h>\n", f"there is no C++ compiler {compiler}"
    if shutil.which(compiler):
        done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=60.0, check=False)  # noqa: S603
        problem = next((line for line in done.stderr.splitlines() if "error" in line), "") if done.returncode else ""
    advice = "needed by --compile alone: apt install g++ python3-dev" if problem else ""
    text = problem or f"{compiler} compiles with the headers of Python and OpenMP"
    yield Finding("torch.compile", "note" if problem else "ok", text, advice)


def _processes(backend: str) -> Iterator[Finding]:
    """Starts two processes, of nccl at most one per GPU, that add a number each over the loopback interface."""
    import torch
    from torch.distributed import TCPStore

    number = 2 if backend == "gloo" else min(2, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if not number:
        yield Finding(backend, "note", "not tried without a GPU")
        return
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(number) as pool:  # which ends hanging processes at its end
        tasks = [(backend, rank, number, store.port) for rank in range(number)]
        try:
            sums = pool.starmap_async(sum_ranks, tasks, chunksize=1).get(HANDSHAKE_SECONDS)
        except multiprocessing.TimeoutError:
            raise RuntimeError(f"{number} processes did not exchange a number in {HANDSHAKE_SECONDS:g} s") from None
    right = sums == [number * (number + 1) / 2] * number
    text = f"{number} process(es) exchanged a number in {time.monotonic() - start:.0f} s"
    yield Finding(backend, "ok" if right else "broken", text if right else f"sums are {sums}")


def sum_ranks(backend: str, rank: int, number: int, port: int) -> float:
    """Returns the sum of rank + 1 over all processes, each of which calls this."""
    import torch
    from torch import distributed

    limit = timedelta(seconds=HANDSHAKE_SECONDS)
    store = distributed.TCPStore("127.0.0.1", port, is_master=False, timeout=limit)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=number, timeout=limit)
    value = torch.tensor(rank + 1.0, device=torch.device("cuda", rank) if backend == "nccl" else "cpu")
    distributed.all_reduce(value)
    distributed.barrier()
    distributed.destroy_process_group()
    return value.item()


def _disk() -> Iterator[Finding]:
    """Writes, replaces and locks files in the working directory, as a run does."""
    from zoo.files import writing_file
    from zoo.training.session import lock_folder

    free = shutil.disk_usage(Path.cwd()).free
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".gqn-zoo-doctor-") as folder, lock_folder(Path(folder)):
        start = time.monotonic()
        for content in (b"old", b"new" * 2**20):
            with writing_file(Path(folder, "file")) as temporary:
                temporary.write_bytes(content)
        seconds = time.monotonic() - start
        whole = Path(folder, "file").read_bytes() == content
    assert whole, "a file that was replaced holds other bytes than were written"
    text = f"fsync and atomic rename take {1e3 * seconds / 2:.0f} ms, locks work, {data_size(free)} free"
    full = free < LEAST_DISK
    yield Finding("disk", "broken" if full else "ok", text, "checkpoints need 1 GB at least" if full else "")


def _shared_memory() -> Iterator[Finding]:
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    small = free < LEAST_SHARED_MEMORY
    advice = f"workers of loaders want {data_size(LEAST_SHARED_MEMORY)}: docker run --shm-size 1g, or train with -j 0"
    yield Finding("shared memory", "note" if small else "ok", f"{data_size(free)} free", advice if small else "")


def _registry() -> Iterator[Finding]:
    from zoo.registry.components import KINDS
    from zoo.registry.registry import Registry
    from zoo.registry.sources import plug_in_files, user_files
    from zoo.registry.variant import resolve

    registry = Registry([*user_files(), *plug_in_files()])
    files = ", ".join(f"{file.prefix}{file.path.name}" for file in registry.files)
    yield Finding("registry", "ok", f"{len(registry.names())} variants of {files}")
    for problem in registry.problems:
        yield Finding("registry", "broken", problem)
    for variant in map(registry.variant, registry.names()):
        if any(":" in variant.component(kind).use for kind in KINDS):  # code of a user or of a plug-in
            try:
                resolve(variant)
            except ZooError as error:
                yield Finding("registry", "broken", str(error))


def _weights() -> Iterator[Finding]:
    from zoo.results.weights import read_card, shipped_names, weights_folder

    for name in shipped_names():
        try:
            size = data_size(read_card(weights_folder() / name).bytes)
            yield Finding(f"weights {name}", "ok", f"SHA-256 matches, {size}")
        except ZooError as error:
            yield Finding(f"weights {name}", "broken", str(error))


def _data(folder: Path) -> Iterator[Finding]:
    from zoo.data.inspection import inspect_scenes

    name = f"data {folder.absolute().name}"
    facts = inspect_scenes(folder, verify=True)
    scenes = sum(split["num_scenes"] for split in facts["splits"].values())
    yield Finding(name, "ok", f"{facts['name']}@{facts['revision'][:8]}: checksums match, {scenes} scenes")
    for bad in facts["skipped"]:
        yield Finding(name, "broken", bad["reason"])
