"""Factors of mazes: cells, textures and the sun."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from zoo.config.settings import Settings
from zoo.data.factors.scene_factors import VERSION, Angle, SceneFactors, refuse
from zoo.data.render.maze_layout import NUM_ROOMS, SIZE, SOLID, HuedTexture, Maze

MARKS = "#.12"  # a solid cell, a cell of a corridor, of the first and of the second room


class PanelFactors(Settings):
    """A solid cell whose sides have a texture of their own."""

    row: int = Field(ge=0, lt=SIZE)
    column: int = Field(ge=0, lt=SIZE)
    surface: HuedTexture


class MazeFactors(SceneFactors):
    """A maze: ``mazes``."""

    kind: Literal["maze"] = "maze"
    cells: list[str] = Field(
        min_length=SIZE,
        max_length=SIZE,
        description="rows from south to north, columns from west to east: # solid, . corridor, 1 and 2 rooms",
    )
    walls: list[HuedTexture] = Field(description="seen from the corridors and from each room")
    floors: list[HuedTexture] = Field(description="of the corridors and of each room")
    panels: list[PanelFactors] = Field(default=[])
    sun: Angle = Field(description="azimuth of the light, radians, counter-clockwise from +x")

    @classmethod
    def of(cls, scene: Maze) -> Self:
        """Returns the factors of a scene."""
        return cls(
            version=VERSION,
            cells=["".join(MARKS[zone - SOLID] for zone in row) for row in scene.zones],
            walls=list(scene.walls),
            floors=list(scene.floors),
            panels=[PanelFactors(row=row, column=column, surface=item) for (row, column), item in scene.panels],
            sun=scene.sun,
        )

    def scene(self) -> Any:
        """Returns the scene."""
        return Maze(
            tuple(tuple(MARKS.index(mark) + SOLID for mark in row) for row in self.cells),
            tuple(self.walls),
            tuple(self.floors),
            tuple(((panel.row, panel.column), panel.surface) for panel in self.panels),
            self.sun,
        )

    def check(self) -> None:
        """See :meth:`SceneFactors.check`."""
        for index, row in enumerate(self.cells):
            if len(row) != SIZE or not set(row) <= set(MARKS):
                raise refuse(f"cells.{index}", found=repr(row), expected=f"{SIZE} of the characters {MARKS}")
        solid = np.array([[mark == MARKS[0] for mark in row] for row in self.cells])
        for index, row in enumerate(self.cells):
            if not (solid[index].all() if index in (0, SIZE - 1) else solid[index, 0] and solid[index, -1]):
                raise refuse(f"cells.{index}", found=repr(row), expected="solid cells (#) all round the maze")
        if solid.all():
            raise refuse("cells", found="solid cells alone", expected="one free cell or more")
        zones = max(MARKS.index(mark) for row in self.cells for mark in row)
        assert zones <= NUM_ROOMS[-1] + 1
        for name, surfaces in (("walls", self.walls), ("floors", self.floors)):
            if len(surfaces) != zones:
                raise refuse(
                    name, found=f"{len(surfaces)} surfaces", expected=f"{zones}: the corridors, then each room"
                )
        places = [(panel.row, panel.column) for panel in self.panels]
        for index, place in enumerate(places):
            if not solid[place] or place in places[:index]:
                raise refuse(f"panels.{index}", found=list(place), expected="a solid cell, and each once")
