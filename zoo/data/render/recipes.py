"""The built-in scene sets: how a scene is drawn, to which split it belongs, and its pictures.

A scene is a pure function of (recipe, version, seed, split, index): how scenes are cut into batches and how many
processes render them changes nothing, nor does the device beyond rounding.

The splits are disjoint by construction. Every scene has a canonical name (its content without what does not matter,
see ``canonical`` of each recipe); the hash of the name, which no seed enters, says to which split the content belongs,
and a scene is drawn again until it belongs to the split that it is wanted for. So nothing seen in training can appear
in validation or test, whatever the seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.render import rooms, shepard_metzler
from zoo.data.render.chance import scene_generator, stable_hash
from zoo.data.render.raycaster import render
from zoo.data.render.scene import Scene, stack_scenes
from zoo.data.source import Split

NUM_BUCKETS = 100
BUCKETS: Mapping[Split, range] = MappingProxyType(
    {"train": range(0, 80), "validation": range(80, 90), "test": range(90, 100)}
)


class DrawnScene(NamedTuple):
    """A scene before it is rendered."""

    scene: Scene
    name: str  # canonical: equal for contents that count as the same
    cameras: np.ndarray  # [V, 5] float32


class Rendering(NamedTuple):
    """Rendered scenes, B of them with V views each."""

    frames: Tensor  # [B, V, H, W, 3] uint8
    cameras: Tensor  # [B, V, 5] float32, on the host
    scenes: tuple[Scene, ...]  # what the pictures show


@dataclass(frozen=True)
class Recipe:
    """How the scenes of a built-in data set are made.

    Attributes:
        name: of the data set.
        version: raised whenever the same seed gives other bytes than before.
        num_views: pictures of every scene.
        description: one line.
        draw_scene: draws a scene and its canonical name.
        draw_cameras: draws that many cameras, [V, 5].
    """

    name: str
    version: int
    num_views: int
    description: str
    draw_scene: Callable[[np.random.Generator], tuple[Scene, str]]
    draw_cameras: Callable[..., np.ndarray]

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws scene ``index`` of a split."""
        rng = scene_generator(recipe=self.name, version=self.version, seed=seed, split=split, index=index)
        while True:
            scene, name = self.draw_scene(rng)
            if stable_hash(name) % NUM_BUCKETS in BUCKETS[split]:
                break
        return DrawnScene(scene, name, self.draw_cameras(rng, num_views=self.num_views).astype(np.float32))

    def render(
        self,
        *,
        seed: int,
        scene_indices: Sequence[int],
        split: Split,
        image_size: int,
        device: torch.device | str = "cpu",
        samples_per_side: int = 2,
    ) -> Rendering:
        """Renders scenes of a split.

        Args:
            seed: of the data set.
            scene_indices: which scenes, B of them; counted from 0.
            split: the split they belong to.
            image_size: height and width in pixels.
            device: where to render.
            samples_per_side: a pixel is the mean of the square of this many rays.
        """
        drawn = [self.draw(seed=seed, split=split, index=int(index)) for index in scene_indices]
        scenes = tuple(item.scene for item in drawn)
        cameras = torch.from_numpy(np.stack([item.cameras for item in drawn]))
        frames = render(
            stack_scenes(scenes, device=device),
            cameras=cameras,
            image_size=image_size,
            samples_per_side=samples_per_side,
        )
        return Rendering(frames, cameras, scenes)


def _draw_room(rng: np.random.Generator) -> tuple[Scene, str]:
    scene = rooms.draw_room(rng)
    return scene, rooms.canonical(scene)


def _draw_blocks(rng: np.random.Generator, *, num_parts: int) -> tuple[Scene, str]:
    blocks = shepard_metzler.draw_blocks(rng, num_parts=num_parts)
    return shepard_metzler.build(blocks), shepard_metzler.canonical(blocks)


def _shepard_metzler(num_parts: int) -> Recipe:
    return Recipe(
        name=f"shepard_metzler_{num_parts}_parts",
        version=1,
        num_views=15,
        description=f"objects of {num_parts} coloured blocks, seen from a sphere round them",
        draw_scene=partial(_draw_blocks, num_parts=num_parts),
        draw_cameras=shepard_metzler.draw_cameras,
    )


_ROOMS_RING_CAMERA = Recipe(
    name="rooms_ring_camera",
    version=1,
    num_views=10,
    description="one to three solid objects in a textured room, seen from a ring round its middle",
    draw_scene=_draw_room,
    draw_cameras=rooms.draw_ring_cameras,
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (_ROOMS_RING_CAMERA, _shepard_metzler(5), _shepard_metzler(7))}
)
