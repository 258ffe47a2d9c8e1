"""A Jaco robot arm in the middle of a room with a coloured target, seen from all sides.

The data set ``jaco`` of Eslami et al., Science 360:1204, 2018: an arm with nine joints at random angles, one target
object, the textured room of the other sets, 11 images from cameras round it. There the arm was simulated;
here it is built of cylinders and spheres along the bones of ``zoo.data.render.jaco_arm``. In half of the scenes the
arm reaches towards the target.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from zoo.data.render.jaco_arm import LARGEST_CURL, NUM_FINGERS, Skeleton, distance_to_bones, forward_kinematics
from zoo.data.render.rng import uniform
from zoo.data.render.rooms import KEY_CELL, KEY_HUES, Ring, draw_light, draw_walls
from zoo.data.render.scene import Quaternion, Room, Scene, SceneObject, Triple

SCALE = 2.0  # scene units for a metre of the arm

# Ranges of the six joints of the arm, radians. The first and the last three turn freely; the second and third are
# limited by the arm itself (Kinova gives 47 and 19 degrees from folded) and kept from its extremes.
JOINT_RANGES = (
    (-math.pi, math.pi),
    (math.radians(105.0), math.radians(255.0)),
    (math.radians(50.0), math.radians(310.0)),
    (-math.pi, math.pi),
    (-math.pi, math.pi),
    (-math.pi, math.pi),
)
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

SHELL, RING, NAIL = (0.84, 0.84, 0.86), (0.20, 0.20, 0.23), (0.34, 0.34, 0.38)

KEY_ANGLE = math.radians(30.0)  # divides a right angle, by which rooms may be turned


@dataclass(frozen=True)
class Reach:
    """An arm and a target.

    Attributes:
        joints: nine angles, radians: six of the arm, three curls of fingers.
        target: a sphere on the floor, scene units.
        room: round them.
        reaching: whether the arm was chosen for its hand to be near the target.
    """

    joints: tuple[float, ...]
    target: SceneObject
    room: Room
    reaching: bool


def is_possible(arms: Skeleton) -> np.ndarray:
    """Which arms stay above the floor, near their foot and clear of their own column, [N] bool."""
    tips = arms.fingers.reshape(len(arms.joints), -1, 3)
    moving = np.concatenate([arms.joints[:, 2:], tips], axis=1)
    far = np.concatenate([arms.joints[:, 4:], tips], axis=1)
    foot, shoulder = arms.joints[:, None, 0], arms.joints[:, None, 1]
    aside = np.sqrt((moving[..., :2] ** 2).sum(-1))
    return (
        (moving[..., 2].min(1) >= ABOVE_FLOOR)
        & (moving[..., 2].max(1) <= HIGHEST)
        & (aside.max(1) <= LARGEST_REACH)
        & (distance_to_bones(foot, shoulder, far).min(1) >= CLEAR_OF_COLUMN)
        & (distance_to_bones(shoulder, arms.joints[:, None, 2], far[:, 1:]).min(1) >= CLEAR_OF_COLUMN)
    )


def clearance(arms: Skeleton, point: np.ndarray) -> np.ndarray:
    """Returns how far a point [3] is from the bones of arms, [N] metres."""
    limbs = distance_to_bones(arms.joints[:, :-1], arms.joints[:, 1:], point).min(1) - BONE_RADIUS
    fingers = distance_to_bones(arms.fingers[:, :, :-1], arms.fingers[:, :, 1:], point).min((1, 2))
    return np.minimum(limbs, fingers)


def _draw_reach(rng: np.random.Generator) -> Reach:
    room = draw_walls(rng, wall_height=TALL_WALL)
    radius = uniform(rng, *TARGET_RADII)
    away, around = uniform(rng, *TARGET_PLACES), uniform(rng, -math.pi, math.pi)
    target = np.array([away * math.cos(around), away * math.sin(around), radius])
    colour = colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.75, 1.0), uniform(rng, 0.80, 1.0))
    reaching = rng.random() < REACHING_SHARE
    low, high = np.array([*JOINT_RANGES, *((0.0, LARGEST_CURL),) * NUM_FINGERS]).T
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
    return Reach(tuple(joints[chosen].tolist()), _ball(target, radius, colour), room, reaching)


def tilt_towards(direction: Triple) -> Quaternion:
    """Returns the shortest rotation that takes the z axis into a direction of any length but zero."""
    x, y, z = direction
    length = math.sqrt(x * x + y * y + z * z)
    if length == 0.0:
        raise ValueError("direction: has length 0")
    # Half the angle between the two lies at (1 + z, -y, x), which is nothing straight down.
    w = 1.0 + z / length
    size = math.sqrt(w * w + (x * x + y * y) / (length * length))
    if size < 1e-9:
        return (0.0, 1.0, 0.0, 0.0)
    return (w / size, -y / length / size, x / length / size, 0.0)


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


def canonical(reach: Reach) -> str:
    """Names a scene by its textures, the rough angles of the larger joints, and the target's rough place and hue.

    As for rooms, a quarter turn of everything gives the same name; it adds a right angle to the first joint, which
    Kinova counts clockwise.
    """
    hue = int(colorsys.rgb_to_hsv(*reach.target.colour)[0] * KEY_HUES)
    first, *others = (math.floor(angle / KEY_ANGLE) for angle in reach.joints[:5])
    quarter = round(math.pi / 2.0 / KEY_ANGLE)
    column, row = (math.floor(place / KEY_CELL) for place in reach.target.centre[:2])
    turned = []
    for _ in range(4):
        turned.append((first % (4 * quarter), column, row))
        first, column, row = first - quarter, -row - 1, column
    return str((reach.room.wall, reach.room.floor, min(turned), others, hue))


def draw_scene(rng: np.random.Generator) -> tuple[Scene, str]:
    """Draws a scene and its canonical name."""
    reach = _draw_reach(rng)
    arm = forward_kinematics(np.array([reach.joints]))
    scene = Scene((reach.target, *build_arm(arm)), draw_light(rng, lowest=3.2), reach.room)
    return scene, canonical(reach)


def draw_cameras(rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray:
    """Draws cameras [num_views, 5] round the arm, looking at its middle."""
    cameras = []
    for _ in range(num_views):
        around, radius, height = (uniform(rng, *span) for span in ((-math.pi, math.pi), CAMERA_RADII, CAMERA_HEIGHTS))
        cameras.append(Ring(radius, height, LOOK_HEIGHT).camera(around))
    return np.array(cameras)
