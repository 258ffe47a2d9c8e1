"""Turns in space as unit quaternions (w, x, y, z), on the host in double precision."""

from __future__ import annotations

import math

Quaternion = tuple[float, float, float, float]
Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]


def matrix_of(turn: Quaternion) -> Matrix:
    """Returns the rows of the rotation matrix of a unit quaternion."""
    w, x, y, z = turn
    return (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    )


def tilt_towards(direction: Triple) -> Quaternion:
    """Returns the shortest turn that takes the z axis into a direction of any length but zero."""
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
