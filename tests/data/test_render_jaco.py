import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from camera_projection import project

from zoo.data.built_in import BUCKETS, NUM_BUCKETS
from zoo.data.render import jaco
from zoo.data.render.jaco import CURVED, distance_to_bones, forward_kinematics
from zoo.data.render.recipes import RECIPES
from zoo.data.render.rng import stable_hash
from zoo.data.render.scene import rotation_matrix
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES
from zoo.data.source import SPLITS

PI = math.pi


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def reaches():
    return [jaco.draw_arm(generator(seed)) for seed in range(60)]


@pytest.fixture(scope="module")
def random_arms():
    angles = generator(5).random((50, 9)) * 2.0 * PI
    return angles, forward_kinematics(angles)


def arm(*angles):
    return forward_kinematics(np.array([[*angles, 0.0, 0.0, 0.0]]))


def test_at_half_turns_the_arm_points_straight_up():
    """Kinova's zero of the drawings: shoulder, elbow and wrist over the foot, bent only by the curved wrist."""
    shoulder, elbow, _, first, second, hand = arm(0.3, PI, PI, 0.0, 0.0, 0.0).joints[0, 1:]
    assert shoulder == pytest.approx([0.0, 0.0, 0.2755])
    assert elbow == pytest.approx([0.0, 0.0, 0.2755 + 0.41])
    assert first[2] == pytest.approx(0.2755 + 0.41 + 0.2073 + CURVED)
    # The two bends of 60 degrees undo each other, so that the hand points up again.
    assert second[2] - first[2] == pytest.approx(2.0 * CURVED * math.cos(PI / 3.0))
    assert hand - second == pytest.approx([0.0, 0.0, CURVED + 0.16])
    assert pytest.approx(0.0741 / math.sqrt(3.0)) == CURVED


@pytest.mark.parametrize(("first", "second", "third"), [(0.0, 2.5, 3.6), (1.3, 4.0, 2.0), (-2.0, 3.3, 4.4)])
def test_elbow_and_wrist_lie_where_plane_geometry_predicts(first, second, third):
    """In the plane of the arm the upper arm leans by q2 - pi; the forearm turns back against it by q3."""
    joints = arm(first, second, third, 0.0, 0.0, 0.0).joints[0]
    lean = second - PI
    outwards = np.array([math.cos(-first), math.sin(-first), 0.0])
    upper = -math.sin(lean) * outwards + np.array([0.0, 0.0, math.cos(lean)])
    assert joints[2] == pytest.approx(joints[1] + 0.41 * upper)
    bend = lean - (third - PI)
    lower = -math.sin(bend) * outwards + np.array([0.0, 0.0, math.cos(bend)])
    assert joints[4] - joints[3] == pytest.approx((0.2073 + CURVED) * lower)
    assert np.linalg.norm(joints[3] - joints[2]) == pytest.approx(0.0098)


def test_the_first_joint_turns_everything_clockwise(random_arms):
    angles, arms = random_arms
    turned = angles.copy()
    turned[:, 0] += 0.8
    rotation = np.array([[math.cos(0.8), math.sin(0.8), 0.0], [-math.sin(0.8), math.cos(0.8), 0.0], [0.0, 0.0, 1.0]])
    again = forward_kinematics(turned)
    np.testing.assert_allclose(again.joints, arms.joints @ rotation.T, atol=1e-12)
    np.testing.assert_allclose(again.fingers, arms.fingers @ rotation.T, atol=1e-12)


