"""The pyramid encoder of GQN."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.model.pose_inputs import PoseEncoding, PoseInputs
from zoo.nn.blocks import divide_size, image_inputs, initialise_layers


class Pyramid(PerViewEncoder):
    """Pyramid encoder, r = sum_i psi(x^i, v^i), a vector (Eslami et al. 2018, figure S1).

    The pose is broadcast over the image; three 2x2 convolutions of stride 2 and one convolution over the whole map.
    """

    class Config(PerViewEncoder.Config, PoseInputs):
        channels: Size = Field(
            default=256, multiple_of=8, description="width of the representation; earlier layers have 1/8, 1/4, 1/2"
        )

    context_kind = "images"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.encoding = PoseEncoding(config, pose_width=view.pose_width)
        remaining = divide_size(view.size, 8, name="the downsampling factor")
        self.shape = RepresentationShape(channels=config.channels, height=1, width=1)
        widths = [view.channels + self.encoding.width, config.channels // 8, config.channels // 4, config.channels // 2]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 2, stride=2), nn.ReLU()]
        layers += [nn.Conv2d(widths[-1], config.channels, remaining), nn.ReLU()]
        self.network = nn.Sequential(*layers)
        initialise_layers(self.network, image_inputs(view.channels), self.encoding.width)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        return self.encoding.apply(self.network, values, poses)
