"""The built-in data sets by name, and how those are made that the ray-caster draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, Rendering
from zoo.data.completion import COMPLETIONS
from zoo.data.functions import FUNCTIONS
from zoo.data.render import captioned_rooms, digit_cube, free_camera, jaco, printed_cube, rooms, shepard_metzler
from zoo.data.render.mazes import MAZES
from zoo.data.render.raycaster import render
from zoo.data.render.scene import Scene, stack_scenes
from zoo.data.render.terrain import TERRAIN
from zoo.data.source import ExtraShape, Split


class DrawnScene(NamedTuple):
    """A scene before it is rendered."""

    scene: Scene
    name: str  # canonical: equal for contents that count as the same
    cameras: np.ndarray  # [V, 5] float32
    extras: Mapping[str, np.ndarray]  # name -> [V, ...] of views or [...] of the scene


ExtraShapes = Mapping[str, ExtraShape]


class DrawCameras(Protocol):
    """Draws cameras [num_views, 5] of a scene."""

    def __call__(self, rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray: ...  # noqa: D102


def _ring_cameras(rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray:
    return rooms.draw_ring_cameras(rng, num_views=num_views)


def _sphere_cameras(rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray:
    return shepard_metzler.draw_cameras(rng, num_views=num_views)


def _no_extras(rng: np.random.Generator, scene: Scene, cameras: np.ndarray) -> dict[str, np.ndarray]:
    return {}


@dataclass(frozen=True)
class Recipe(BuiltIn):
    """A data set of scenes made of solid objects, which the ray-caster draws.

    Attributes:
        draw_scene: draws a scene and its canonical name.
        draw_cameras: draws ``num_views`` cameras of a scene, [V, 5].
        draw_extras: draws what else is known of a scene with its cameras.
        extra_shapes: the types and shapes of that.
    """

    draw_scene: Callable[[np.random.Generator], tuple[Scene, str]]
    draw_cameras: DrawCameras
    draw_extras: Callable[[np.random.Generator, Scene, np.ndarray], Mapping[str, np.ndarray]] = _no_extras
    extra_shapes: ExtraShapes = field(default_factory=lambda: MappingProxyType({}))

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of captions, labels and the like."""
        return self.extra_shapes

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws scene ``index`` of a split."""
        scene, name, rng = self.draw_content(self.draw_scene, seed=seed, split=split, index=index)
        cameras = self.draw_cameras(rng, scene=scene, num_views=self.num_views).astype(np.float32)
        return DrawnScene(scene, name, cameras, self.draw_extras(rng, scene, cameras))

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
        """Renders scenes of a split; see :meth:`zoo.data.built_in.BuiltIn.render`."""
        drawn = [self.draw(seed=seed, split=split, index=int(index)) for index in scene_indices]
        scenes = tuple(item.scene for item in drawn)
        cameras = torch.from_numpy(np.stack([item.cameras for item in drawn]))
        frames = render(
            stack_scenes(scenes, device=device),
            cameras=cameras,
            image_size=image_size,
            samples_per_side=samples_per_side,
        )
        extras = {name: np.stack([item.extras[name] for item in drawn]) for name in self.extra_shapes}
        return Rendering(frames, cameras, scenes, extras)


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
        draw_cameras=_sphere_cameras,
    )


_ROOMS_RING_CAMERA = Recipe(
    name="rooms_ring_camera",
    version=1,
    num_views=10,
    description="one to three solid objects in a textured room, seen from a ring round its middle",
    draw_scene=_draw_room,
    draw_cameras=_ring_cameras,
)


def _draw_wide_room(rng: np.random.Generator, *, turned: bool) -> tuple[Scene, str]:
    scene = rooms.draw_room(rng, reach=free_camera.OBJECT_REACH, turned=turned)
    return scene, rooms.canonical(scene)


def _rooms_free_camera(rotations: str, *, published_size: int) -> Recipe:
    return Recipe(
        name=f"rooms_free_camera_{rotations}_object_rotations",
        version=1,
        num_views=10,
        description=f"one to three solid objects in a textured room {rotations} object rotations, seen from anywhere in it "
        f"(published at {published_size} pixels)",
        draw_scene=partial(_draw_wide_room, turned=rotations == "with"),
        draw_cameras=free_camera.draw_free_cameras,
    )


_DIGIT_CUBE = Recipe(
    name="digit_cube",
    version=1,
    num_views=12,
    description="a cube with a handwritten digit on each side, in a textured room, seen from a ring round it",
    draw_scene=digit_cube.draw_cube,
    draw_cameras=digit_cube.draw_spread_cameras,
    draw_extras=digit_cube.draw_labels,
    extra_shapes=digit_cube.EXTRA_SHAPES,
)

_PRINTED_CUBE = Recipe(
    name="printed_cube",
    version=1,
    num_views=12,
    description="a white cube with one of ten printed digits on each side, seen from a close ring round it",
    draw_scene=printed_cube.draw_printed_cube,
    draw_cameras=printed_cube.draw_near_cameras,
    draw_extras=digit_cube.draw_labels,
    extra_shapes=printed_cube.EXTRA_SHAPES,
)

_CAPTIONED_ROOMS = Recipe(
    name="captioned_rooms",
    version=1,
    num_views=10,
    description="two or three solid objects in a textured room, each view with a caption of how they stand to each other",
    draw_scene=captioned_rooms.draw_captioned_room,
    draw_cameras=_ring_cameras,
    draw_extras=captioned_rooms.draw_captions,
    extra_shapes=captioned_rooms.EXTRA_SHAPES,
)

_JACO = Recipe(
    name="jaco",
    version=1,
    num_views=11,
    description="a robot arm with nine joints and a coloured ball in a textured room, seen from all round",
    draw_scene=jaco.draw_scene,
    draw_cameras=jaco.draw_cameras,
)

RECIPES: Mapping[str, BuiltIn] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            _ROOMS_RING_CAMERA,
            _rooms_free_camera("no", published_size=64),
            _rooms_free_camera("with", published_size=128),
            _shepard_metzler(5),
            _shepard_metzler(7),
            _DIGIT_CUBE,
            _PRINTED_CUBE,
            _CAPTIONED_ROOMS,
            _JACO,
            MAZES,
            TERRAIN,
            *FUNCTIONS,
            *COMPLETIONS,
        )
    }
)
