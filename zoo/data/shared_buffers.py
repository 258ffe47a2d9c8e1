"""Room for batches in memory that processes share: worker processes write into it, the training process reads.

Sent one by one, every tensor of a batch would cost a shared file of its own, its descriptor's way through a socket and
fresh pages; that takes longer than reading the images.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch

ALIGNMENT = 64  # bytes; a line of the cache


class _Field(NamedTuple):
    dtype: torch.dtype
    shape: tuple[int, ...]  # of one view or of one scene
    per_view: bool


class SlotLayout:
    """How a batch lies in a slot: the number of the slot's content, then field after field.

    Attributes:
        num_bytes: of a slot.
    """

    def __init__(self, source: SceneSource, *, num_scenes: int, max_views: int) -> None:
        """Lays out batches of ``num_scenes`` scenes of the source with ``max_views`` views or fewer."""
        size = source.image_size
        self._num_scenes = num_scenes
        self._fields = {
            "scene": _Field(torch.int64, (), per_view=False),
            "key": _Field(torch.int64, (), per_view=False),
            "cameras": _Field(torch.float32, (CAMERA_WIDTH,), per_view=True),
            "frames": _Field(torch.uint8, (size, size, 3), per_view=True),
        }
        self._extras = {
            name: _Field(getattr(torch, extra.dtype), extra.shape, extra.per_view)
            for name, extra in source.extras.items()
        }
        fields = (*self._fields.values(), *self._extras.values())
        self.num_bytes = ALIGNMENT + sum(self._room(field, max_views) for field in fields)

    def _room(self, field: _Field, num_views: int) -> int:
        count = self._num_scenes * (num_views if field.per_view else 1) * math.prod(field.shape)
        return -(-count * field.dtype.itemsize // ALIGNMENT) * ALIGNMENT

    def number(self, slot: Tensor) -> Tensor:
        """Returns the place, [1] int64, where it is noted which batch lies in a slot."""
        return slot[:8].view(torch.int64)

    def batch(self, slot: Tensor, *, num_views: int) -> SceneBatch:
        """Returns the places of a batch in a slot [num_bytes] uint8, to write into or to read from."""
        offset = ALIGNMENT
        places: dict[str, Tensor] = {}
        for name, field in (*self._fields.items(), *self._extras.items()):
            shape = (self._num_scenes, *((num_views,) if field.per_view else ()), *field.shape)
            num_bytes = math.prod(shape) * field.dtype.itemsize
            places[name] = slot[offset : offset + num_bytes].view(field.dtype).view(shape)
            offset += self._room(field, num_views)
        extras = {name: places.pop(name) for name in self._extras}
        return SceneBatch(**places, extras=extras)
