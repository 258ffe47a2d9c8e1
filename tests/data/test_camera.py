import math

import pytest
import torch
from camera_projection import look_at, project, rays

from zoo.data.camera import FIELD_OF_VIEW_DEGREES, POSE_WIDTH, angles_of_axes, camera_axes, pose_vector
from zoo.data.render.raycaster import render
from zoo.data.render.scene import Scene, SceneObject, stack_scenes


def camera(x=0.0, y=0.0, z=0.0, yaw=0.0, pitch=0.0):
    return torch.tensor([x, y, z, yaw, pitch], dtype=torch.float64)


def random_cameras(count):
    generator = torch.Generator().manual_seed(0)
    position = torch.rand(count, 3, generator=generator, dtype=torch.float64) * 4 - 2
    angles = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 2 - 1
    return torch.cat([position, angles * torch.tensor([math.pi, 1.4])], dim=-1)


@pytest.mark.parametrize(
    ("yaw", "pitch", "forward"),
    [
        (0.0, 0.0, (1, 0, 0)),
        (math.pi / 2, 0.0, (0, 1, 0)),
        (-math.pi / 2, 0.0, (0, -1, 0)),
        (math.pi, 0.0, (-1, 0, 0)),
        (0.0, math.pi / 2, (0, 0, 1)),
        (0.0, -math.pi / 2, (0, 0, -1)),
        (math.pi / 2, math.pi / 4, (0, 0.5**0.5, 0.5**0.5)),
    ],
)
def test_forward_has_the_documented_signs(yaw, pitch, forward):
    axes = camera_axes(camera(yaw=yaw, pitch=pitch))
    torch.testing.assert_close(axes.forward, torch.tensor(forward, dtype=torch.float64))


def test_y_is_on_the_left_of_a_camera_at_yaw_0():
    axes = camera_axes(camera())
    torch.testing.assert_close(axes.right, torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(axes.up, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))


