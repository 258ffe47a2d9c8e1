"""Orbits and paths of cameras."""

import math

import numpy as np
import pytest
import torch

from zoo.data.camera import camera_axes
from zoo.data.camera_path import camera_of, common_point, interpolated, orbit, read_path
from zoo.data.render.rooms import RING, draw_ring_cameras
from zoo.data.scene import Scene
from zoo.errors import ConfigError, DataError


def looking_at(places, point):
    offset = np.asarray(point) - places
    yaw, pitch = np.arctan2(offset[:, 1], offset[:, 0]), np.arctan2(offset[:, 2], np.hypot(offset[:, 0], offset[:, 1]))
    return np.concatenate([places, yaw[:, None], pitch[:, None]], axis=1)


def test_the_common_point_is_where_all_cameras_look():
    point = np.array([0.4, -1.2, 0.7])
    cameras = looking_at(np.random.default_rng(0).normal(size=(6, 3)) * 4.0, point)
    np.testing.assert_allclose(common_point(cameras), point, atol=1e-4)


def test_a_single_camera_has_a_common_point_on_its_line_of_sight():
    camera = looking_at(np.array([[2.0, 0.0, 1.0]]), [0.0, 0.0, 1.0])
    np.testing.assert_allclose(common_point(camera)[1:], [0.0, 1.0], atol=1e-5)


def test_the_orbit_of_a_ring_is_the_ring():
    cameras = draw_ring_cameras(np.random.default_rng(1), num_views=5)
    found = orbit(cameras, num_cameras=16)
    start = math.atan2(cameras[0, 1], cameras[0, 0])
    expected = np.array([RING.camera(start + turn) for turn in np.arange(16) * 2.0 * math.pi / 16])
    np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=1e-3)
    np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=1e-3)
    turned = np.remainder(found[:, 3] - expected[:, 3] + np.pi, 2.0 * np.pi) - np.pi
    np.testing.assert_allclose(turned, 0.0, atol=1e-3)
    assert found.dtype == np.float32 and (np.abs(found[:, 3]) <= np.pi).all()


def test_every_camera_of_an_orbit_looks_at_the_same_point():
    scene = Scene.load("shepard_metzler_5_parts:0", image_size=4)
    found = torch.from_numpy(orbit(scene.cameras, num_cameras=9)).double()
    towards = -found[:, :3] / found[:, :3].norm(dim=1, keepdim=True)
    torch.testing.assert_close(camera_axes(found).forward, towards, atol=1e-3, rtol=0.0)


def test_cameras_that_look_apart_have_no_orbit():
    outwards = looking_at(np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), [0.0, 0.0, 0.0])
    outwards[:, 3] += math.pi
    with pytest.raises(DataError, match=r"look past .* by 180 degrees .* give a path"):
        orbit(outwards, num_cameras=4)
    with pytest.raises(DataError, match="found no camera"):
        orbit(outwards[:0], num_cameras=4)


def test_a_path_goes_through_its_corners_at_even_steps():
    corners = np.array([[0.0, 0, 0, 0, 0], [1.0, 2, 3, 0.5, -0.2], [2.0, 0, 0, 0, 0]])
    path = interpolated(corners, num_cameras=5)
    np.testing.assert_allclose(path[::2], corners, atol=1e-6)
    np.testing.assert_allclose(path[1], corners[:2].mean(0), atol=1e-6)


def test_angles_turn_the_shorter_way():
    corners = np.array([[0.0, 0, 0, math.radians(170), 0], [0.0, 0, 0, math.radians(-170), 0]])
    np.testing.assert_allclose(np.abs(interpolated(corners, num_cameras=3)[1, 3]), math.pi, atol=1e-6)


def test_a_path_from_straight_down_to_straight_up_passes_the_horizon():
    corners = np.stack([camera_of([0, 0, 1, 0, pitch], origin="here") for pitch in (-90, 90)])
    np.testing.assert_allclose(np.degrees(interpolated(corners, num_cameras=3)[:, 4]), [-90.0, 0.0, 90.0], atol=1e-4)


def test_a_closed_path_returns_without_repeating_its_start():
    corners = np.array([[0.0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0]])
    np.testing.assert_allclose(interpolated(corners, num_cameras=4, closed=True)[:, 0], [0.0, 0.5, 1.0, 0.5], atol=1e-6)


def test_a_file_of_cameras_in_degrees(tmp_path):
    file = tmp_path / "path.json"
    file.write_text('{"cameras": [[3, 0, 1.5, 180, -20], [0, 3, 1.5, -90, -20]]}')
    path = read_path(file, num_cameras=2)
    np.testing.assert_allclose(path[1], [0, 3, 1.5, -math.pi / 2, math.radians(-20)], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cameras: []", "cameras: found []"),
        ("cameras: [[1, 2, 3]]", "cameras.0"),
        ("cameras: [[0, 0, 0, 0, 95]]", "cameras.0: pitch: found 95 degrees, expected -90 (down) to 90 (up)"),
        ("camera: [[0, 0, 0, 0, 0]]", "unknown key 'camera'; did you mean 'cameras'?"),
        ("cameras: [[0, 0, 0, 0, x]]", "cameras.0.4"),
        ("cameras: [[0, 0, 0, .inf, 0]]", "cameras.0"),
    ],
)
def test_files_of_cameras_that_are_refused(tmp_path, text, message):
    file = tmp_path / "path.yaml"
    file.write_text(text)
    with pytest.raises((ConfigError, DataError)) as error:
        read_path(file, num_cameras=2)
    assert str(file) in str(error.value) and message in str(error.value)


@pytest.mark.parametrize(
    "numbers",
    [
        [1.0] * 4,
        [0, 0, 0, 0, -91],
        [float("nan"), 0, 0, 0, 0],
        [1e9, 0, 0, 0, 0],
        [10**400, 0, 0, 0, 0],
        [0, 0, 0, -(10**400), 0],
        [0, 0, 0, 0, 10**400],
    ],
)
def test_cameras_that_are_refused(numbers):
    with pytest.raises(DataError, match="here: "):
        camera_of(numbers, origin="here")
