"""The tower encoder of GQN."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Size
from zoo.model.interfaces import PerViewEncoder, RepresentationShape, ViewShape
from zoo.model.pose_inputs import PoseEncoding, PoseInputs
from zoo.nn.blocks import divide_size, image_inputs, initialise


class Tower(PerViewEncoder):
    """Tower encoder, r = sum_i psi(x^i, v^i), a map of 1/4 of the image's size (Eslami et al. 2018, figure S1)."""

    class Config(PerViewEncoder.Config, PoseInputs):
        channels: Size = Field(default=256, multiple_of=2, description="channels of the representation")

    context_kind = "images"

    def __init__(self, config: Config, *, view: ViewShape) -> None:
        super().__init__(config, view=view)
        height, width = divide_size(view.size, 4, name="the downsampling factor")
        self.shape = RepresentationShape(channels=config.channels, height=height, width=width)
        encoding = PoseEncoding(config, pose_width=view.pose_width)
        self.network = TowerNetwork(image_channels=view.channels, encoding=encoding, channels=config.channels)

    def encode_views(self, values: Tensor, poses: Tensor) -> Tensor:
        return self.network(values, poses)


class TowerNetwork(nn.Module):
    """psi(x, v) of the tower, Eslami et al. 2018, figure S1: [n, 3, H, W] -> [n, channels, H / 4, W / 4].

    The pose enters at a quarter of the image's size. The figure does not label its skip connections; they are learned
    convolutions with ReLU here. Every convolution is followed by a ReLU.
    """

    def __init__(self, *, image_channels: int, encoding: PoseEncoding, channels: int) -> None:
        super().__init__()
        self.encoding = encoding
        half = channels // 2
        self.halve = nn.Conv2d(image_channels, channels, 2, stride=2)
        self.first_skip = nn.Conv2d(channels, channels, 2, stride=2)
        self.first_narrow = nn.Conv2d(channels, half, 3, padding=1)
        self.first_widen = nn.Conv2d(half, channels, 2, stride=2)
        self.second_skip = nn.Conv2d(channels + encoding.width, channels, 3, padding=1)
        self.second_narrow = nn.Conv2d(channels + encoding.width, half, 3, padding=1)
        self.second_widen = nn.Conv2d(half, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, channels, 1)
        initialise(self.halve, image_inputs(image_channels))
        for layer in (self.first_skip, self.first_narrow, self.first_widen, self.second_widen):
            initialise(layer)
        for layer in (self.second_skip, self.second_narrow):
            initialise(layer, channels, encoding.width)
        initialise(self.last, gain=0.25)  # r is the sum over views

    def forward(self, images: Tensor, poses: Tensor) -> Tensor:
        """Maps images [n, 3, H, W] and poses [n, P] to [n, channels, H / 4, W / 4]."""
        features = F.relu(self.halve(images))
        skip = F.relu(self.first_skip(features))
        features = F.relu(self.first_widen(F.relu(self.first_narrow(features)))) + skip
        pose = self.encoding(poses, height=features.shape[-2], width=features.shape[-1])
        skip = F.relu(pose.after(self.second_skip, features))
        narrow = F.relu(pose.after(self.second_narrow, features))
        features = F.relu(self.second_widen(narrow)) + skip
        return F.relu(self.last(features))
