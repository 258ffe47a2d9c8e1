"""Vectors kept as three separate tensors, x, y and z.

The ray-caster works on hundreds of thousands of rays; three contiguous tensors are several times faster than one
tensor [..., 3]. Only operations that IEEE 754 rounds correctly (+, -, *, /, square root, comparison) appear here and
in the ray-caster: their results depend neither on the number of threads nor on how rays are cut into chunks, which is
what makes rendered bytes reproducible. Matrix products and trigonometric functions have no such guarantee.

A matrix is nine tensors [9, ...], in row-major order.
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

    def at(self, index: Tensor) -> Vector:
        """Returns the vectors at indices along the first axis."""
        return Vector(self.x[index], self.y[index], self.z[index])

    def flatten(self) -> Vector:
        """Returns the vectors in one row."""
        return Vector(self.x.flatten(), self.y.flatten(), self.z.flatten())


def off_zero(values: Tensor, smallest: float) -> Tensor:
    """Returns components of directions whose size is at least ``smallest``, so that no 0 * inf arises."""
    return torch.where(values.abs() < smallest, smallest, values)


def dot(a: Vector, b: Vector) -> Tensor:
    """Returns the inner product."""
    return a.x * b.x + a.y * b.y + a.z * b.z


def along(origin: Vector, direction: Vector, distance: Tensor) -> Vector:
    """Returns the point ``origin + distance * direction``."""
    return Vector(*(start + distance * way for start, way in zip(origin, direction, strict=True)))


def difference(a: Vector, b: Vector) -> Vector:
    """Returns ``a - b``."""
    return Vector(a.x - b.x, a.y - b.y, a.z - b.z)


def unit(a: Vector) -> Vector:
    """Returns the vector of length 1 in the direction of ``a``."""
    length = dot(a, a).sqrt()
    return Vector(a.x / length, a.y / length, a.z / length)


def transform(matrix: Tensor, a: Vector) -> Vector:
    """Returns ``matrix @ a``."""
    return Vector(*(dot(Vector(*matrix[first : first + 3]), a) for first in (0, 3, 6)))


def transform_transposed(matrix: Tensor, a: Vector) -> Vector:
    """Returns ``matrix.T @ a``."""
    return Vector(*(dot(Vector(*matrix[first::3]), a) for first in (0, 1, 2)))


def largest_stretch(matrix: Tensor) -> Tensor:
    """Returns the length of the longest row of a matrix."""
    rows = (Vector(*matrix[first : first + 3]) for first in (0, 3, 6))
    return torch.stack([dot(row, row) for row in rows]).amax(0).sqrt()
