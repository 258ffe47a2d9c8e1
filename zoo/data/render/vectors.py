"""Vectors kept as three separate tensors, x, y and z.

The ray-caster works on hundreds of thousands of rays; three contiguous tensors are several times faster than one
tensor [..., 3]. Only operations that IEEE 754 rounds correctly (+, -, *, /, square root, comparison) appear here and
in the ray-caster: their results depend neither on the number of threads nor on how rays are cut into chunks, which is
what makes rendered bytes reproducible. Matrix products and trigonometric functions have no such guarantee.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Vector(NamedTuple):
    """A batch of vectors; the three tensors have shapes that broadcast with each other."""

    x: Tensor
    y: Tensor
    z: Tensor


def dot(a: Vector, b: Vector) -> Tensor:
    """Returns the inner product."""
    return a.x * b.x + a.y * b.y + a.z * b.z


def along(origin: Vector, direction: Vector, distance: Tensor) -> Vector:
    """Returns the point ``origin + distance * direction``."""
    return Vector(
        origin.x + distance * direction.x, origin.y + distance * direction.y, origin.z + distance * direction.z
    )


def difference(a: Vector, b: Vector) -> Vector:
    """Returns ``a - b``."""
    return Vector(a.x - b.x, a.y - b.y, a.z - b.z)


def unit(a: Vector) -> Vector:
    """Returns the vector of length 1 in the direction of ``a``."""
    length = dot(a, a).sqrt()
    return Vector(a.x / length, a.y / length, a.z / length)


def transform(matrix: Tensor, a: Vector) -> Vector:
    """Returns ``matrix @ a`` for a matrix of nine rows [9, ...], in row-major order."""
    m = matrix
    return Vector(dot(Vector(m[0], m[1], m[2]), a), dot(Vector(m[3], m[4], m[5]), a), dot(Vector(m[6], m[7], m[8]), a))


def transform_transposed(matrix: Tensor, a: Vector) -> Vector:
    """Returns ``matrix.T @ a`` for a matrix of nine rows [9, ...], in row-major order."""
    m = matrix
    return Vector(dot(Vector(m[0], m[3], m[6]), a), dot(Vector(m[1], m[4], m[7]), a), dot(Vector(m[2], m[5], m[8]), a))


def largest_stretch(matrix: Tensor) -> Tensor:
    """Returns the length of the longest row of a matrix of nine rows [9, ...], in row-major order."""
    rows = (Vector(matrix[first], matrix[first + 1], matrix[first + 2]) for first in (0, 3, 6))
    return torch.stack([dot(row, row) for row in rows]).amax(0).sqrt()
