"""A Jaco robot arm in the middle of a room with a coloured target, seen from all sides.

The data set ``jaco`` of Eslami et al., Science 360:1204, 2018: an arm with nine joints at random angles, one target
object, the textured room of the other sets, 11 images from cameras round it. There the arm was simulated;
here it is built of cylinders and spheres along its bones. In half of the scenes the arm reaches towards the target.

The chain of its joints is that of the "JACO2 6DOF Advanced Specification Guide" of Kinova in the notation of Denavit
and Hartenberg: from one joint to the next a turn about z, a shift along z, a shift along x and a turn about x. Lengths
are in metres and rounded as in that guide; the hand is simplified (two straight bones per finger, all driven by one
joint). Angles are Kinova's own, in radians: with the second and third joint at pi the arm points straight up.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zoo.data.render.rng import uniform
from zoo.data.render.rooms import KEY_CELL, KEY_HUES, Ring, draw_light, draw_walls
from zoo.data.render.scene import Room, Scene, SceneObject, Triple, tilt_towards

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

SCALE = 2.0  # scene units for a metre of the arm

# Ranges of the six joints of the arm, radians. The first and the last three turn freely; the second and third are
# limited by the arm itself (Kinova gives 47 and 19 degrees from folded) and kept from its extremes.
FREE = (-math.pi, math.pi)
SHOULDER, ELBOW = (math.radians(105.0), math.radians(255.0)), (math.radians(50.0), math.radians(310.0))
JOINT_RANGES = (FREE, SHOULDER, ELBOW, FREE, FREE, FREE)
CURL = (0.0, LARGEST_CURL)
ALL_JOINT_RANGES = (*JOINT_RANGES, *(CURL,) * NUM_FINGERS)
CANDIDATES = 384  # arms drawn at once, of which one is taken

# Metres.
BONE_RADIUS = 0.040
ABOVE_FLOOR = 0.05  # everything beyond the shoulder
CLEAR_OF_COLUMN = 0.13  # the hand, its fingers and the wrist
LARGEST_REACH = 0.86  # sideways from the foot
HIGHEST = 0.98

TARGET_RADII = (0.075, 0.105)
TARGET_PLACES = (0.34, 0.72)  # from the foot
TARGET_GAP = 0.02  # between the target and the arm
REACHING_SHARE = 0.5

# Scene units. The walls are higher than the cameras, which therefore never look over them.
TALL_WALL = 2.0
CAMERA_RADII = (2.9, 3.3)
CAMERA_HEIGHTS = (0.8, 1.95)
LOOK_HEIGHT = 0.70
FRONT = -math.pi / 2.0
FRONT_DIRECTIONS = (FRONT - math.radians(20.0), FRONT + math.radians(20.0))

SHELL, RING, NAIL = (0.84, 0.84, 0.86), (0.20, 0.20, 0.23), (0.34, 0.34, 0.38)

KEY_ANGLE = math.radians(30.0)  # divides a right angle, by which rooms may be turned


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
    rows = (
        (cosine, -sine * cosine_twist, sine * sine_twist),
        (sine, cosine * cosine_twist, -cosine * sine_twist),
        (zero, zero + sine_twist, zero + cosine_twist),
    )
    turn = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
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


@dataclass(frozen=True)
class ArmScene(Scene):
    """A room with an arm and, as its first object, the target."""

    joints: tuple[float, ...] = ()  # nine angles, radians: six of the arm, three curls of fingers
    reaching: bool = False  # whether the arm was chosen for its hand to be near the target


def is_possible(arms: Skeleton) -> np.ndarray:
    """Which arms stay above the floor, near their foot and clear of their own column, [N] bool."""
    tips = arms.fingers.reshape(len(arms.joints), -1, 3)
    moving, far = (np.concatenate([arms.joints[:, first:], tips], axis=1) for first in (2, 4))
    foot, shoulder, elbow = (arms.joints[:, None, joint] for joint in range(3))
    aside = np.sqrt((moving[..., :2] ** 2).sum(-1))
    return (
        (moving[..., 2].min(1) >= ABOVE_FLOOR)
        & (moving[..., 2].max(1) <= HIGHEST)
        & (aside.max(1) <= LARGEST_REACH)
        & (distance_to_bones(foot, shoulder, far).min(1) >= CLEAR_OF_COLUMN)
        & (distance_to_bones(shoulder, elbow, far[:, 1:]).min(1) >= CLEAR_OF_COLUMN)
    )


def clearance(arms: Skeleton, point: np.ndarray) -> np.ndarray:
    """Returns how far a point [3] is from the bones of arms, [N] metres."""
    limbs = distance_to_bones(arms.joints[:, :-1], arms.joints[:, 1:], point).min(1) - BONE_RADIUS
    fingers = distance_to_bones(arms.fingers[:, :, :-1], arms.fingers[:, :, 1:], point).min((1, 2))
    return np.minimum(limbs, fingers)


def draw_arm(rng: np.random.Generator) -> ArmScene:
    """Draws the room, the target, the arm and the light."""
    room = draw_walls(rng, wall_height=TALL_WALL)
    radius = uniform(rng, *TARGET_RADII)
    away, around = uniform(rng, *TARGET_PLACES), uniform(rng, -math.pi, math.pi)
    target = np.array([away * math.cos(around), away * math.sin(around), radius])
    colour = colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.75, 1.0), uniform(rng, 0.80, 1.0))
    reaching = rng.random() < REACHING_SHARE
    low, high = np.array(ALL_JOINT_RANGES).T
    while True:
        joints = low + (high - low) * rng.random((CANDIDATES, len(low)))
        arms = forward_kinematics(joints)
        gap = clearance(arms, target) - radius
        possible = np.flatnonzero(is_possible(arms) & (gap >= TARGET_GAP))
        if len(possible):
            break
    if reaching:
        offset = arms.joints[possible, -1] - target
        # As near as possible, from above rather than from the side.
        chosen = possible[np.argmin(np.sqrt((offset * offset).sum(-1)) + 0.1 * arms.hand[possible, 2, 2])]
    else:
        chosen = possible[0]
    light = draw_light(rng, lowest=3.2)
    ball = _ball(target, radius, colour)
    return build_scene(tuple(joints[chosen].tolist()), target=ball, light=light, room=room, reaching=reaching)


def _ball(centre: np.ndarray, radius: float, colour: Triple) -> SceneObject:
    size = SCALE * radius
    return SceneObject("sphere", tuple((SCALE * centre).tolist()), (size, size, size), 0.0, colour)


def _rod(start: np.ndarray, end: np.ndarray, radius: float, colour: Triple) -> SceneObject:
    """Returns a cylinder from one point to another; all in metres."""
    direction = tuple((end - start).tolist())
    scale = (SCALE * radius, SCALE * radius, SCALE * math.hypot(*direction) / 2.0)
    middle = tuple((SCALE * (start + end) / 2.0).tolist())
    return SceneObject("cylinder", middle, scale, 0.0, colour, tilt=tilt_towards(direction))


def build_arm(arm: Skeleton) -> tuple[SceneObject, ...]:
    """Returns the parts of the only arm of a skeleton, its foot in the middle of the floor."""
    foot, shoulder, elbow, beside, first_bend, second_bend, hand = arm.joints[0]
    palm, palm_end = hand - 0.075 * arm.hand[0, :, 2], hand - 0.040 * arm.hand[0, :, 2]
    parts = [
        _rod(foot, foot + 0.10 * (shoulder - foot), 0.085, RING),
        _rod(foot, shoulder, 0.048, SHELL),
        _ball(shoulder, 0.060, RING),
        _rod(shoulder, elbow, 0.042, SHELL),
        _ball(elbow + 0.5 * (beside - elbow), 0.055, RING),
        _rod(beside, first_bend, 0.036, SHELL),
        _ball(first_bend, 0.043, RING),
        _rod(first_bend, second_bend, 0.034, SHELL),
        _ball(second_bend, 0.043, RING),
        _rod(second_bend, palm, 0.034, SHELL),
        _rod(palm, palm_end, 0.052, RING),
    ]
    for knuckle, middle, tip in arm.fingers[0]:
        parts += [
            _rod(knuckle, middle, 0.018, NAIL),
            _ball(middle, 0.019, NAIL),
            _rod(middle, tip, 0.016, SHELL),
            _ball(tip, 0.017, NAIL),
        ]
    return tuple(parts)


def canonical(scene: ArmScene) -> str:
    """Names a scene by its textures, the rough angles of the larger joints, and the target's rough place and hue.

    As for rooms, a quarter turn of everything gives the same name; it adds a right angle to the first joint, which
    Kinova counts clockwise.
    """
    assert scene.room is not None
    target = scene.objects[0]
    hue = int(colorsys.rgb_to_hsv(*target.colour)[0] * KEY_HUES)
    first, *others = (math.floor(angle / KEY_ANGLE) for angle in scene.joints[:5])
    quarter = round(math.pi / 2.0 / KEY_ANGLE)
    column, row = (math.floor(place / KEY_CELL) for place in target.centre[:2])
    turned = []
    for _ in range(4):
        turned.append((first % (4 * quarter), column, row))
        first, column, row = first - quarter, -row - 1, column
    return str((scene.room.wall, scene.room.floor, min(turned), others, hue))


def build_scene(
    joints: tuple[float, ...], *, target: SceneObject, light: Triple, room: Room, reaching: bool
) -> ArmScene:
    """Returns the scene of an arm with nine joint angles, radians, and its target, a sphere."""
    arm = forward_kinematics(np.array([joints]))
    return ArmScene((target, *build_arm(arm)), light, room, joints, reaching)


def draw_scene(rng: np.random.Generator) -> tuple[Scene, str]:
    """Draws a scene and its canonical name."""
    scene = draw_arm(rng)
    return scene, canonical(scene)


def draw_cameras(
    rng: np.random.Generator, *, scene: Scene, num_views: int, directions: tuple[float, float] = FREE
) -> np.ndarray:
    """Draws cameras [num_views, 5] round the arm, looking at its middle, from a range of directions in radians."""
    cameras = []
    for _ in range(num_views):
        around, radius, height = (uniform(rng, *span) for span in (directions, CAMERA_RADII, CAMERA_HEIGHTS))
        cameras.append(Ring(radius, height, LOOK_HEIGHT).camera(around))
    return np.array(cameras)
