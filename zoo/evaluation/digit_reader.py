"""A small classifier of the digit on the side of a cube that faces the camera, trained on true images."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data.render.digit_cube import NUM_LABELS, NUM_SIDES, visible_face
from zoo.data.source import SceneSource
from zoo.errors import ConfigError
from zoo.model.tasks import images_from_frames

FRONTAL = math.radians(30.0)  # largest angle between a camera and the front of a side that it reads
SCENES_AT_ONCE = 256


class DigitReader(nn.Module):
    """Convolutional classifier p(digit | image): two convolutions and two linear layers."""

    def __init__(self, *, image_size: int, channels: int = 24) -> None:
        super().__init__()
        side = image_size // 4
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * channels * side * side, 4 * channels),
            nn.ReLU(),
            nn.Linear(4 * channels, NUM_LABELS),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [n, 3, H, W] in [0, 1] to logits [n, 10]."""
        return self.body(images)


def require_digits(source: SceneSource) -> None:
    """Refuses scenes that are not cubes with digits.

    Raises:
        ConfigError: naming the data.
    """
    if "digits" not in source.extras or "cube_turn" not in source.extras:
        raise ConfigError(f"{source.name}: has no digits on the sides of a cube; expected scenes of digit_cube")


class Sides(NamedTuple):
    """Frontal images of sides and their digits."""

    frames: Tensor  # [n, H, W, 3] uint8
    labels: Tensor  # [n] int64


def frontal_sides(source: SceneSource, *, frontal: float = FRONTAL) -> Sides:
    """Collects all views whose camera is within ``frontal`` radians of the front of a side.

    Raises:
        ConfigError: if the data have no digits.
    """
    require_digits(source)
    frames, labels = [], []
    for start in range(0, source.num_scenes, SCENES_AT_ONCE):
        scenes = np.arange(start, min(start + SCENES_AT_ONCE, source.num_scenes))
        views = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
        images, cameras = (torch.from_numpy(array) for array in source.read(scenes, views))
        extras = {name: torch.from_numpy(array) for name, array in source.read_extras(scenes, views).items()}
        turns = extras["cube_turn"][:, None]
        sides = visible_face(cameras, turns)
        offset = torch.atan2(cameras[..., 1], cameras[..., 0]) - turns - sides * (2.0 * math.pi / NUM_SIDES)
        chosen = offset.cos() >= math.cos(frontal)
        frames.append(images[chosen])
        labels.append(extras["digits"].gather(1, sides)[chosen])
    return Sides(torch.cat(frames), torch.cat(labels))


def train_reader(
    source: SceneSource, *, steps: int = 500, batch_size: int = 64, learning_rate: float = 2e-3, seed: int = 0
) -> DigitReader:
    """Trains a reader on the frontal views of a split, with Adam and a learning rate that decays linearly to zero.

    Images are augmented with random brightness, blur and noise, so that it also reads predictions of models.
    """
    sides = frontal_sides(source)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = DigitReader(image_size=source.image_size)
    optimizer = torch.optim.Adam(reader.parameters(), lr=learning_rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1.0 - step / steps)
        chosen = torch.randint(0, len(sides.labels), (batch_size,), generator=generator)
        images = _augmented(images_from_frames(sides.frames[chosen]), generator)
        loss = F.cross_entropy(reader(images), sides.labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return reader.eval()


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    amount = torch.rand(len(images), 1, 1, 1, generator=generator)
    soft = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    light = 0.8 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = 0.05 * torch.randn(images.shape, generator=generator)
    return light * (amount * soft + (1.0 - amount) * images) + noise


@torch.no_grad()
def reading_accuracy(reader: DigitReader, source: SceneSource) -> float:
    """Returns the accuracy on a split's frontal views."""
    sides = frontal_sides(source)
    correct = [
        (reader(images_from_frames(frames)).argmax(-1) == labels)
        for frames, labels in zip(sides.frames.split(1024), sides.labels.split(1024), strict=True)
    ]
    return float(torch.cat(correct).double().mean())
