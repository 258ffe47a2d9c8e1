from dataclasses import replace

import numpy as np
import pytest

from zoo.bench.protocol import Protocol
from zoo.bench.suite.jobs import Job
from zoo.data.store_writer import StoreWriter
from zoo.registry.registry import default_registry
from zoo.training.options import TrainingOptions


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("scenes") / "store"
    with StoreWriter(folder, name="noise", image_size=16, num_views=6, provenance={}) as writer:
        for split, count in (("train", 6), ("test", 4)):
            frames = generator.integers(0, 256, (count, 6, 16, 16, 3), dtype=np.uint8)
            writer.add(split, frames, generator.normal(size=(count, 6, 5)).clip(-1.5, 1.5).astype(np.float32))
    return folder


@pytest.fixture
def job(scenes, tmp_path):
    """Returns a factory of jobs that take a fraction of a second."""

    def make(name="vae", *overrides, data=scenes, seed=0, **changes):
        variant = default_registry().variant(name, size="smoke", overrides=overrides)
        made = Job(
            variant=variant,
            data=data,
            run=tmp_path / "runs" / variant.name / f"{variant.size}-seed-{seed}",
            rows=tmp_path / "rows",
            seed=seed,
            protocol=Protocol(repeats=0, prediction_samples=1),
            options=TrainingOptions(log_interval=1),
            cpu=True,
            command=["gqn-zoo", "bench"],
        )
        return replace(made, **changes)

    return make


class RecordingListener:
    """Records the events of jobs in their order."""

    def __init__(self):
        self.events = []

    def started(self, job):
        self.events.append(("started", job.variant.name, job.seed))

    def progressed(self, job, state):
        self.events.append(("progressed", job.variant.name, job.seed))

    def ended(self, job, failure):
        self.events.append(("ended", job.variant.name, job.seed, failure))


@pytest.fixture
def listener():
    return RecordingListener()
