"""The kinematics of a Kinova Jaco arm: six joints of the arm and one of each of its three fingers.

The chain is that of the "JACO2 6DOF Advanced Specification Guide" of Kinova in the notation of Denavit and Hartenberg:
from one joint to the next a turn about z, a shift along z, a shift along x and a turn about x. Lengths are in metres
and rounded as in that guide; the hand is simplified (two straight bones per finger, all driven by one joint).

Angles of the joints are Kinova's own, in radians: with the second and third at pi the arm points straight up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

NUM_JOINTS = 9
NUM_ARM_JOINTS = 6
NUM_FINGERS = 3

BASE_HEIGHT = 0.2755  # D1: floor to shoulder
UPPER_ARM = 0.4100  # D2: shoulder to elbow
FOREARM = 0.2073  # D3: elbow to the first bend of the wrist
WRIST = 0.0741  # D4 = D5: each of the two curved parts of the wrist
HAND = 0.1600  # D6: last bend to the middle of the hand
ELBOW_OFFSET = 0.0098  # e2

# The wrist bends by 60 degrees; a curved part of length L reaches L / (2 cos 30) along either axis.
BEND = math.radians(60.0)
CURVED = WRIST / (2.0 * math.cos(BEND / 2.0))

# For each joint: sign and offset of the angle about z, shift along z, shift along x, turn about x.
CHAIN = (
    (-1.0, 0.0, BASE_HEIGHT, 0.0, math.pi / 2.0),
    (1.0, -math.pi / 2.0, 0.0, UPPER_ARM, math.pi),
    (1.0, math.pi / 2.0, -ELBOW_OFFSET, 0.0, math.pi / 2.0),
    (1.0, 0.0, -(FOREARM + CURVED), 0.0, BEND),
    (1.0, -math.pi, -2.0 * CURVED, 0.0, BEND),
    (1.0, math.pi / 2.0, -(CURVED + HAND), 0.0, math.pi),
)

# Fingers lie round the axis of the hand, the thumb opposite to the other two, and bend towards it.
FINGER_DIRECTIONS = (0.0, math.radians(150.0), math.radians(210.0))
KNUCKLE_BEHIND = 0.060  # of the middle of the hand
KNUCKLE_ASIDE = 0.034
FINGER_BONES = (0.060, 0.050)
OPEN_ANGLE = math.radians(32.0)  # between an open finger and the axis of the hand
SECOND_BEND = 0.7  # by how much the second bone bends more than the first, for each radian
LARGEST_CURL = 1.1  # radians


class Skeleton(NamedTuple):
    """Where the parts of N arms are, metres; the origin is on the floor under the first joint."""

    joints: np.ndarray  # [N, 7, 3]: foot, shoulder, elbow, elbow beside its axis, two bends of the wrist, hand
    hand: np.ndarray  # [N, 3, 3]: columns are the axes of the hand; the third points away from the arm
    fingers: np.ndarray  # [N, 3, 3, 3]: of each finger its knuckle, its middle joint and its tip


def _step(angle: np.ndarray, *, along_z: float, along_x: float, twist: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the turn [N, 3, 3] and the shift [N, 3] from one frame to the next."""
    cosine, sine = np.cos(angle), np.sin(angle)
    cosine_twist, sine_twist = math.cos(twist), math.sin(twist)
    zero = np.zeros_like(angle)
    turn = np.stack(
        [
            np.stack([cosine, -sine * cosine_twist, sine * sine_twist], axis=-1),
            np.stack([sine, cosine * cosine_twist, -cosine * sine_twist], axis=-1),
            np.stack([zero, zero + sine_twist, zero + cosine_twist], axis=-1),
        ],
        axis=-2,
    )
    return turn, np.stack([along_x * cosine, along_x * sine, zero + along_z], axis=-1)


def _times(turn: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Multiplies matrices [N, 3, 3] by [N, 3, 3] or [N, 3], sum by sum: the same numbers on every machine."""
    if other.ndim == turn.ndim:
        return (turn[..., :, :, None] * other[..., None, :, :]).sum(-2)
    return (turn * other[..., None, :]).sum(-1)


def forward_kinematics(angles: np.ndarray) -> Skeleton:
    """Returns the skeletons of arms with joint angles [N, 9], radians: six of the arm, three curls of fingers."""
    count = len(angles)
    turn = np.broadcast_to(np.eye(3), (count, 3, 3))
    place = np.zeros((count, 3))
    joints = [place]
    for angle, (sign, offset, along_z, along_x, twist) in zip(angles.T[:NUM_ARM_JOINTS], CHAIN, strict=True):
        onward, shift = _step(sign * angle + offset, along_z=along_z, along_x=along_x, twist=twist)
        place = place + _times(turn, shift)
        turn = _times(turn, onward)
        joints.append(place)
    fingers = []
    axis = turn[..., 2]
    for around, curl in zip(FINGER_DIRECTIONS, angles.T[NUM_ARM_JOINTS:], strict=True):
        outward = turn[..., 0] * math.cos(around) + turn[..., 1] * math.sin(around)
        bone = place - KNUCKLE_BEHIND * axis + KNUCKLE_ASIDE * outward
        points = [bone]
        for length, bend in zip(FINGER_BONES, (curl, (1.0 + SECOND_BEND) * curl), strict=True):
            angle = (OPEN_ANGLE - bend)[:, None]
            bone = bone + length * (np.cos(angle) * axis + np.sin(angle) * outward)
            points.append(bone)
        fingers.append(np.stack(points, axis=1))
    return Skeleton(np.stack(joints, axis=1), turn, np.stack(fingers, axis=1))


def distance_to_bones(starts: np.ndarray, ends: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns the distances [...] of points from straight bones, all [..., 3]."""
    bone, offset = ends - starts, points - starts
    square = (bone * bone).sum(-1)
    share = ((offset * bone).sum(-1) / np.maximum(square, 1e-12)).clip(0.0, 1.0)
    gap = offset - share[..., None] * bone
    return np.sqrt((gap * gap).sum(-1))
