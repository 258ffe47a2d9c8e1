"""Disjoint sets of views of scenes, and the systems whose features of them are compared: r, latents of a VAE, pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from zoo.analysis.findings import AnalysisInputs
from zoo.analysis.image_latents import describe_by, is_vae
from zoo.data.plan import view_order
from zoo.data.source import SceneSource
from zoo.errors import ConfigError
from zoo.evaluation.representations import Describe, has_representation, mean_pixels
from zoo.training.trained_model import TrainedModel

T = TypeVar("T")
PIXELS = "pixels"
POOLED = "a model that pools images of the scene to a representation r"
REPRESENTATION = f"{POOLED}, or a VAE to compare with"


class ViewSets(NamedTuple):
    """M disjoint sets of N views of n scenes."""

    frames: np.ndarray  # [n, M, N, H, W, 3] uint8
    cameras: np.ndarray  # [n, M, N, 5]: x, y, z in scene units, yaw and pitch in radians

    def features(self, describe: Describe) -> np.ndarray:
        """Returns the features of every set, [n, M, D]."""
        found = describe(
            self.frames.reshape(-1, *self.frames.shape[2:]), self.cameras.reshape(-1, *self.cameras.shape[2:])
        )
        return found.reshape(*self.frames.shape[:2], -1)


def read_view_sets(source: SceneSource, *, num_scenes: int, num_views: int, seed: int = 0) -> ViewSets:
    """Reads as many disjoint sets of N = ``num_views`` views as there are, M = V // N, of the first scenes of a split."""
    sets = source.num_views // num_views
    order = view_order(num_scenes=source.num_scenes, num_views=source.num_views, seed=seed, needed=sets * num_views)[
        :num_scenes
    ]
    frames, cameras = source.read(np.arange(num_scenes), order)
    shape = (num_scenes, sets, num_views)
    return ViewSets(frames.reshape(*shape, *frames.shape[2:]), cameras.reshape(*shape, -1))


def missing_representation(trained: TrainedModel) -> str | None:
    """Returns :data:`REPRESENTATION` unless the model is one of those."""
    return None if is_vae(trained.model) or has_representation(trained.model) else REPRESENTATION


class Systems(NamedTuple):
    """The functions from views to features that an analysis compares."""

    describe: Mapping[str, Describe]  # label -> function: of the models in their order, then of the pixels
    represented: list[str]  # labels of the models with r
    others: list[str]  # labels of the VAEs, then of the pixels

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every model with r beside every other system."""
        return [(label, other) for label in self.represented for other in self.others]


def systems_of(given: AnalysisInputs) -> Systems:
    """Returns the systems of an analysis; raises ConfigError if no model has a representation."""
    describe = {label: describe_by(trained.model) for label, trained in given.models.items()}
    represented = [label for label, trained in given.models.items() if not is_vae(trained.model)]
    if not represented:
        raise ConfigError("found VAEs alone, expected at least one model that pools images of the scene to r")
    others = [label for label in describe if label not in represented]
    return Systems({**describe, PIXELS: mean_pixels}, represented, [*others, PIXELS])


def usable_sizes(given: AnalysisInputs, systems: Systems, *, sizes: tuple[int, ...]) -> list[int]:
    """Returns the sizes of sets that all models with r were trained with, and of which a scene has two; raises ConfigError."""
    contexts = [given.models[label].variant.training.contexts for label in systems.represented]
    first = max(each.minimum for each in contexts)
    last = min([given.scenes.num_views // 2, *(each.maximum for each in contexts)])
    if not (found := [size for size in sizes if first <= size <= last]):
        raise ConfigError(
            f"expected models that were all trained with {' or '.join(map(str, sizes))} views, and scenes of twice as many"
        )
    return found


def measure_sets(
    given: AnalysisInputs, systems: Systems, *, sizes: tuple[int, ...], measure: Callable[[np.ndarray], T]
) -> dict[int, dict[str, T]]:
    """Measures the features [n, M, D] of sets of each usable size (see :func:`usable_sizes`): size -> system -> result."""
    found = {}
    for size in usable_sizes(given, systems, sizes=sizes):
        sets = read_view_sets(given.scenes, num_scenes=given.num_scenes, num_views=size, seed=given.seed)
        given.log(f"{sets.frames.shape[1]} sets of {size} views of {given.num_scenes} scenes")
        found[size] = {label: measure(sets.features(describe)) for label, describe in systems.describe.items()}
    return found