def test_axes_are_a_right_handed_orthonormal_frame():
    axes = camera_axes(random_cameras(50))
    frame = torch.stack([axes.right, axes.forward, axes.up], dim=-1)
    torch.testing.assert_close(frame.mT @ frame, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    torch.testing.assert_close(torch.linalg.det(frame), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("roll", [0.0, 0.3, -1.0, 3.0])
def test_angles_are_recovered_from_axes_with_roll(roll):
    cameras = random_cameras(30)
    axes = camera_axes(cameras)
    angles = angles_of_axes(forward=axes.forward, right=math.cos(roll) * axes.right + math.sin(roll) * axes.up)
    torch.testing.assert_close(torch.stack([angles.yaw, angles.pitch], dim=-1), cameras[:, 3:])
    torch.testing.assert_close(angles.roll, torch.full((30,), roll, dtype=torch.float64))


@pytest.mark.parametrize("pitch", [-math.pi / 2, math.pi / 2])
def test_straight_up_and_down_a_turn_is_a_yaw(pitch):
    axes = camera_axes(camera(yaw=0.7, pitch=pitch))
    yaw, found, roll = angles_of_axes(forward=axes.forward, right=axes.right)
    assert (yaw.item(), found.item(), roll.item()) == pytest.approx((0.7, pitch, 0.0))


def test_pose_vector_has_the_order_of_the_paper():
    pose = pose_vector(camera(1.0, 2.0, 3.0, math.pi / 6, -math.pi / 3))
    expected = torch.tensor([1.0, 2.0, 3.0, 0.75**0.5, 0.5, 0.5, -(0.75**0.5)], dtype=torch.float64)
    torch.testing.assert_close(pose, expected)
    assert pose.shape == (POSE_WIDTH,)


def test_pose_vector_is_periodic_in_both_angles():
    cameras = random_cameras(20)
    turned = cameras + torch.tensor([0, 0, 0, 2 * math.pi, -2 * math.pi], dtype=torch.float64)
    torch.testing.assert_close(pose_vector(turned), pose_vector(cameras), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_floating_point_type_is_kept(dtype):
    cameras = random_cameras(2).to(dtype)
    assert pose_vector(cameras).dtype == dtype
    assert rays(cameras, image_size=4).directions.dtype == dtype
    assert project(torch.zeros(2, 3, dtype=dtype), cameras=cameras, image_size=4).coordinates.dtype == dtype


def test_corner_rays_span_the_field_of_view():
    directions = rays(camera(), image_size=1000).directions
    # Along the middle row, from the leftmost to the rightmost pixel centre.
    left, right = directions[500, 0], directions[500, -1]
    assert left[1] > 0 > right[1]
    angle = torch.rad2deg(torch.acos((left * right).sum())).item()
    assert angle == pytest.approx(FIELD_OF_VIEW_DEGREES, abs=0.1)
    assert directions[0, 500, 2] > 0 > directions[-1, 500, 2]
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(1000, 1000, dtype=torch.float64))


def test_project_undoes_rays():
    cameras = random_cameras(8)
    size, samples = 6, 3
    origins, directions = rays(cameras, image_size=size, samples_per_side=samples)
    distance = torch.linspace(0.5, 4.0, 18, dtype=torch.float64)[:, None]
    points = origins + directions * distance
    seen = project(points, cameras=cameras[:, None, None], image_size=size)
    centres = (torch.arange(size * samples, dtype=torch.float64) + 0.5) / samples
    torch.testing.assert_close(seen.coordinates[..., 0], centres.expand(8, 18, 18))
    torch.testing.assert_close(seen.coordinates[..., 1], centres[:, None].expand(8, 18, 18))
    assert (seen.depth > 0).all()


def test_one_sample_a_pixel_goes_through_its_centre():
    direction = rays(camera(), image_size=2).directions[0, 0]
    half = math.tan(math.radians(25.0)) / 2
    torch.testing.assert_close(direction / direction[0], torch.tensor([1.0, half, half], dtype=torch.float64))


def test_points_behind_the_camera_have_negative_depth():
    assert project(camera()[:3] - torch.tensor([2.0, 0, 0]), cameras=camera(), image_size=8).depth.item() == -2.0


def test_look_at_puts_the_target_in_the_middle():
    cameras = random_cameras(30)
    target = random_cameras(60)[30:, :3] + 5.0
    yaw, pitch = look_at(cameras[:, :3], target=target)
    facing = torch.cat([cameras[:, :3], yaw[:, None], pitch[:, None]], dim=-1)
    seen = project(target, cameras=facing, image_size=10)
    torch.testing.assert_close(seen.coordinates, torch.full((30, 2), 5.0, dtype=torch.float64))
    torch.testing.assert_close(seen.depth, (target - cameras[:, :3]).norm(dim=-1))


def red_share(position, view):
    """Where the red of a small red sphere lies: left, right, upper and lower share of it."""
    ball = SceneObject("sphere", position, (0.4, 0.4, 0.4), 0.0, (1.0, 0.0, 0.0))
    frames = render(stack_scenes([Scene((ball,), light=(-4.0, 0.0, 6.0))]), cameras=view[None, None], image_size=32)
    image = frames[0, 0].int()
    red = (image[..., 0] > 2 * image[..., 1]).double()
    assert red.sum() > 4
    halves = (red[:, :16].sum(), red[:, 16:].sum(), red[:16].sum(), red[16:].sum())
    return tuple((half / red.sum()).item() for half in halves)


@pytest.mark.parametrize(
    ("position", "view", "expected"),
    [
        ((4.0, 1.0, 0.0), camera(), "left"),
        ((4.0, -1.0, 0.0), camera(), "right"),
        ((4.0, 0.0, 1.0), camera(), "upper"),
        ((4.0, 0.0, -1.0), camera(), "lower"),
        ((-1.0, 4.0, 0.0), camera(yaw=math.pi / 2), "left"),
        ((4.0, 0.0, 0.0), camera(yaw=0.25), "right"),
        ((4.0, 0.0, 0.0), camera(pitch=0.25), "lower"),
        ((4.0, 0.0, 0.0), camera(z=1.0), "lower"),
    ],
)
def test_a_rendered_ball_appears_where_the_convention_predicts(position, view, expected):
    shares = dict(zip(("left", "right", "upper", "lower"), red_share(position, view), strict=True))
    assert shares[expected] == 1.0


def test_an_object_appears_where_project_predicts():
    position = torch.tensor([3.0, 0.7, -0.4], dtype=torch.float64)
    view = camera(-0.5, 0.4, 0.3, yaw=0.15, pitch=-0.2)
    ball = SceneObject("sphere", tuple(position.tolist()), (0.08,) * 3, 0.0, (1.0, 0.0, 0.0))
    frames = render(stack_scenes([Scene((ball,), light=(-4.0, 0.0, 6.0))]), cameras=view[None, None], image_size=64)
    image = frames[0, 0].double()
    red = (image[..., 0] - image[..., 1]).clamp_min(20) - 20
    centres = torch.arange(64, dtype=torch.float64) + 0.5
    column, row = (red.sum(0) * centres).sum() / red.sum(), (red.sum(1) * centres).sum() / red.sum()
    expected = project(position, cameras=view, image_size=64).coordinates
    torch.testing.assert_close(torch.stack([column, row]), expected, rtol=0.0, atol=0.35)
