import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from zoo.data.store_writer import StoreWriter
from zoo.registry.registry import default_registry
from zoo.training.options import ResumeOptions, TrainingOptions
from zoo.training.run import train


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """accelerate keeps its settings for the whole process; a run of another precision needs a fresh start."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A scene store of noise: 10 scenes to train on, 5 to validate and 7 to test on, 6 views of 16 pixels."""
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("scenes") / "store"
    with StoreWriter(folder, name="noise", image_size=16, num_views=6, provenance={}) as writer:
        for split, count in (("train", 10), ("validation", 5), ("test", 7)):
            frames = generator.integers(0, 256, (count, 6, 16, 16, 3), dtype=np.uint8)
            writer.add(split, frames, generator.normal(size=(count, 6, 5)).clip(-1.5, 1.5).astype(np.float32))
    return folder


def make_variant(name="vae", *overrides):
    return default_registry().variant(name, size="smoke", overrides=overrides)


@pytest.fixture(scope="session")
def variant():
    return make_variant


@pytest.fixture
def run_training(scenes):
    """Returns a function that trains into a folder, on the CPU, with a figure and a checkpoint at every chance."""

    def go(
        run,
        name="vae",
        *overrides,
        seed=0,
        mode="never",
        resume=None,
        progress=None,
        log=lambda sentence: None,
        **options,
    ):
        options = {"log_interval": 1, "validation_interval": 3, "save_interval": 4, "keep_last": 3, **options}
        return train(
            make_variant(name, *overrides),
            data=scenes,
            run=run,
            seed=seed,
            options=TrainingOptions(**options),
            resume=resume or ResumeOptions(mode=mode),
            cpu=True,
            progress=progress,
            log=log,
        )

    return go


def step_folder(run, step):
    return Path(run) / "checkpoints" / f"step-{step:09d}"


def rows_of(run):
    """Returns the rows of a run's metrics without what depends on the clock."""
    lines = (Path(run) / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in row.items() if name != "seconds" and not name.startswith("perf/")}
        for row in rows
    ]


def digests(run, step):
    """Returns the SHA-256 of every file of tensors of a checkpoint, and its state without the clock."""
    folder = step_folder(run, step)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.safetensors"))}
    state = json.loads((folder / "state.json").read_text())
    del state["seconds"]
    return {**found, "state": state}


@pytest.fixture(scope="session")
def look():
    """What tests look at in a run's folder."""

    class Look:
        folder = staticmethod(step_folder)
        rows = staticmethod(rows_of)
        digests = staticmethod(digests)

        @staticmethod
        def steps(run):
            return sorted(int(path.name[5:]) for path in (Path(run) / "checkpoints").glob("step-*"))

    return Look


def weights_of(model):
    return torch.cat([parameter.detach().flatten().clone() for parameter in model.parameters()])


@pytest.fixture(scope="session")
def weights():
    """Returns all parameters of a model as one vector, copied."""
    return weights_of
