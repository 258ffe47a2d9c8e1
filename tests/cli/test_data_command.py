"""Mistakes in and around data sets, each answered with one sentence and exit code 2."""

import shutil

import numpy as np
import pytest

from zoo.data.store import HEADER_SIZE


def mistaken(outcome, *parts):
    assert outcome.code == 2 and len(outcome.err.splitlines()) == 1, outcome.err
    assert all(part in outcome.err for part in parts), outcome.err


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_camera_that_is_not_finite_or_absurd_is_refused_by_every_command(gqn_zoo, scenes, tmp_path, value):
    damaged = tmp_path / "damaged"
    shutil.copytree(scenes, damaged)
    cameras = damaged / "train" / "cameras.npy"
    array = np.load(cameras)
    array[3, 1, 0] = value
    cameras.write_bytes(cameras.read_bytes()[:HEADER_SIZE] + array.tobytes())
    for command in (
        f"data inspect {damaged}",
        f"data show {damaged} -o {tmp_path}/new.png",
        f"data convert {damaged} -o {tmp_path}/new",
        f"train gqn-epipolar --size smoke --data {damaged} -o {tmp_path}/new --steps 3 --cpu -j 0",
    ):
        mistaken(gqn_zoo(command), "train/cameras.npy: the x of camera [3, 1] is", "expected a finite number")
    assert not (tmp_path / "new").exists()


def test_data_that_do_not_fit_on_the_disk_are_refused_before_rendering(gqn_zoo, tmp_path):
    command = f"data make rooms_ring_camera -o {tmp_path}/new --train 1000000000000"
    for options in ("", " --dry-run"):
        mistaken(gqn_zoo(command + options), f"{tmp_path}/new: needs 1.23e+08 GB, but the disk has", "GB left")
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_a_name_suggests_the_data_sets_that_contain_it(gqn_zoo, tmp_path):
    mistaken(
        gqn_zoo(f"data make rooms -o {tmp_path}/new"),
        "there is no built-in data set 'rooms'; did you mean 'rooms_one_object', 'rooms_ring_camera', 'rooms_free",
        "'captioned_rooms'",
    )


def test_data_of_the_wrong_kind_are_refused_by_what_they_lack(gqn_zoo, scenes, tmp_path):
    gqn_zoo(f"data make functions_rbf -o {tmp_path}/points --train 2 --validation 1 --test 1 -j 0")
    outcome = gqn_zoo(f"train vae --size smoke --data {tmp_path}/points -o {tmp_path}/run --cpu")
    mistaken(outcome, "/points: has no images but inputs, kernel, values; expected images of 16 pixels")
    assert "image_size=0" not in outcome.err
    outcome = gqn_zoo(f"train np-1d --size smoke --data {scenes} -o {tmp_path}/run --cpu")
    mistaken(outcome, "has no inputs, which task")