def test_bones_keep_their_lengths_and_the_hand_its_right_angles(random_arms):
    _, arms = random_arms
    lengths = np.linalg.norm(np.diff(arms.joints, axis=1), axis=-1)
    expected = [0.2755, 0.41, 0.0098, 0.2073 + CURVED, 2.0 * CURVED, CURVED + 0.16]
    np.testing.assert_allclose(lengths, np.broadcast_to(expected, lengths.shape), atol=1e-12)
    product = arms.hand.transpose(0, 2, 1) @ arms.hand
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
    assert np.linalg.det(arms.hand) == pytest.approx(np.ones(len(product)))
    bones = np.linalg.norm(np.diff(arms.fingers, axis=2), axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(jaco.FINGER_BONES, bones.shape), atol=1e-12)
    # The hand points along the last bone of the arm.
    last = arms.joints[:, -1] - arms.joints[:, -2]
    np.testing.assert_allclose(arms.hand[..., 2], last / np.linalg.norm(last, axis=-1, keepdims=True), atol=1e-12)


def test_each_joint_moves_only_what_comes_after_it(random_arms):
    angles, arms = random_arms
    for joint in range(6):
        moved = angles.copy()
        moved[:, joint] += 0.5
        again = forward_kinematics(moved)
        np.testing.assert_allclose(again.joints[:, : joint + 1], arms.joints[:, : joint + 1], atol=1e-12)
        assert np.abs(again.fingers - arms.fingers).max(axis=(1, 2, 3)).min() > 1e-3
    for finger in range(3):
        moved = angles.copy()
        moved[:, 6 + finger] += 0.5
        again = forward_kinematics(moved)
        np.testing.assert_allclose(again.joints, arms.joints)
        changed = np.abs(again.fingers - arms.fingers).max(axis=(2, 3)) > 1e-3
        assert (changed == (np.arange(3) == finger)).all()


def test_curled_fingers_come_together():
    tips = [
        forward_kinematics(np.array([[0.0, PI, PI, 0.0, 0.0, 0.0, curl, curl, curl]])).fingers[0, :, -1]
        for curl in (0.0, 0.5)
    ]
    spread = [np.linalg.norm(part - part.mean(0), axis=-1).mean() for part in tips]
    assert spread[1] < 0.6 * spread[0]


def test_distance_to_bones_is_that_to_the_nearest_of_many_points():
    starts, ends, points = generator(1).normal(size=(3, 40, 3))
    share = np.linspace(0.0, 1.0, 4001)[:, None, None]
    brute = np.linalg.norm(starts + share * (ends - starts) - points, axis=-1).min(0)
    np.testing.assert_allclose(distance_to_bones(starts, ends, points), brute, atol=1e-5)


def test_arms_are_in_the_room_and_touch_neither_floor_nor_target(reaches):
    for reach in reaches:
        arms = forward_kinematics(np.array([reach.joints]))
        assert jaco.is_possible(arms).all()
        assert arms.joints[0, 2:, 2].min() >= jaco.ABOVE_FLOOR and arms.fingers[0, ..., 2].min() >= jaco.ABOVE_FLOOR
        target = np.array(reach.objects[0].centre) / jaco.SCALE
        radius = reach.objects[0].scale[0] / jaco.SCALE
        assert target[2] == pytest.approx(radius)
        assert jaco.clearance(arms, target)[0] - radius >= jaco.TARGET_GAP - 1e-9
        assert jaco.SCALE * (math.hypot(*target[:2]) + radius) < jaco.CAMERA_RADII[0] - 0.5
        for angle, (low, high) in zip(reach.joints, jaco.JOINT_RANGES, strict=False):
            assert low <= angle <= high
    assert {reach.room.wall for reach in reaches} == set(WALL_TEXTURES)
    assert {reach.room.floor for reach in reaches} == set(FLOOR_TEXTURES)


def test_half_of_the_arms_reach_for_the_target(reaches):
    gaps = {True: [], False: []}
    for reach in reaches:
        hand = forward_kinematics(np.array([reach.joints])).joints[0, -1]
        gaps[reach.reaching].append(np.linalg.norm(hand - np.array(reach.objects[0].centre) / jaco.SCALE))
    assert 18 < len(gaps[True]) < 42
    assert np.mean(gaps[True]) < 0.3 < 0.5 < np.mean(gaps[False])


