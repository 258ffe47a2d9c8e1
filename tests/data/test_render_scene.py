import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.data.render.primitives import PRIMITIVES
from zoo.data.render.raycaster import render
from zoo.data.render.scene import Scene, SceneObject, rotation_matrix, stack_scenes, tilt_towards

DIRECTIONS = [
    *np.random.default_rng(0).normal(size=(20, 3)),
    (0, 0, 1),
    (0, 0, -1),
    (2, 0, 0),
    (1e-7, 0, -1),
    (0, -3, 0),
]


@pytest.mark.parametrize("direction", DIRECTIONS, ids=str)
def test_the_shortest_tilt_takes_the_z_axis_into_a_direction(direction):
    tilt = tilt_towards(tuple(map(float, direction)))
    matrix = np.array(rotation_matrix(tilt))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    along = np.array(direction) / np.linalg.norm(direction)
    np.testing.assert_allclose(matrix[:, 2], along, atol=1e-6)
    # The shortest turn leaves what is across both where it is.
    across = np.cross([0.0, 0.0, 1.0], along)
    if np.linalg.norm(across) > 1e-3:
        np.testing.assert_allclose(matrix @ across, across, atol=1e-9)


def test_a_direction_without_length_is_refused():
    with pytest.raises(ValueError, match="length 0"):
        tilt_towards((0.0, 0.0, 0.0))


def quaternion(axis, angle):
    axis = np.array(axis, float) / np.linalg.norm(axis)
    return (math.cos(angle / 2.0), *(math.sin(angle / 2.0) * axis).tolist())


def test_a_quaternion_turns_by_its_angle_about_its_axis():
    matrix = np.array(rotation_matrix(quaternion((0, 0, 1), 0.3)))
    expected = [[math.cos(0.3), -math.sin(0.3), 0], [math.sin(0.3), math.cos(0.3), 0], [0, 0, 1]]
    np.testing.assert_allclose(matrix, expected, atol=1e-12)
    np.testing.assert_allclose(
        rotation_matrix(quaternion((1, 1, 1), 2 * math.pi / 3)), np.roll(np.eye(3), 1, axis=0), atol=1e-12
    )


def test_the_frame_of_a_tilted_object_undoes_scale_turn_and_tilt():
    item = SceneObject("box", (1.0, 2.0, 3.0), (0.5, 2.0, 3.0), 0.4, (1.0, 0.0, 0.0), tilt=quaternion((1, 2, -1), 1.1))
    inverse = stack_scenes([Scene((item,), (0.0, 0.0, 9.0))]).inverse[0, 0].view(3, 3).double().numpy()
    turn = np.array(rotation_matrix(quaternion((0, 0, 1), 0.4)))
    forward = np.array(rotation_matrix(item.tilt)) @ turn @ np.diag(item.scale)
    np.testing.assert_allclose(inverse @ forward, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("shape", list(PRIMITIVES))
def test_a_tilt_about_the_vertical_is_a_turn(shape):
    camera = torch.tensor([[[3.0, 0.5, 1.5, math.pi, -0.4]]])

    def image(**options):
        item = SceneObject(shape, (0.0, 0.0, 0.2), (0.5, 0.7, 0.9), colour=(0.8, 0.3, 0.2), **options)
        return render(stack_scenes([Scene((item,), (2.0, 2.0, 4.0))]), cameras=camera, image_size=32)[0, 0].int()

    turned, tilted = image(turn=0.7), image(turn=0.2, tilt=quaternion((0, 0, 1), 0.5))
    gap = (turned - tilted).abs().amax(-1)
    assert (gap > 2).float().mean() < 0.01
    assert (turned - image(turn=0.2)).abs().max() > 20 or shape in ("sphere", "cylinder", "cone", "capsule")


def test_a_horizontal_rod_equals_an_upright_rod_seen_by_a_tilted_camera():
    standing = SceneObject("cylinder", (0.0, 0.0, 0.0), (0.2, 0.2, 1.0), 0.0, (1.0, 0.0, 0.0))
    lying = replace(standing, tilt=tilt_towards((1.0, 0.0, 0.0)))
    camera = torch.tensor([[[0.0, 4.0, 0.0, -math.pi / 2.0, 0.0]]])
    covered = []
    for item in (standing, lying):
        frame = render(stack_scenes([Scene((item,), (0.0, 5.0, 0.0))]), cameras=camera, image_size=48)[0, 0].int()
        covered.append(frame[..., 0] - frame[..., 2] > 60)
    assert covered[0].sum() > 100
    assert (covered[0] != covered[1].T).sum() <= 4
    assert (covered[0] != covered[1]).sum() > 100
