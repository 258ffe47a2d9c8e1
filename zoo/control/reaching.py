"""Reaching: a robot arm of the data set ``jaco`` is moved until its hand is at the ball; batched over arms.

The place and size of the ball and, on request, camera and room (textures, lamp, colour of the ball) are drawn per episode as
``jaco`` draws them, and so are three of the nine joints, those that turn the foot, the upper arm and the forearm. These move: they place the hand, while the wrist, which is straight,
would only turn it, and the fingers, half closed, would only close it. The joints obey exactly (no masses, no contact): a step
adds the velocity times its duration, joint after joint, up to their limits. A turn after which the arm would be in the floor,
in its own column or farther out than ``jaco`` allows is not made, so that only this joint waits. The ball is not solid. All
arms of a batch begin and end together.

The reward is the reduction of the distance between the middle of the hand and that of the ball, metres, so that the return
of an episode is how much nearer the hand has come (Eslami et al. 2018, Science 360:1204, trained a simulated arm to reach).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
import torch

from zoo.data.render.jaco import (
    ALL_JOINT_RANGES,
    CAMERA_HEIGHTS,
    CAMERA_RADII,
    CANDIDATES,
    CURL,
    FREE,
    FRONT,
    FRONT_DIRECTIONS,
    JOINT_RANGES,
    LOOK_HEIGHT,
    NUM_FINGERS,
    SCALE,
    TARGET_GAP,
    ArmScene,
    build_arm,
    clearance,
    draw_cameras,
    draw_scene,
    forward_kinematics,
    is_possible,
)
from zoo.data.render.raycaster import render
from zoo.data.render.rooms import Ring
from zoo.data.render.scene import SceneObject, stack_scenes

Camera = Literal["fixed", "front", "around"]
RoomChoice = Literal["fixed", "drawn"]

MOVED_JOINTS = 3  # the first ones
STRAIGHT_WRIST = (0.0, 0.0, 0.0)  # radians: the hand points where the forearm does
HALF_CLOSED = sum(CURL) / 2.0
MAX_VELOCITY = math.radians(36.0)  # per second
STEP_SECONDS = 0.5
EPISODE_STEPS = 20
FIXED_CAMERA = Ring(sum(CAMERA_RADII) / 2.0, sum(CAMERA_HEIGHTS) / 2.0, LOOK_HEIGHT).camera(FRONT)
FIXED_ROOM_SEED = 7  # of the scene whose room, lamp and colour of the ball all episodes have in a fixed room
DIRECTIONS: Mapping[Camera, tuple[float, float]] = {"front": FRONT_DIRECTIONS, "around": FREE}  # radians

_LOW, _HIGH = np.array(JOINT_RANGES[:MOVED_JOINTS]).T
_STILL = np.tile([*STRAIGHT_WRIST, *(HALF_CLOSED,) * NUM_FINGERS], (CANDIDATES, 1))


class ReachingArms:
    """N arms with a ball each, whose hands move at given joint velocities.

    Attributes:
        joints: [N, 9] angles, radians; that of the foot within half a turn of zero.
        balls: [N, 3] centres of the balls, metres from the foot of the arm.
        cameras: [N, 5] float32, see ``zoo.data.camera``.
        step_count: steps since the last reset.
    """

    def __init__(self, num_arms: int, *, camera: Camera = "fixed", room: RoomChoice = "fixed") -> None:
        """Makes a batch that :meth:`reset` fills.

        ``camera`` is fixed at the front, or drawn per episode near the front or from all sides, as by the data sets
        ``jaco_front`` and ``jaco``; ``room`` is one for all episodes, or drawn per episode with its lamp and the colour of
        the ball.
        """
        self.camera = camera
        self.room = room
        self.joints = np.zeros((num_arms, len(ALL_JOINT_RANGES)))
        self.balls = np.zeros((num_arms, 3))
        self.cameras = np.tile(np.array(FIXED_CAMERA, np.float32), (num_arms, 1))
        self.step_count = 0
        self._scenes: list[ArmScene] = []

    @property
    def is_over(self) -> bool:
        """Whether the episodes have ended."""
        return self.step_count >= EPISODE_STEPS

    @property
    def distances(self) -> np.ndarray:
        """From the middle of the hand to that of the ball, [N] metres."""
        offset = forward_kinematics(self.joints).joints[:, -1] - self.balls
        return np.sqrt((offset * offset).sum(-1))

    def reset(self, generators: Sequence[np.random.Generator]) -> None:
        """Draws the scene of every arm from its own generator."""
        self._scenes = [_draw_start(rng) for rng in generators]
        if self.room == "fixed":
            self._scenes = [_in_fixed_room(scene) for scene in self._scenes]
        self.joints = np.array([scene.joints for scene in self._scenes])
        self.balls = np.array([scene.objects[0].centre for scene in self._scenes]) / SCALE
        if directions := DIRECTIONS.get(self.camera):
            drawn = [
                draw_cameras(rng, scene=scene, num_views=1, directions=directions)
                for rng, scene in zip(generators, self._scenes, strict=True)
            ]
            self.cameras = np.concatenate(drawn).astype(np.float32)
        self.step_count = 0

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Moves the arms at velocities [N, 3], -1 to 1 times ``MAX_VELOCITY``; returns the rewards [N], metres."""
        before = self.distances
        turns = MAX_VELOCITY * STEP_SECONDS * np.clip(actions, -1.0, 1.0)
        for joint in range(MOVED_JOINTS):
            moved = self.joints.copy()
            moved[:, joint] += turns[:, joint]
            moved[:, 0] = (moved[:, 0] + math.pi) % (2.0 * math.pi) - math.pi  # the foot turns without end
            moved[:, joint] = np.clip(moved[:, joint], _LOW[joint], _HIGH[joint])
            possible = is_possible(forward_kinematics(moved))
            self.joints = np.where(possible[:, None], moved, self.joints)
        self.step_count += 1
        return before - self.distances

    def frames(self, *, image_size: int) -> np.ndarray:
        """Renders the arms as their cameras see them, [N, H, W, 3] uint8."""
        moved = zip(self.joints, self._scenes, strict=True)
        scenes = [replace(scene, objects=(scene.objects[0], *_parts_of(joints))) for joints, scene in moved]
        cameras = torch.from_numpy(self.cameras)[:, None]
        return render(stack_scenes(scenes), cameras=cameras, image_size=image_size)[:, 0].numpy()


