"""Factors of terrains: the number of the land, from which everything follows, and parameters that it gives."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from zoo.data.factors.scene_factors import VERSION, Place, SceneFactors, refuse
from zoo.data.render.rng import seeded
from zoo.data.render.terrain_land import Terrain, build_land, draw_parameters


class TerrainFactors(SceneFactors):
    """An open land: ``terrain``. The origin is the middle of the path of the cameras."""

    kind: Literal["terrain"] = "terrain"
    land: int = Field(ge=0, lt=2**53, description="number of the land, of which it is a pure function")
    origin: Place = Field(default=(0.0, 0.0, 0.0), description="where the origin of the scene lies in the land")
    water_share: float | None = Field(
        default=None, description="of the land under water, 0 to 1; follows from the land"
    )
    sun: float | None = Field(default=None, description="azimuth of the light, radians; follows from the land")

    @classmethod
    def of(cls, scene: Terrain) -> Self:
        """Returns the factors of a scene."""
        parameters = draw_parameters(seeded(scene.number))
        return cls(
            version=VERSION,
            land=scene.number,
            origin=scene.origin,
            water_share=parameters.water_share,
            sun=parameters.azimuth,
        )

    def scene(self) -> Any:
        """Returns the scene; building its land takes about a second."""
        return Terrain(self.land, self.origin, build_land(self.land))

    def check(self) -> None:
        """See :meth:`SceneFactors.check`."""
        parameters = draw_parameters(seeded(self.land))
        for name, found, expected in (
            ("water_share", self.water_share, parameters.water_share),
            ("sun", self.sun, parameters.azimuth),
        ):
            if found not in (None, expected):
                raise refuse(name, found=found, expected=f"{expected}, which follows from the land, or nothing")
