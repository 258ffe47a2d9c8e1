"""Plants one bug at a time in a copy of the project and runs the tests that must find it."""

from __future__ import annotations

import importlib
import multiprocessing.connection
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("zoo", "tests", "benchmarks", "registry.yaml", "pyproject.toml")
# Imported once; every run of tests is a fork of this process, and so begins at once.
PRELOADED = ("pytest", "torch", "accelerate", "torchmetrics", "scipy.stats", "pandas", "typer", "ruamel.yaml")
FAILED = 1  # pytest's exit code of failed tests; another one means that they could not be run

Verdict = Literal["caught", "survived", "not run"]


class Bug(NamedTuple):
    """A defect of public code, as a change of one place of this package."""

    name: str
    layer: str
    reason: str  # the defect that it stands for
    file: str
    before: str  # occurs exactly once in the file
    after: str
    tests: tuple[str, ...]  # at least one must turn red


class Finding(NamedTuple):
    """What the tests said to a bug."""

    bug: Bug
    verdict: Verdict
    seconds: float
    output: str


class StaleError(Exception):
    """The list of bugs no longer fits the code."""


def planted(bug: Bug, text: str) -> str:
    """Returns a file's text with the bug; raises StaleError unless the text before occurs exactly once."""
    count = text.count(bug.before)
    if count != 1:
        raise StaleError(
            f"{bug.name}: {bug.file}: the text to change occurs {count} times, expected once: {bug.before!r}"
        )
    return text.replace(bug.before, bug.after)


def check(bugs: Iterable[Bug], root: Path = ROOT) -> None:
    """Raises StaleError for the first bug whose text does not match."""
    for bug in bugs:
        planted(bug, (root / bug.file).read_text(encoding="utf-8"))


def copy_project(target: Path) -> None:
    """Copies what tests need into a folder."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name)  # with times, so that byte code of unchanged files is valid
        else:
            shutil.copy(ROOT / name, target / name)


class TestRun:
    """A process that runs tests in a copy of the project, with a bug or without."""

    __test__ = False  # no class of tests

    def __init__(self, tests: Sequence[str], *options: str, bug: Bug | None = None) -> None:
        self.bug, self.started = bug, time.perf_counter()
        self.root = Path(tempfile.mkdtemp(prefix="planted-bug-"))
        copy_project(self.root)
        if bug is not None:
            file = self.root / bug.file
            file.write_text(planted(bug, file.read_text(encoding="utf-8")), encoding="utf-8")
        self.process = ForkProcess(target=_run_tests, args=(self.root, [*options, *tests]))
        self.process.start()

    def result(self) -> tuple[int | None, str]:
        """Waits for the end; returns pytest's exit code and output."""
        self.process.join()
        output = (self.root / "output").read_text(encoding="utf-8", errors="replace")
        shutil.rmtree(self.root, ignore_errors=True)
        return self.process.exitcode, output

    def finding(self) -> Finding:
        """Waits for the end of a run with a bug."""
        assert self.bug is not None
        code, output = self.result()
        verdict: Verdict = "caught" if code == FAILED else "survived" if code == 0 else "not run"
        return Finding(self.bug, verdict, time.perf_counter() - self.started, output)


def _run_tests(root: Path, arguments: Sequence[str]) -> None:
    import pytest

    with (root / "output").open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    # The copy is imported here and by processes that tests start.
    os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(root), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    for name in [name for name in sys.modules if name.split(".")[0] in ("zoo", "tests", "benchmarks")]:
        del sys.modules[name]
    # Modules that are loaded already cannot be rewritten, which pytest warns of.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    sys.exit(pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *quiet, *arguments]))


def try_bugs(bugs: Sequence[Bug], *, jobs: int) -> Iterator[Finding]:
    """Yields what the tests say to every bug, as they end, ``jobs`` at a time.

    Raises:
        StaleError: if a text does not match, or a test fails without any bug.
    """
    check(bugs)
    for name in PRELOADED:
        importlib.import_module(name)
    code, output = TestRun(list(dict.fromkeys(test for bug in bugs for test in bug.tests))).result()
    if code:
        raise StaleError(f"tests fail without any bug:\n{output}")
    waiting, running = list(bugs), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            bug = waiting.pop(0)
            run = TestRun(bug.tests, "-x", bug=bug)
            running[run.process.sentinel] = run
        for sentinel in multiprocessing.connection.wait(list(running)):
            yield running.pop(sentinel).finding()
