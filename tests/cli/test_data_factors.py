"""``data make --factors`` and ``--hold-out``."""

import shutil

import pytest

from zoo.data.make import make_dataset
from zoo.data.store import read_meta

ROOMS = "rooms_ring_camera"


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "rooms"
    make_dataset(ROOMS, folder=folder, num_scenes={"test": 10}, image_size=8, num_views=2, workers=0)
    return folder / "test" / "factors.jsonl"


def test_the_command_renders_files_into_splits(gqn_zoo, tmp_path, rooms):
    shutil.copy(rooms, tmp_path / "mine.jsonl")
    options = "--image-size 8 --views 2 -j 0"
    outcome = gqn_zoo(
        f"data make {ROOMS} -o {tmp_path}/new --factors {tmp_path}/mine.jsonl --factors train={rooms} {options}"
    )
    assert outcome.code == 0 and f"{tmp_path}/new: train 10, test 10 scenes" in outcome.out
    assert "factors: of every scene" in gqn_zoo(f"data inspect {tmp_path}/new --verify").out
    for extra, message in (
        (f"--factors test={rooms}", "the split test has a file already"),
        ("--test 3", "--test: cannot be combined with --factors"),
        ("--hold-out shape=cone", "--hold-out: cannot be combined with --factors"),
        ("--dry-run", "--dry-run: cannot be combined with --factors"),
    ):
        outcome = gqn_zoo(f"data make {ROOMS} -o {tmp_path}/x --factors {tmp_path}/mine.jsonl {extra}")
        assert outcome.code == 2 and message in outcome.err and len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_the_command_holds_combinations_out(gqn_zoo, tmp_path):
    command = (
        f"data make shepard_metzler_5_parts -o {tmp_path}/s --image-size 8 --views 2 -j 0 --train 3 --validation 1"
    )
    assert gqn_zoo(f"{command} --test 2 --hold-out colour=red --hold-out colour=blue").code == 0
    assert read_meta(tmp_path / "s").provenance["hold_out"] == ["colour=red", "colour=blue"]
    for options in ("", " --dry-run"):
        outcome = gqn_zoo(f"data make {ROOMS} -o {tmp_path}/x --hold-out shape=con,colour=red{options}")
        assert outcome.code == 2 and "shape: unknown value 'con'; did you mean 'cone'" in outcome.err
