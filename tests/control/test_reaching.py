"""Reaching: rewards against plane geometry, limits of the motion, and scenes that are those of the data set."""

import itertools
import math

import numpy as np
import pytest

from zoo.control.reaching import (
    EPISODE_STEPS,
    FIXED_CAMERA,
    FIXED_ROOM_SEED,
    MAX_VELOCITY,
    MOVED_JOINTS,
    STEP_SECONDS,
    ReachingArms,
)
from zoo.data.factors.arm_factors import ArmFactors
from zoo.data.render.jaco import CAMERA_HEIGHTS, JOINT_RANGES, SCALE, draw_scene, forward_kinematics, is_possible
from zoo.data.render.rng import seeded
from zoo.data.scene import render_scene

LARGEST_TURN = MAX_VELOCITY * STEP_SECONDS  # of a joint in a step


def arms_of(number, **options):
    arms = ReachingArms(number, **options)
    arms.reset([seeded(index) for index in range(number)])
    return arms


def hands_of(arms):
    return forward_kinematics(arms.joints).joints[:, -1]


@pytest.mark.parametrize("velocity", [1.0, 0.5, -1.0, 7.0])
def test_the_reward_of_turning_the_foot_is_the_difference_of_two_chords(velocity):
    """The hand moves on a circle round the foot, clockwise; the ball lies on it, 0.5 rad further."""
    arms = arms_of(8)
    hands, angle = hands_of(arms), 0.5
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    arms.balls = np.concatenate([hands[:, :2] @ turn.T, hands[:, 2:]], axis=1)
    radius = np.hypot(hands[:, 0], hands[:, 1])
    assert arms.distances == pytest.approx(2.0 * radius * math.sin(angle / 2.0))
    rewards = arms.step(np.tile([velocity, 0.0, 0.0], (8, 1)))
    after = angle - LARGEST_TURN * np.clip(velocity, -1.0, 1.0)
    assert rewards == pytest.approx(2.0 * radius * (math.sin(angle / 2.0) - math.sin(after / 2.0)))


def test_rewards_add_up_to_the_distance_covered_and_arms_stay_possible():
    arms, rng = arms_of(32), seeded(100)
    before, total, refused = arms.distances, np.zeros(32), 0
    # Always the same direction: sooner or later every arm meets the floor, itself or a limit.
    actions = np.sign(rng.random((32, MOVED_JOINTS)) - 0.5)
    while not arms.is_over:
        joints = arms.joints
        total += arms.step(actions)
        refused += int((arms.joints == joints)[:, 1:MOVED_JOINTS].sum())
    assert arms.step_count == EPISODE_STEPS
    assert total == pytest.approx(before - arms.distances) and refused > 32
    assert is_possible(forward_kinematics(arms.joints)).all()
    low, high = np.array(JOINT_RANGES[:MOVED_JOINTS]).T
    assert (arms.joints[:, :MOVED_JOINTS] >= low).all() and (arms.joints[:, :MOVED_JOINTS] <= high).all()


def test_the_foot_turns_without_end():
    arms = arms_of(4)
    start, hands = arms.joints[:, 0].copy(), hands_of(arms)
    for _ in range(EPISODE_STEPS):
        arms.step(np.tile([1.0, 0.0, 0.0], (4, 1)))
    turned = (arms.joints[:, 0] - start) % (2.0 * math.pi)
    assert turned == pytest.approx(np.full(4, EPISODE_STEPS * LARGEST_TURN % (2.0 * math.pi)))
    assert hands_of(arms)[:, 2] == pytest.approx(hands[:, 2])


def test_steps_that_come_nearest_reach_the_ball():
    """The best of 27 combinations of full and no velocities, step by step: the task can be solved in an episode."""
    arms, nearest = arms_of(24), ReachingArms(24 * 27)
    start = arms.distances
    choices = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=MOVED_JOINTS)))
    while not arms.is_over:
        nearest.joints, nearest.balls = (np.repeat(part, 27, axis=0) for part in (arms.joints, arms.balls))
        nearest.step(np.tile(choices, (24, 1)))
        arms.step(choices[nearest.distances.reshape(24, 27).argmin(1)])
    assert start.mean() > 0.7 and np.median(arms.distances) < 0.2 and (arms.distances <= start).all()


@pytest.mark.parametrize("room", ["fixed", "drawn"])
def test_scenes_are_those_of_the_data_set_with_another_arm_and_on_request_one_room(room):
    arms = arms_of(6, room=room)
    frames = arms.frames(image_size=16)
    fixed = ArmFactors.of(draw_scene(seeded(FIXED_ROOM_SEED))[0])
    assert is_possible(forward_kinematics(arms.joints)).all()
    for index in range(6):
        factors = ArmFactors.of(draw_scene(seeded(index))[0])
        moved = factors.model_copy(update={"joints": arms.joints[index].tolist(), "reaching": False})
        if room == "fixed":
            ball = moved.target.model_copy(update={"colour": fixed.target.colour, "hue": fixed.target.hue})
            moved = moved.model_copy(update={"room": fixed.room, "light": fixed.light, "target": ball})
        moved.check()
        assert (frames[index] == render_scene(moved, np.array([FIXED_CAMERA]), image_size=16)[0]).all()
        assert arms.balls[index] * SCALE == pytest.approx(factors.target.position)
        assert moved.joints[:3] != factors.joints[:3] and moved.joints[3:6] == [0.0, 0.0, 0.0]


def test_the_hand_points_where_the_forearm_does():
    joints = forward_kinematics(arms_of(6).joints)
    forearm = joints.joints[:, 4] - joints.joints[:, 3]
    along = (forearm * joints.hand[:, :, 2]).sum(-1) / np.linalg.norm(forearm, axis=-1)
    assert along == pytest.approx(np.ones(6))


def test_drawn_cameras_are_those_of_the_data_sets():
    fixed, front, around = (arms_of(12, camera=camera) for camera in ("fixed", "front", "around"))
    assert (fixed.cameras == np.array(FIXED_CAMERA, np.float32)).all()
    for drawn, aside in ((front, 20.0), (around, 180.0)):
        assert len(np.unique(drawn.cameras[:, 0])) == 12 and drawn.cameras.dtype == np.float32
        assert (drawn.cameras[:, 2] >= CAMERA_HEIGHTS[0]).all() and (drawn.cameras[:, 2] <= CAMERA_HEIGHTS[1]).all()
        angles = np.degrees(np.arctan2(drawn.cameras[:, 0], -drawn.cameras[:, 1]))  # from the front
        assert aside / 2.0 < np.abs(angles).max() <= aside
        assert (fixed.joints == drawn.joints).all()
        assert (fixed.frames(image_size=16) != drawn.frames(image_size=16)).any()
