"""The built-in data sets by name, and the class of those that the ray-caster draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, DrawnScene, Rendering, stack_cameras, stack_extras
from zoo.data.completion import COMPLETIONS
from zoo.data.factors.arm_factors import ArmFactors
from zoo.data.factors.block_factors import ShepardMetzlerFactors
from zoo.data.factors.cube_factors import CubeFactors
from zoo.data.factors.room_factors import RoomFactors, check_captions, check_clear_of_objects, check_inside_room
from zoo.data.factors.scene_factors import SceneFactors, check_count
from zoo.data.functions import FUNCTIONS
from zoo.data.render import caption_grammar, digit_cube, jaco, rooms, shepard_metzler
from zoo.data.render.mazes import MAZES
from zoo.data.render.raycaster import render
from zoo.data.render.scene import Scene, stack_scenes
from zoo.data.render.terrain import TERRAIN
from zoo.data.source import ExtraShape, Split


@dataclass(frozen=True)
class Recipe(BuiltIn):
    """A data set of scenes of solid objects, rendered by the ray-caster."""

    # (rng, further options of drawing) -> a scene and its canonical name
    draw_scene: Callable[..., tuple[Scene, str]]
    draw_cameras: Callable[..., np.ndarray]  # (rng, scene, num_views) -> cameras of a scene, [V, 5]
    # (scene, cameras) -> extras of a scene with its cameras
    draw_extras: Callable[[Any, np.ndarray], Mapping[str, np.ndarray]] | None = None
    extra_shapes: Mapping[str, ExtraShape] = field(default_factory=dict)
    check_kind: Callable[[Any], None] | None = None  # further conditions on factors; raises DataError

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of captions, labels and the like."""
        return self.extra_shapes

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws scene ``index`` of a split."""
        scene, name, rng = self.draw_content(self.draw_scene, seed=seed, split=split, index=index)
        return self._drawn(scene, name, rng)

    def _drawn(self, scene: Scene, name: str, rng: np.random.Generator) -> DrawnScene:
        cameras = self.draw_cameras(rng, scene=scene, num_views=self.num_views).astype(np.float32)
        return DrawnScene(scene, name, cameras, self.draw_extras(scene, cameras) if self.draw_extras else {})

    def check_factors(self, factors: SceneFactors) -> None:
        """See :meth:`BuiltIn.check_factors`."""
        super().check_factors(factors)
        if self.check_kind is not None:
            self.check_kind(factors)

    def with_cameras(self, scene: Scene, *, rng: np.random.Generator) -> DrawnScene:
        """See :meth:`BuiltIn.with_cameras`; raises DataError if a camera would be outside of the room or in an object."""
        drawn = self._drawn(scene, "", rng)
        check_inside_room(scene, drawn.cameras)
        check_clear_of_objects(scene, drawn.cameras)
        return drawn

    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Renders drawn scenes."""
        scenes, cameras = tuple(item.scene for item in drawn), stack_cameras(drawn)
        frames = render(stack_scenes(scenes, device=device), cameras=cameras, image_size=image_size)
        return Rendering(frames, cameras, scenes, stack_extras(drawn))


_SOLIDS: tuple[Recipe, ...] = (
    Recipe(
        name="rooms_ring_camera",
        num_views=10,
        description="one to three solid objects in a textured room, seen from a ring round its middle",
        factor_class=RoomFactors,
        draw_scene=rooms.draw_named_room,
        draw_cameras=rooms.draw_ring_cameras,
    ),
    Recipe(
        name="rooms_one_object",
        num_views=10,
        description="one large solid object near the middle of a textured room, seen from a ring round it",
        factor_class=RoomFactors,
        draw_scene=partial(rooms.draw_named_room, most=1, sizes=rooms.LARGE_SIZES, reach=rooms.NEAR_REACH),
        draw_cameras=rooms.draw_ring_cameras,
    ),
    *(
        Recipe(
            name=f"rooms_free_camera_{rotations}_object_rotations",
            num_views=10,
            description=f"one to three solid objects in a textured room {rotations} object rotations, seen from anywhere in "
            f"it (published at {published_size} pixels)",
            factor_class=RoomFactors,
            draw_scene=partial(rooms.draw_named_room, reach=rooms.FREE_OBJECT_REACH, turned=rotations == "with"),
            draw_cameras=rooms.draw_free_cameras,
        )
        for rotations, published_size in (("no", 64), ("with", 128))
    ),
    *(
        Recipe(
            name=f"shepard_metzler_{num_parts}_parts",
            num_views=15,
            description=f"objects of {num_parts} coloured blocks, seen from a sphere round them",
            factor_class=ShepardMetzlerFactors,
            check_kind=partial(check_count, field="blocks", count=num_parts),
            draw_scene=partial(shepard_metzler.draw_object, num_parts=num_parts),
            draw_cameras=shepard_metzler.draw_cameras,
        )
        for num_parts in (5, 7)
    ),
    Recipe(
        name="digit_cube",
        num_views=12,
        description="a cube with a handwritten digit on each side, in a textured room, seen from a ring round it",
        factor_class=CubeFactors,
        check_kind=partial(check_count, field="faces", count=digit_cube.NUM_FACES),
        draw_scene=digit_cube.draw_cube,
        draw_cameras=digit_cube.draw_spread_cameras,
        draw_extras=digit_cube.draw_labels,
        extra_shapes=digit_cube.extra_shapes(digit_cube.NUM_FACES),
    ),
    Recipe(
        name="printed_cube",
        num_views=12,
        description="a white cube with one of ten printed digits on each side, seen from a close ring round it",
        factor_class=CubeFactors,
        check_kind=partial(check_count, field="faces", count=digit_cube.NUM_SIDES),
        draw_scene=digit_cube.draw_printed_cube,
        draw_cameras=partial(digit_cube.draw_spread_cameras, ring=digit_cube.NEAR_RING),
        draw_extras=digit_cube.draw_labels,
        extra_shapes=digit_cube.extra_shapes(digit_cube.NUM_SIDES),
    ),
    Recipe(
        name="captioned_rooms",
        num_views=10,
        description="two or three solid objects in a textured room, each view with a caption of how they stand to each other",
        factor_class=RoomFactors,
        check_kind=check_captions,
        draw_scene=partial(
            rooms.draw_named_room,
            fewest=caption_grammar.FEWEST_OBJECTS,
            reach=caption_grammar.OBJECT_REACH,
            palette=tuple(caption_grammar.PALETTE.values()),
        ),
        draw_cameras=rooms.draw_ring_cameras,
        draw_extras=caption_grammar.draw_captions,
        extra_shapes=caption_grammar.EXTRA_SHAPES,
    ),
    Recipe(
        name="jaco",
        num_views=11,
        description="a robot arm with nine joints and a coloured ball in a textured room, seen from all sides",
        factor_class=ArmFactors,
        draw_scene=jaco.draw_scene,
        draw_cameras=jaco.draw_cameras,
    ),
    Recipe(
        name="jaco_front",
        num_views=11,
        description="the robot arm of jaco, seen from within 20 degrees of the front",
        factor_class=ArmFactors,
        draw_scene=jaco.draw_scene,
        draw_cameras=partial(jaco.draw_cameras, directions=jaco.FRONT_DIRECTIONS),
    ),
)

RECIPES: Mapping[str, BuiltIn] = MappingProxyType(
    {recipe.name: recipe for recipe in (*_SOLIDS, MAZES, TERRAIN, *FUNCTIONS, *COMPLETIONS)}
)
