"""The pool encoder of GQN."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from zoo.config.settings import Size
from zoo.encoders.tower import TowerNetwork
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.model.pose_inputs import PoseEncoding, PoseInputs
from zoo.nn.blocks import divide_size


class Pool(PerViewEncoder):
    """Pool encoder, r = sum_i mean over space of psi(x^i, v^i), a vector (Eslami et al. 2018, figure S1)."""

    class Config(PerViewEncoder.Config, PoseInputs):
        channels: Size = Field(default=256, multiple_of=2, description="width of the representation")

    context_kind = "images"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        divide_size(view.size, 4, name="the downsampling factor")
        self.shape = RepresentationShape(channels=config.channels, height=1, width=1)
        encoding = PoseEncoding(config, pose_width=view.pose_width)
        self.network = TowerNetwork(image_channels=view.channels, encoding=encoding, channels=config.channels)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        return self.network(values, poses).mean(dim=(2, 3), keepdim=True)
