"""Fixtures shared by all tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from result_row_factory import excess_of_scenes, make_failure, make_key, make_row  # noqa: F401 - fixtures

from zoo.data.source import ExtraShape


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, and sums come out the same on every machine."""
    torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter):
    """Shows the figures that tests recorded with ``record_property``."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    measured = [report for report in reports if report.when == "call" and report.user_properties]
    if measured:
        terminalreporter.section("measured")
    for report in measured:
        figures = "; ".join(f"{name}: {value}" for name, value in report.user_properties)
        terminalreporter.line(f"{report.nodeid.removeprefix('tests/')}\n    {figures}")


@dataclass
class ArrayScenes:
    """A SceneSource in memory."""

    frames: np.ndarray  # [n, V, H, W, 3] uint8
    cameras: np.ndarray  # [n, V, 5] float32
    name: str = "arrays"
    split: str = "test"
    revision: str = "0" * 16
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)  # extras, [n, V, ...] each

    @property
    def extras(self):
        return {
            name: ExtraShape(array.dtype.name, array.shape[2:], per_view=True) for name, array in self.arrays.items()
        }

    @property
    def num_scenes(self):
        return self.frames.shape[0]

    @property
    def num_views(self):
        return self.frames.shape[1]

    @property
    def image_size(self):
        return self.frames.shape[2]

    def read(self, scenes, views):
        return self.frames[scenes[:, None], views], self.cameras[scenes[:, None], views]

    def read_extras(self, scenes, views):
        return {name: array[scenes[:, None], views] for name, array in self.arrays.items()}


@pytest.fixture(scope="session")
def array_scenes():
    """Returns a maker of scenes of random images: ``array_scenes(num_scenes=5, image_size=16)``."""

    def make(*, num_scenes=5, num_views=6, image_size=16, seed=0, split="test"):
        generator = np.random.default_rng(seed)
        return ArrayScenes(
            frames=generator.integers(0, 256, (num_scenes, num_views, image_size, image_size, 3), dtype=np.uint8),
            cameras=generator.normal(size=(num_scenes, num_views, 5)).astype(np.float32),
            split=split,
        )

    return make


@pytest.fixture
def in_this_process(monkeypatch):
    """Jobs run in this process instead of one of their own; returns the folders of those started."""
    return run_jobs_in_this_process(monkeypatch)


@pytest.fixture(scope="module")
def module_in_this_process():
    """The same for all tests of a module."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield run_jobs_in_this_process(monkeypatch)


def run_jobs_in_this_process(monkeypatch):
    import zoo.bench.suite.engines
    import zoo.bench.suite.runner
    from zoo.bench.suite.worker import INTERRUPTED, run_job_in

    started = []

    class InThisProcess:
        def __init__(self, folder, slot, *, retry):
            self.folder = folder
            started.append(folder)
            self.code = run_job_in(str(folder), retry=retry)

        def ended(self):
            return True

        def failure(self):
            return KeyboardInterrupt() if self.code == INTERRUPTED else None

        def interrupt(self):
            raise AssertionError("it is over already")

    monkeypatch.setattr(zoo.bench.suite.engines, "LocalJob", InThisProcess)
    monkeypatch.setattr(zoo.bench.suite.runner, "POLL_SECONDS", 0.0)
    return started
