"""The tower encoder of GQN."""

from __future__ import annotations

from pydantic import Field

from zoo.config.settings import Settings
from zoo.episode import Views
from zoo.model.interfaces import Encoder, Representation, RepresentationShape, ViewShape, represent
from zoo.nn.tower import TowerNetwork


class Tower(Encoder):
    """r = sum_i psi(x^i, v^i), a map of a quarter of the image's size (Eslami et al. 2018, figure S1, "tower")."""

    class Config(Settings):
        """Sizes of the network."""

        channels: int = Field(default=256, ge=2, multiple_of=2, description="channels of the representation")

    context_kind = "images"
    features = frozenset({"pooled", "per_view"})
    views_apart = True

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        if view.height % 4 or view.width % 4:
            raise ValueError(f"images of {view.height}x{view.width} pixels: the tower needs sizes divisible by 4")
        self._shape = RepresentationShape(channels=config.channels, height=view.height // 4, width=view.width // 4)
        self.network = TowerNetwork(image_channels=view.channels, pose_width=view.pose_width, channels=config.channels)

    @property
    def shape(self) -> RepresentationShape:
        return self._shape

    def forward(self, views: Views) -> Representation:
        return represent(views, self.network)
