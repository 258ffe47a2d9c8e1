"""Images on the sides of a box: their layout and their look-up by rays.

An image is a grey-level mask, ``FACE_SIZE`` pixels each way: 0 is the colour of the object, 255 its ink, and values
between a mixture. The sides come in the order of ``SIDES``, in the frame of the box. Images are upright on the
four side walls of a box as seen from outside, and on the top as seen from above with the +x side on the right.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.vectors import Vector

SIDES = ("+x", "+y", "-x", "-y", "top", "bottom")

FACE_SIZE = 64
NUM_LEVELS = 4
_SIZES = tuple(FACE_SIZE >> level for level in range(NUM_LEVELS))
_STARTS = tuple(sum(size**2 for size in _SIZES[:level]) for level in range(NUM_LEVELS))
FACE_TEXELS = sum(size**2 for size in _SIZES)


def face_texels(image: bytes) -> np.ndarray:
    """Returns an image and its coarser levels, finest first, row by row from the top: [FACE_TEXELS] uint8."""
    level = np.frombuffer(image, np.uint8).reshape(FACE_SIZE, FACE_SIZE).astype(np.int64)
    levels = [level]
    for _ in range(NUM_LEVELS - 1):
        side = level.shape[0] // 2
        level = (level.reshape(side, 2, side, 2).sum(axis=(1, 3)) + 2) // 4
        levels.append(level)
    return np.concatenate([level.ravel() for level in levels]).astype(np.uint8)


def _place_on_side(point: Vector, normal: Vector) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the side [P] that points in the frame of a box are on, and how far right and up there, -1 to 1."""
    flat, on_x = normal.z != 0, normal.x != 0
    side = torch.where(
        flat,
        torch.where(normal.z > 0, 4, 5),
        torch.where(on_x, torch.where(normal.x > 0, 0, 2), torch.where(normal.y > 0, 1, 3)),
    )
    right = torch.where(flat, point.x, torch.where(on_x, point.y * normal.x.sign(), -point.x * normal.y.sign()))
    up = torch.where(flat, point.y * normal.z.sign(), point.z)
    return side, right, up


def ink_amount(texels: Tensor, *, row: Tensor, point: Vector, normal: Vector, footprint: Tensor) -> Tensor:
    """Returns the amount of ink, 0 to 1, at points of boxes, [P].

    ``texels`` [R, len(SIDES) * FACE_TEXELS] uint8 are the images of R objects, ``row`` [P] int64 the object of each
    point. Point, normal (one component is 1 or -1, the others 0) and footprint [P], the width of the patch that one
    sample covers, are in the frame of the object, where a face is 2 wide.
    """
    side, right, up = _place_on_side(point, normal)
    level = torch.zeros_like(row)
    for finer in range(NUM_LEVELS - 1):
        level += footprint > (2.0 / FACE_SIZE) * 2.0**finer
    size = torch.tensor(_SIZES, device=row.device)[level]
    start = (row * len(SIDES) + side) * FACE_TEXELS + torch.tensor(_STARTS, device=row.device)[level]
    # Between the centres of four texels; beyond the outermost centres the image goes on as it is there.
    column = (right.add(1.0) * 0.5 * size - 0.5).clamp_min(0.0).minimum(size - 1.0)
    line = ((1.0 - up) * 0.5 * size - 0.5).clamp_min(0.0).minimum(size - 1.0)
    left, above = column.floor(), line.floor()
    beside, below = column - left, line - above
    left, above = left.long(), above.long()
    flat = texels.view(-1)
    rows = (start + above * size, start + (above + 1).minimum(size - 1) * size)
    columns = (left, (left + 1).minimum(size - 1))
    corners = [[flat[first + second].to(right.dtype) for second in columns] for first in rows]
    upper, lower = (pair[0] * (1.0 - beside) + pair[1] * beside for pair in corners)
    return (upper * (1.0 - below) + lower * below) * (1.0 / 255.0)
