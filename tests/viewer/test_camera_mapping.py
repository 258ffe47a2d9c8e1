"""Cameras of the project and of viser are the same cameras."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from zoo.data.camera import camera_axes
from zoo.errors import DataError
from zoo.viewer.camera_mapping import from_viser, to_viser


def test_a_camera_along_x_has_the_axes_of_opencv():
    wxyz, position = to_viser(np.array([1.0, 2.0, 3.0, 0.0, 0.0]))
    np.testing.assert_array_equal(position, [1, 2, 3])
    turn = Rotation.from_quat(wxyz, scalar_first=True)
    np.testing.assert_allclose(turn.apply([0, 0, 1]), [1, 0, 0], atol=1e-12)  # forward
    np.testing.assert_allclose(turn.apply([1, 0, 0]), [0, -1, 0], atol=1e-12)  # right of the image
    np.testing.assert_allclose(turn.apply([0, 1, 0]), [0, 0, -1], atol=1e-12)  # down


@pytest.mark.parametrize("pitch", [-90, -89.5, -30, 0, 45, 90])
@pytest.mark.parametrize("yaw", [-179, -90, -1, 0, 60, 179])
def test_a_camera_is_the_same_after_both_ways(yaw, pitch):
    camera = np.array([0.5, -2.0, 1.25, math.radians(yaw), math.radians(pitch)])
    back = from_viser(*to_viser(camera))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, camera, atol=2e-6)


def test_a_roll_is_left_out():
    camera = np.array([0.0, 0.0, 1.0, 0.7, -0.3])
    wxyz, position = to_viser(camera)
    rolled = Rotation.from_quat(wxyz, scalar_first=True) * Rotation.from_euler("z", 0.4)
    np.testing.assert_allclose(from_viser(rolled.as_quat(scalar_first=True), position), camera, atol=1e-6)


def test_the_axes_are_those_of_the_project():
    camera = torch.tensor([0.0, 0.0, 0.0, 2.1, 0.4], dtype=torch.float64)
    turn = Rotation.from_quat(to_viser(camera.numpy()).wxyz, scalar_first=True).as_matrix()
    axes = camera_axes(camera)
    np.testing.assert_allclose(turn, np.stack([axes.right, -axes.up, axes.forward], axis=1), atol=1e-12)


@pytest.mark.parametrize("wxyz", [[0, 0, 0, 0], [math.nan, 0, 0, 1]])
def test_what_is_no_camera_is_refused(wxyz):
    with pytest.raises(DataError, match="expected finite numbers"):
        from_viser(np.array(wxyz), np.zeros(3))
