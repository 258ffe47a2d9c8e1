"""What a policy sees of an arm and a ball: the image, the frozen representation r of it, or the true state."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from gymnasium.spaces import Box
from torch.nn.functional import adaptive_avg_pool2d

from zoo.control.reaching import MOVED_JOINTS, ReachingArms
from zoo.errors import ConfigError
from zoo.evaluation.representations import encode_views, has_representation
from zoo.model.scene_model import SceneModel

CELLS = 2  # per side, to which a representation is averaged: 256 numbers of 64 channels, as many as r has in the paper


class Observation(ABC):
    """The observation of an environment as a function of the arms."""

    space: Box  # of one arm

    @abstractmethod
    def __call__(self, arms: ReachingArms) -> np.ndarray:
        """Returns the observations of N arms, [N, ...] in the type of the space."""


class Pixels(Observation):
    """The image of the camera, [H, W, 3] uint8."""

    def __init__(self, image_size: int = 32) -> None:
        self.space = Box(0, 255, (image_size, image_size, 3), np.uint8)

    def __call__(self, arms: ReachingArms) -> np.ndarray:
        """Renders all arms at once."""
        return arms.frames(image_size=self.space.shape[0])


class TrueState(Observation):
    """What images do not show exactly, [9] float32: what the best representation could hold.

    Sine and cosine of the three joints that move, and the centre of the ball, metres.
    """

    def __init__(self) -> None:
        self.space = Box(-2.0, 2.0, (3 * MOVED_JOINTS,), np.float32)

    def __call__(self, arms: ReachingArms) -> np.ndarray:
        """Renders nothing."""
        angles = arms.joints[:, :MOVED_JOINTS]
        return np.concatenate([np.sin(angles), np.cos(angles), arms.balls], axis=1, dtype=np.float32)


class FrozenRepresentation(Observation):
    """The representation r of one image with its camera by a trained model, whose weights stay as they are.

    A map [C, h, w] is averaged over blocks to [C, cells, cells] (a smaller one, such as a vector, stays) and flattened.
    """

    def __init__(self, model: SceneModel, *, cells: int = CELLS) -> None:
        """Takes a model that pools images of the scene to r; ``cells`` are those per side.

        Raises:
            ConfigError: if the model has no such representation.
        """
        if not has_representation(model):
            raise ConfigError("expected a model that pools images of the scene to a representation r")
        self.model = model
        shape = model.encoder.shape
        self.cells = (min(shape.height, cells), min(shape.width, cells))
        self.image_size = model.task.target_shape[-1]
        self.space = Box(-np.inf, np.inf, (shape.channels * self.cells[0] * self.cells[1],), np.float32)

    def __call__(self, arms: ReachingArms) -> np.ndarray:
        """Renders and encodes all arms at once."""
        return self.encode(arms.frames(image_size=self.image_size)[:, None], arms.cameras[:, None])

    def encode(self, frames: np.ndarray, cameras: np.ndarray) -> np.ndarray:
        """Returns r of n sets of views, see :func:`zoo.evaluation.representations.encode_views`, [n, D] float32."""
        pooled = torch.from_numpy(encode_views(self.model, frames, cameras))
        return adaptive_avg_pool2d(pooled, self.cells).flatten(1).numpy()
