"""Rooms that words can describe: two or three objects in named colours, seen from a ring.

After the data of Ramalho et al., Encoding Spatial Relations from Natural Language (SLIM), arXiv 1807.01670, 2018:
scenes of two or three solid objects, ten views, and a description from every viewpoint. No two objects of a scene have
one colour, so that a colour with a shape names exactly one of them. The objects stand nearer to the middle than in
``rooms_ring_camera``: the middle of each is in every image of the ring, though another object may hide it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from zoo.data.captions import CAPTION_LENGTH, encode_captions
from zoo.data.render.captions import PALETTE, paraphrases
from zoo.data.render.rooms import canonical, draw_room
from zoo.data.render.scene import Scene
from zoo.data.source import ExtraShape

FEWEST_OBJECTS = 2
OBJECT_REACH = 1.2

EXTRA_SHAPES: Mapping[str, ExtraShape] = MappingProxyType(
    {"captions": ExtraShape("uint8", (CAPTION_LENGTH,), per_view=True)}
)


def draw_captioned_room(rng: np.random.Generator) -> tuple[Scene, str]:
    """Draws a room and its canonical name."""
    scene = draw_room(rng, fewest=FEWEST_OBJECTS, reach=OBJECT_REACH, palette=tuple(PALETTE.values()))
    return scene, canonical(scene)


def draw_captions(rng: np.random.Generator, scene: Scene, cameras: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the captions of cameras [V, 5]: of the wordings of each view the first."""
    return {"captions": encode_captions([paraphrases(scene, camera=camera, num=1)[0] for camera in cameras])}
