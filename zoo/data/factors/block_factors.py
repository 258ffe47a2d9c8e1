"""Factors of Shepard-Metzler objects: the cell and the colour of every block."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from zoo.config.settings import Settings
from zoo.data.factors.hues import HueName, hue_of
from zoo.data.factors.scene_factors import VERSION, Colour, LabelValues, SceneFactors, check_hue, refuse
from zoo.data.render.shepard_metzler import COLOURS, STEPS, BlockScene, build

Coordinate = Annotated[int, Field(ge=-1000, le=1000)]


class BlockFactors(Settings):
    """One block."""

    cell: tuple[Coordinate, Coordinate, Coordinate] = Field(description="x, y, z on the grid; a shift changes nothing")
    colour: Colour = Field(description="red, green, blue, 0 to 1")
    hue: HueName | None = Field(default=None, description="the nearest named hue of the colour")


class ShepardMetzlerFactors(SceneFactors):
    """A chain of blocks: ``shepard_metzler_*``. The light is the same in all scenes."""

    label_values: ClassVar[LabelValues] = {"colour": tuple(hue_of(colour) for colour in COLOURS)}

    kind: Literal["shepard_metzler"] = "shepard_metzler"
    blocks: list[BlockFactors] = Field(min_length=1, max_length=32, description="each beside the one before it")

    @classmethod
    def of(cls, scene: BlockScene) -> Self:
        """Returns the factors of a scene."""
        blocks = [
            BlockFactors(cell=cell, colour=item.colour, hue=hue_of(item.colour))
            for cell, item in zip(scene.cells, scene.objects, strict=True)
        ]
        return cls(version=VERSION, blocks=blocks)

    def scene(self) -> Any:
        """Returns the scene."""
        return build([block.cell for block in self.blocks], colours=[block.colour for block in self.blocks])

    def check(self) -> None:
        """See :meth:`SceneFactors.check`."""
        cells = [block.cell for block in self.blocks]
        for index, block in enumerate(self.blocks):
            check_hue(block.colour, block.hue, field=f"blocks.{index}.hue")
            if block.cell in cells[:index]:
                raise refuse(f"blocks.{index}.cell", found=list(block.cell), expected="a cell without a block")
        for index, (before, cell) in enumerate(pairwise(cells), 1):
            if tuple(b - a for a, b in zip(before, cell, strict=True)) not in STEPS:
                raise refuse(f"blocks.{index}.cell", found=list(cell), expected=f"a cell beside {list(before)}")

    def labels(self) -> list[dict[str, str]]:
        """Returns the colour of every block."""
        return [{"colour": hue_of(block.colour)} for block in self.blocks]
