"""No encoder, for cores without context."""

from __future__ import annotations

from zoo.config.settings import Settings
from zoo.episode import Views
from zoo.model.interfaces import Encoder, Representation, RepresentationShape, ViewShape


class NoEncoder(Encoder):
    """Empty representation, without channels and parameters: the baseline that ignores the context."""

    class Config(Settings):
        """No settings."""

    context_kind = "anything"
    features = frozenset()

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.shape = RepresentationShape(channels=0, height=1, width=1)

    def forward(self, views: Views) -> Representation:
        batch, number = views.poses.shape[:2]
        return Representation(
            pooled=views.poses.new_zeros(batch, 0, 1, 1),
            per_view=views.poses.new_zeros(batch, number, 0, 1, 1),
            mask=views.mask,
        )
