"""The interface of a built-in data set: named, versioned, a pure function of (recipe, version, seed, split, index).

Neither the number of processes nor how scenes are batched changes a scene; another device changes rounding only.

The splits are disjoint by construction. Every scene has a canonical name, its content without irrelevant details. The
hash of the name, in which no seed enters, decides to which split the content belongs, and a scene is drawn again until it
belongs to the split that is asked for. So nothing seen in training appears in validation or test, whatever the seeds.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.factors.scene_factors import Combination, SceneFactors, has_any
from zoo.data.render.rng import scene_generator, stable_hash
from zoo.data.source import ExtraShape, Split, bytes_per_scene
from zoo.errors import DataError

NUM_BUCKETS = 100
BUCKETS: Mapping[Split, range] = MappingProxyType(
    {"train": range(0, 80), "validation": range(80, 90), "test": range(90, 100)}
)

MOST_DRAWS = 100_000  # of contents for one scene, where combinations are held out

Content = TypeVar("Content")


class DrawnScene(NamedTuple):
    """A scene before it is rendered."""

    scene: Any
    name: str  # canonical: equal for contents that count as the same
    cameras: np.ndarray = np.zeros((0, CAMERA_WIDTH), np.float32)  # [V, 5] float32; none for data without images
    extras: Mapping[str, np.ndarray] = MappingProxyType({})  # name -> [V, ...] of views or [...] of the scene


class Rendering(NamedTuple):
    """Scenes of a built-in data set, B of them with V views each."""

    frames: Tensor  # [B, V, H, W, 3] uint8; H = W = 0 for data without images
    cameras: Tensor  # [B, V, 5] float32, on the host
    scenes: tuple[Any, ...]  # B of them
    extras: Mapping[str, np.ndarray] = MappingProxyType({})  # name -> [B, V, ...] of views or [B, ...] of scenes


@dataclass(frozen=True, kw_only=True)
class BuiltIn(ABC):
    """A built-in data set."""

    has_images: ClassVar[bool] = True

    name: str
    version: int = 1  # increased whenever the same seed gives other bytes than before
    num_views: int  # of every scene, as many as in the publication; ``dataclasses.replace`` changes it
    description: str  # one line
    factor_class: type[SceneFactors] | None = None  # None: scenes have no factors
    hold_out: tuple[
        Combination, ...
    ] = ()  # see :mod:`zoo.data.factors.scene_factors`; ``dataclasses.replace`` changes it

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of the extras."""
        return {}

    def bytes_per_scene(self, *, image_size: int) -> int:
        """Returns the size of a scene in a store: images, cameras and extras."""
        size = image_size if self.has_images else 0
        return bytes_per_scene(self.extras(image_size=size), image_size=size, num_views=self.num_views)

    @abstractmethod
    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws scene ``index`` of a split."""

    def factors_of(self, scene: Any) -> SceneFactors | None:
        """Returns the factors of a drawn scene; None for functions and pixels, which have none."""
        return None if self.factor_class is None else self.factor_class.of(scene)

    def check_factors(self, factors: SceneFactors) -> None:
        """Checks that factors are those of a scene of this data set.

        Raises:
            DataError: naming the field, what was found and what was expected.
        """
        if self.factor_class is None:
            raise DataError(f"{self.name}: functions and pixels have no scene factors")
        if not isinstance(factors, self.factor_class):
            expected = self.factor_class.model_fields["kind"].default
            raise DataError(f"kind: found {factors.kind!r}, expected {expected!r}, the scenes of {self.name}")

    def compose(self, factors: SceneFactors, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Returns the scene of factors with cameras that are drawn as for scenes of this data set.

        Raises:
            DataError: if the factors are not of this data set, or leave no room for its cameras.
        """
        self.check_factors(factors)
        # Another stream than that of drawn scenes, in which the numbers after the content depend on the content.
        rng = scene_generator(
            recipe=f"{self.name} cameras of given scenes", version=self.version, seed=seed, split=split, index=index
        )
        return self.with_cameras(factors.scene(), rng=rng)

    def with_cameras(self, scene: Any, *, rng: np.random.Generator) -> DrawnScene:
        """Returns a given scene with cameras drawn for it; data sets with factors implement it."""
        raise NotImplementedError

    @abstractmethod
    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Renders drawn scenes."""

    def render(
        self,
        *,
        seed: int,
        scene_indices: Sequence[int],
        split: Split,
        image_size: int,
        device: torch.device | str = "cpu",
    ) -> Rendering:
        """Makes scenes of a split by index, counted from 0; ``image_size`` is height and width in pixels."""
        drawn = [self.draw(seed=seed, split=split, index=int(index)) for index in scene_indices]
        return self.render_drawn(drawn, image_size=image_size, device=device)

    def draw_content(
        self, draw: Callable[[np.random.Generator], tuple[Content, str]], *, seed: int, split: Split, index: int
    ) -> tuple[Content, str, np.random.Generator]:
        """Draws contents with their canonical names until one belongs to the split.

        With ``hold_out`` contents are drawn again, too, until one has such an object (even scenes of ``test``) or none
        (all others).

        Returns the content, its name, and the scene's generator, from which cameras are drawn next.

        Raises:
            DataError: if no such content turns up.
        """
        rng = scene_generator(recipe=self.name, version=self.version, seed=seed, split=split, index=index)
        for _ in range(MOST_DRAWS) if self.hold_out else itertools.count():
            content, name = draw(rng)
            if split_of(name) == split and self._is_wanted(content, split=split, index=index):
                return content, name, rng
        held_out = ", ".join(map(str, self.hold_out))
        raise DataError(
            f"hold_out: {self.name} has too few scenes of {split} {index}: none in {MOST_DRAWS} draws fits {held_out}"
        )

    def _is_wanted(self, content: Any, *, split: Split, index: int) -> bool:
        if not self.hold_out:
            return True
        assert self.factor_class is not None
        wanted = split == "test" and index % 2 == 0
        return has_any(self.factor_class.of(content).labels(), self.hold_out) == wanted


def split_of(name: str) -> Split:
    """Returns the split to which a content with this canonical name belongs."""
    bucket = stable_hash(name) % NUM_BUCKETS
    return next(split for split, buckets in BUCKETS.items() if bucket in buckets)


def stack_cameras(drawn: Sequence[DrawnScene]) -> Tensor:
    """Returns the cameras of drawn scenes, [B, V, 5] float32."""
    return torch.from_numpy(np.stack([item.cameras for item in drawn]))


def stack_extras(drawn: Sequence[DrawnScene]) -> dict[str, np.ndarray]:
    """Returns the extras of drawn scenes, name -> [B, ...]."""
    return {name: np.stack([item.extras[name] for item in drawn]) for name in drawn[0].extras}