def test_parts_lie_along_the_bones():
    angles = np.array([[0.4, 2.6, 2.2, 1.0, 2.0, 3.0, 0.2, 0.4, 0.6]])
    skeleton = forward_kinematics(angles)
    parts = jaco.build_arm(skeleton)
    assert len(parts) == 11 + 3 * 4
    ends = []
    for part in parts:
        if part.shape == "cylinder":
            axis = np.array(rotation_matrix(part.tilt))[:, 2] * part.scale[2]
            ends += [(np.array(part.centre) + sign * axis) / jaco.SCALE for sign in (-1, 1)]
    ends = np.array(ends)
    for place in (*skeleton.joints[0, [0, 1, 3, 4, 5]], *skeleton.fingers[0].reshape(-1, 3)):
        assert np.linalg.norm(ends - place, axis=-1).min() < 1e-9


def test_a_scene_turned_by_a_quarter_has_the_same_name(reaches):
    for reach in reaches:
        x, y, z = reach.objects[0].centre
        first = (reach.joints[0] - PI / 2.0 + PI) % (2.0 * PI) - PI
        turned = replace(
            reach, joints=(first, *reach.joints[1:]), objects=(replace(reach.objects[0], centre=(-y, x, z)),)
        )
        # The same arm, turned with the target: counter-clockwise as seen from above.
        here, there = (forward_kinematics(np.array([item.joints])).joints[0] for item in (reach, turned))
        np.testing.assert_allclose(there[:, 0], -here[:, 1], atol=1e-9)
        np.testing.assert_allclose(there[:, 1], here[:, 0], atol=1e-9)
        assert jaco.canonical(turned) == jaco.canonical(reach)
        bent = (*reach.joints[:2], reach.joints[2] + jaco.KEY_ANGLE, *reach.joints[3:])
        assert jaco.canonical(replace(reach, joints=bent)) != jaco.canonical(reach)


def test_cameras_are_round_the_arm_inside_the_room_and_see_it():
    scene, _ = jaco.draw_scene(generator())
    cameras = torch.from_numpy(jaco.draw_cameras(generator(), scene=scene, num_views=200))
    radius = cameras[:, :2].norm(dim=-1)
    assert radius.min() >= jaco.CAMERA_RADII[0] - 1e-9 and radius.max() <= jaco.CAMERA_RADII[1] + 1e-9
    assert radius.max() < scene.room.width / 2 and cameras[:, 2].max() < scene.room.wall_height
    assert radius.min() > jaco.SCALE * jaco.LARGEST_REACH + 0.5
    middle = torch.tensor([0.0, 0.0, jaco.LOOK_HEIGHT], dtype=torch.float64)
    seen = project(middle, cameras=cameras, image_size=2).coordinates
    torch.testing.assert_close(seen, torch.ones(200, 2, dtype=torch.float64))
    assert cameras[:, 3].min() < -3.0 and cameras[:, 3].max() > 3.0


def test_scenes_do_not_depend_on_their_batch_and_splits_share_none():
    recipe = replace(RECIPES["jaco"], num_views=2)
    options = {"seed": 0, "split": "train", "image_size": 16}
    first, mixed = recipe.render(scene_indices=range(3), **options), recipe.render(scene_indices=[4, 2], **options)
    assert torch.equal(mixed.frames[1], first.frames[2]) and torch.equal(mixed.cameras[1], first.cameras[2])
    assert mixed.scenes[1] == first.scenes[2]
    assert not torch.equal(first.frames[0], first.frames[1])
    names = {split: {recipe.draw(seed=0, split=split, index=index).name for index in range(8)} for split in SPLITS}
    for split, found in names.items():
        assert len(found) == 8 and all(stable_hash(name) % NUM_BUCKETS in BUCKETS[split] for name in found)
    assert RECIPES["jaco"].num_views == 11
