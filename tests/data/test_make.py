import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.data.make import SCENES_PER_PIECE, make_dataset
from zoo.data.render.recipes import RECIPES
from zoo.data.store import SceneStore
from zoo.errors import DataError

RECIPE = "shepard_metzler_5_parts"
COUNTS = {"train": SCENES_PER_PIECE + 3, "test": 2}


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    steps = []
    returned = make_dataset(
        RECIPE,
        folder=folder,
        num_scenes=COUNTS,
        image_size=8,
        seed=5,
        workers=0,
        progress=lambda done, total: steps.append((done, total)),
        scenes_per_shard=4,
    )
    assert returned == folder
    return folder, steps


def test_the_store_holds_the_rendered_scenes_in_order(made):
    folder, steps = made
    total = sum(COUNTS.values())
    assert steps == [(SCENES_PER_PIECE, total), (SCENES_PER_PIECE + 3, total), (total, total)]
    for split, count in COUNTS.items():
        store = SceneStore(folder, split)
        assert (store.name, store.split, store.num_scenes) == (RECIPE, split, count)
        assert (store.num_views, store.image_size) == (15, 8)
        frames, cameras = store.read(np.arange(count), np.tile(np.arange(15), (count, 1)))
        expected = RECIPES[RECIPE].render(seed=5, scene_indices=range(count), split=split, image_size=8)
        np.testing.assert_array_equal(frames, expected.frames.numpy())
        np.testing.assert_array_equal(cameras, expected.cameras.numpy())


def test_bytes_are_the_same_for_any_number_of_processes(made, tmp_path):
    make_dataset(
        RECIPE,
        folder=tmp_path / "set",
        num_scenes=dict(reversed(COUNTS.items())),
        image_size=8,
        seed=5,
        workers=2,
        scenes_per_shard=4,
    )
    assert contents(tmp_path / "set") == contents(made[0])


def test_another_seed_gives_another_revision(made, tmp_path):
    make_dataset(RECIPE, folder=tmp_path / "set", num_scenes=COUNTS, image_size=8, seed=6, workers=0)
    assert SceneStore(tmp_path / "set", "train").revision != SceneStore(made[0], "train").revision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"recipe_name": "shepard_metzler_5_part"},
            r"no built-in data set 'shepard_metzler_5_part'; did you mean 'shep",
        ),
        ({"num_scenes": {}}, "num_scenes: is empty"),
        ({"num_scenes": {"train": 0}}, "num_scenes: 0 scenes for split 'train', expected 1 or more"),
        ({"num_scenes": {"train": 4, "test": -1}}, "num_scenes: -1 scenes for split 'test'"),
        ({"num_scenes": {"trian": 1}}, r"num_scenes: unknown split 'trian'; did you mean 'train'"),
        ({"image_size": 0}, "image_size: 0 is not a positive multiple of 4"),
        ({"image_size": 66}, "image_size: 66 is not a positive multiple of 4"),
        ({"image_size": -4}, "image_size: -4 is not a positive multiple of 4"),
        ({"seed": -1}, "seed: -1 is negative"),
        ({"workers": -1}, "workers: -1 is negative"),
        ({"device": "gpu"}, "device: 'gpu' cannot be used here"),
        ({"scenes_per_shard": 0}, "scenes_per_shard: 0"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line_and_leave_nothing(change, message, tmp_path):
    arguments = {
        "recipe_name": RECIPE,
        "folder": tmp_path / "set",
        "num_scenes": {"train": 1},
        "image_size": 8,
        "workers": 0,
    } | change
    name = arguments.pop("recipe_name")
    with pytest.raises(DataError, match=message) as caught:
        make_dataset(name, **arguments)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(made):
    before = contents(made[0])
    with pytest.raises(DataError, match="exists already"):
        make_dataset(RECIPE, folder=made[0], num_scenes=COUNTS, image_size=8, workers=0)
    assert contents(made[0]) == before


def test_an_error_while_rendering_leaves_nothing(tmp_path):
    def fail(done, total):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        make_dataset(RECIPE, folder=tmp_path / "set", num_scenes=COUNTS, image_size=8, workers=0, progress=fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
def test_a_killed_process_is_reported_and_leaves_nothing(tmp_path):
    def kill(done, total):
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(DataError, match="workers: a rendering process ended by itself"):
        make_dataset(
            RECIPE, folder=tmp_path / "set", num_scenes={"train": 2000}, image_size=8, workers=1, progress=kill
        )
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []


SCRIPT = """
import signal
import sys
from zoo.data.make import make_dataset

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell starts its children with it ignored
    print("ready", flush=True)
    make_dataset(
        "rooms_ring_camera", folder=sys.argv[1], num_scenes={"train": 100_000}, workers=1, image_size=8,
        progress=lambda done, total: print(done, flush=True),
    )
"""


def start_long_job(tmp_path):
    """Starts a job with a rendering process, in a process group of its own, and returns when it sets to work."""
    (tmp_path / "job.py").write_text(SCRIPT)
    (tmp_path / "out").mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(zoo.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, tmp_path / "job.py", tmp_path / "out" / "set"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def group_is_gone(group, patience=20.0):
    """Tells whether no process of the group is left, once it had time to end."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False


@pytest.mark.parametrize("moment", ["while processes start", "while scenes are rendered"])
def test_ctrl_c_leaves_neither_files_nor_processes(moment, tmp_path):
    process = start_long_job(tmp_path)
    if moment == "while scenes are rendered":
        assert int(process.stdout.readline()) > 0
    else:
        time.sleep(1.0)  # the new process is importing by now; if it is not, the outcome must be the same
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode != 0
    assert errors.count("KeyboardInterrupt") == 1, errors
    assert list((tmp_path / "out").iterdir()) == []
    assert group_is_gone(process.pid)


@pytest.mark.faults
def test_processes_do_not_outlive_a_killed_parent(tmp_path):
    process = start_long_job(tmp_path)
    assert int(process.stdout.readline()) > 0
    process.kill()
    process.stdout.close()
    process.stderr.close()
    process.wait(timeout=600)
    assert group_is_gone(process.pid)
    assert not (tmp_path / "out" / "set").exists()


def test_the_number_of_views_can_be_chosen(tmp_path):
    make_dataset(RECIPE, folder=tmp_path / "set", num_scenes={"train": 2}, image_size=8, num_views=4, seed=5, workers=0)
    store = SceneStore(tmp_path / "set", "train")
    assert store.num_views == 4
    frames, cameras = store.read(np.arange(2), np.tile(np.arange(4), (2, 1)))
    assert frames.shape == (2, 4, 8, 8, 3)
    assert len(np.unique(cameras.reshape(-1, 5), axis=0)) == 8
    with pytest.raises(DataError, match="num_views: 0"):
        make_dataset(RECIPE, folder=tmp_path / "none", num_scenes={"train": 2}, num_views=0, workers=0)
    assert not (tmp_path / "none").exists()
