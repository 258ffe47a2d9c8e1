"""The encoder of the Consistent Generative Query Network (JUMP)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from zoo.config.settings import Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.model.pose_inputs import PoseEncoding, PoseInputs
from zoo.nn.blocks import divide_size, image_inputs, initialise_layers


class Jump(PerViewEncoder):
    """JUMP encoder, r = sum_i psi(x^i, v^i), a map of 1/4 of the image's size (Kumar et al. 2018).

    The pose is broadcast over the image; two 2x2 convolutions of stride 2 and two 3x3 convolutions, each with a ReLU.
    Sizes follow public implementations (torch-jump, gqnlib): 16x16x32 for images of 64x64.
    """

    class Config(PerViewEncoder.Config, PoseInputs):
        channels: Size = Field(
            default=32,
            multiple_of=4,
            description="channels of the representation; the first two layers have 1/4 and 1/2",
        )

    context_kind = "images"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        self.encoding = PoseEncoding(config, pose_width=view.pose_width)
        height, width = divide_size(view.size, 4, name="the downsampling factor")
        self.shape = RepresentationShape(channels=config.channels, height=height, width=width)
        quarter, half, whole = config.channels // 4, config.channels // 2, config.channels
        self.network = nn.Sequential(
            nn.Conv2d(view.channels + self.encoding.width, quarter, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(quarter, half, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(half, whole, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(whole, whole, 3, padding=1),
            nn.ReLU(),
        )
        initialise_layers(self.network, image_inputs(view.channels), self.encoding.width)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        return self.encoding.apply(self.network, values, poses)
