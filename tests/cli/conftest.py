import os
import shlex
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from zoo.cli.main import main
from zoo.data.store_writer import StoreWriter


class Outcome(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def a_process_of_its_own(monkeypatch):
    """Gives back what the program changes in its process: signals, settings of accelerate, the wish for tracebacks."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.delenv("GQN_ZOO_DEBUG", raising=False)
    yield
    os.environ.pop("GQN_ZOO_DEBUG", None)
    signal.signal(signal.SIGTERM, before)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def gqn_zoo(capfd):
    """Returns a function that runs a command line in this process: ``gqn_zoo("list", "gqn-*")`` or as one text."""

    def run(*words):
        arguments = shlex.split(words[0]) if len(words) == 1 else [str(word) for word in words]
        capfd.readouterr()
        with pytest.raises(SystemExit) as leave:
            main(arguments)
        code = leave.value.code
        return Outcome(0 if code is None else code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A scene store of noise: 8 scenes to train on, 3 to validate and 5 to test on, 6 views of 16 pixels."""
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("scenes") / "store"
    with StoreWriter(folder, name="noise", image_size=16, num_views=6, provenance={}) as writer:
        for split, count in (("train", 8), ("validation", 3), ("test", 5)):
            frames = generator.integers(0, 256, (count, 6, 16, 16, 3), dtype=np.uint8)
            writer.add(split, frames, generator.normal(size=(count, 6, 5)).clip(-1.5, 1.5).astype(np.float32))
    return folder


def tree(folder):
    """Returns every file below a folder with its bytes."""
    folder = Path(folder)
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="session")
def contents():
    """Returns a function that reads all files below a folder."""
    return tree