def _draw_start(rng: np.random.Generator) -> ArmScene:
    """Draws a scene, and in it an arm whose wrist is straight."""
    scene, _ = draw_scene(rng)
    assert isinstance(scene, ArmScene)
    ball = scene.objects[0]
    while True:
        joints = np.concatenate([_LOW + (_HIGH - _LOW) * rng.random((CANDIDATES, MOVED_JOINTS)), _STILL], axis=1)
        arms = forward_kinematics(joints)
        gap = clearance(arms, np.array(ball.centre) / SCALE) - ball.scale[0] / SCALE
        if len(possible := np.flatnonzero(is_possible(arms) & (gap >= TARGET_GAP))):
            return replace(scene, joints=tuple(joints[possible[0]].tolist()), reaching=False)


@cache
def _fixed_scene() -> ArmScene:
    """Returns the scene that gives a fixed room its looks."""
    return _draw_start(np.random.default_rng(FIXED_ROOM_SEED))


def _in_fixed_room(scene: ArmScene) -> ArmScene:
    """Returns a scene in the fixed room, with the lamp and the colour of the ball of that room."""
    fixed = _fixed_scene()
    ball = replace(scene.objects[0], colour=fixed.objects[0].colour)
    return replace(scene, objects=(ball, *scene.objects[1:]), light=fixed.light, room=fixed.room)


def _parts_of(joints: np.ndarray) -> tuple[SceneObject, ...]:
    """Returns the parts of an arm with joint angles [9]."""
    return build_arm(forward_kinematics(joints[None]))
