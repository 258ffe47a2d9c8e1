"""What every built-in data set is: named, versioned, and a pure function of (recipe, version, seed, split, index).

How scenes are cut into batches and how many processes make them changes nothing, nor does the device beyond rounding.

The splits are disjoint by construction. Every scene has a canonical name (its content without what does not matter);
the hash of the name, which no seed enters, says to which split the content belongs, and a scene is drawn again until it
belongs to the split that it is wanted for. So nothing seen in training can appear in validation or test, whatever the
seeds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.rng import scene_generator, stable_hash
from zoo.data.source import ExtraShape, Split

NUM_BUCKETS = 100
BUCKETS: Mapping[Split, range] = MappingProxyType(
    {"train": range(0, 80), "validation": range(80, 90), "test": range(90, 100)}
)

Content = TypeVar("Content")


class Rendering(NamedTuple):
    """Scenes of a built-in data set, B of them with V views each."""

    frames: Tensor  # [B, V, H, W, 3] uint8; H = W = 0 for data without images
    cameras: Tensor  # [B, V, 5] float32, on the host
    scenes: tuple[Any, ...]  # what the images show, B of them
    extras: Mapping[str, np.ndarray] = MappingProxyType({})  # name -> [B, V, ...] of views or [B, ...] of scenes


@dataclass(frozen=True)
class BuiltIn(ABC):
    """How the scenes of a built-in data set are made.

    Attributes:
        name: of the data set.
        version: raised whenever the same seed gives other bytes than before.
        num_views: views of every scene, as many as in the publication; ``dataclasses.replace`` changes it.
        description: one line.
    """

    has_images: ClassVar[bool] = True

    name: str
    version: int
    num_views: int
    description: str

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns what else is known of every scene beside images and cameras."""
        return {}

    @abstractmethod
    def render(
        self,
        *,
        seed: int,
        scene_indices: Sequence[int],
        split: Split,
        image_size: int,
        device: torch.device | str = "cpu",
        samples_per_side: int = 2,
    ) -> Rendering:
        """Makes scenes of a split.

        Args:
            seed: of the data set.
            scene_indices: which scenes, B of them; counted from 0.
            split: the split they belong to.
            image_size: height and width in pixels.
            device: where to render.
            samples_per_side: a pixel is the mean of the square of this many rays.
        """

    def draw_content(
        self, draw: Callable[[np.random.Generator], tuple[Content, str]], *, seed: int, split: Split, index: int
    ) -> tuple[Content, str, np.random.Generator]:
        """Draws contents with their canonical names until one belongs to the split.

        Returns:
            The content, its name, and the scene's generator, from which cameras are drawn next.
        """
        rng = scene_generator(recipe=self.name, version=self.version, seed=seed, split=split, index=index)
        while True:
            content, name = draw(rng)
            if stable_hash(name) % NUM_BUCKETS in BUCKETS[split]:
                return content, name, rng
