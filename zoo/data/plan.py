"""The scenes, views and noise keys of every batch: a pure function of seed and step.

There is no state to save: a resumed run draws what the uninterrupted one would have drawn. Every process computes
the whole global batch and takes its own part, so that the number of processes does not change it.

The episodes of an evaluation may come from an index: a text file with one line per scene, in the order of the split: the
scene's views in random order. The first Q of a line are the targets, the next N the context. A committed index fixes the
episodes of our suites even if a library changes its random numbers; without one the order is drawn by the seed.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from zoo.config.recipe import TrainingRecipe
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch
from zoo.errors import ConfigError, DataError
from zoo.files import write_text
from zoo.nn.noise import scene_keys

ORDER_STREAM, VIEW_STREAM, EVALUATION_STREAM = 1, 2, 3
_HEAD = "# views of every scene in the order in which they are drawn: the first Q are targets, the next N context\n"


class BatchPlan(NamedTuple):
    """The scenes and views of a batch; the context views come first."""

    scenes: np.ndarray  # [B] int64
    views: np.ndarray  # [B, N + Q] int64, all different within a scene
    places: np.ndarray  # [B] int64, place of each scene in the global batch (training) or in the split (evaluation)
    num_context: int


class LoadedBatch(NamedTuple):
    """A batch and the number of its context views."""

    batch: SceneBatch
    num_context: int


class Share(NamedTuple):
    """The part of every global batch that a process takes, and the number of its pieces."""

    rank: int = 0
    world_size: int = 1
    accumulation: int = 1

    def part(self, plan: BatchPlan, piece: int) -> BatchPlan:
        """Returns the scenes of one piece: the batch is cut by pieces first, then by processes."""
        size = len(plan.scenes) // (self.world_size * self.accumulation)
        start = (piece * self.world_size + self.rank) * size
        chosen = slice(start, start + size)
        return plan._replace(scenes=plan.scenes[chosen], views=plan.views[chosen], places=plan.places[chosen])


def check_views(source: SceneSource, *, num_context: int, num_targets: int) -> None:
    """Raises ConfigError, naming the data set and the numbers, if an episode needs more views than a scene has."""
    if num_context < 0 or num_targets < 1:
        raise ConfigError(f"{num_context} context views and {num_targets} targets: expected at least 0 and at least 1")
    if num_context + num_targets > source.num_views:
        raise ConfigError(
            f"{source.name}: {num_context} context views and {num_targets} target(s) need {num_context + num_targets} views, "
            f"but a scene has {source.num_views}"
        )


class TrainingPlan:
    """The batches of a training run, by step."""

    def __init__(self, source: SceneSource, *, recipe: TrainingRecipe, seed: int) -> None:
        """Raises ConfigError if the scenes have too few views for the recipe's largest episode."""
        check_views(source, num_context=recipe.contexts.maximum, num_targets=recipe.most_targets)
        self.num_scenes = source.num_scenes
        self.num_views = source.num_views
        self.recipe = recipe
        self.seed = seed

    def __call__(self, step: int) -> BatchPlan:
        """Returns the global batch of a step: scenes in the order of each epoch's own permutation."""
        size = self.recipe.batch_size
        places = np.arange(size)
        epochs, offsets = np.divmod(step * size + places, self.num_scenes)
        scenes = np.concatenate(
            [
                _permutation(self.seed, epoch, self.num_scenes)[offsets[epochs == epoch]]
                for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)
            ]
        )
        generator = np.random.default_rng([self.seed, VIEW_STREAM, step])
        contexts = self.recipe.contexts
        num_context = int(generator.integers(contexts.minimum, contexts.maximum, endpoint=True))
        targets = self.recipe.targets
        if not isinstance(targets, int):
            targets = int(generator.integers(targets.minimum, targets.maximum, endpoint=True))
        order = generator.random((size, self.num_views)).argsort(axis=1)
        return BatchPlan(scenes, order[:, : num_context + targets], places, num_context)


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, ORDER_STREAM, epoch]).permutation(count)


def drawn_order(*, num_scenes: int, num_views: int, seed: int) -> np.ndarray:
    """Draws the order of the views of every scene, [num_scenes, num_views] int64."""
    return np.random.default_rng([seed, EVALUATION_STREAM]).random((num_scenes, num_views)).argsort(axis=1)


def view_order(*, num_scenes: int, num_views: int, seed: int, needed: int) -> np.ndarray:
    """Returns the first ``needed`` views of every scene's order, [num_scenes, needed] int64.

    They come from the committed index of these numbers of scenes and views and this seed, if there is one with enough
    views (DataError if it is damaged); else they are drawn.
    """
    folder = index_folder()
    path = folder / index_name(num_scenes=num_scenes, num_views=num_views, seed=seed) if folder else None
    if path is not None and path.is_file():
        order = read_index(path, num_scenes=num_scenes, num_views=num_views)
        if order.shape[1] >= needed:
            return order[:, :needed]
    return drawn_order(num_scenes=num_scenes, num_views=num_views, seed=seed)[:, :needed]


@functools.cache
def index_folder() -> Path | None:
    """Returns the folder of committed indices: ``benchmarks/episodes`` of a checkout, or inside the installed package."""
    package = Path(__file__).resolve().parent
    candidates = (package.parent.parent / "benchmarks" / "episodes", package / "episodes")
    return next(filter(Path.is_dir, candidates), None)


def index_name(*, num_scenes: int, num_views: int, seed: int) -> str:
    """Returns the name of the file that holds the index of such a split."""
    return f"{num_scenes}-scenes-{num_views}-views-seed-{seed}.txt"


@functools.lru_cache(maxsize=8)
def read_index(path: Path, *, num_scenes: int, num_views: int) -> np.ndarray:
    """Reads an index, [num_scenes, n] int64, n at most ``num_views``; DataError names the line if it is damaged."""
    try:
        order = np.loadtxt(path, dtype=np.int64, ndmin=2, encoding="ascii")
    except ValueError as error:
        raise DataError(f"{path}: {str(error).split(';')[0]}") from error
    if len(order) != num_scenes:
        raise DataError(f"{path}: found {len(order)} scenes, expected {num_scenes}")
    sorted_order = np.sort(order, axis=1)
    wrong = (order < 0).any(1) | (order >= num_views).any(1) | (np.diff(sorted_order) == 0).any(1)
    if wrong.any():
        number = int(wrong.argmax())
        found = " ".join(map(str, order[number]))[:60]
        raise DataError(
            f"{path}: scene {number + 1}: expected different numbers of views below {num_views}, found {found!r}"
        )
    order.flags.writeable = False
    return order


def write_index(folder: Path, *, num_scenes: int, num_views: int, seed: int, needed: int) -> Path:
    """Writes the first ``needed`` views of every scene's drawn order; an existing index only grows.

    Raises:
        DataError: if the existing index does not begin with the drawn views.
        DiskFullError: if the file cannot be written.
    """
    path = folder / index_name(num_scenes=num_scenes, num_views=num_views, seed=seed)
    order = drawn_order(num_scenes=num_scenes, num_views=num_views, seed=seed)
    if path.is_file():
        known = read_index(path, num_scenes=num_scenes, num_views=num_views)
        if not np.array_equal(known, order[:, : known.shape[1]]):
            raise DataError(
                f"{path}: the existing index differs from the views that seed {seed} draws; delete it to write another"
            )
        needed = max(needed, known.shape[1])
    write_text(path, _HEAD + "".join(" ".join(map(str, line)) + "\n" for line in order[:, :needed].tolist()))
    read_index.cache_clear()
    return path


class EvaluationPlan:
    """The episodes of a whole split, each scene once, the same for every model (see the module).

    A scene's targets do not depend on the number of context views, and its context of N views is part of its context
    of N + 1 views, so that metrics at several context sizes score the same images.
    """

    def __init__(
        self, source: SceneSource, *, num_context: int, num_targets: int, seed: int = 0, max_scenes: int | None = None
    ) -> None:
        """Raises ConfigError if the scenes have too few views, or if ``max_scenes`` is not positive."""
        check_views(source, num_context=num_context, num_targets=num_targets)
        if max_scenes is not None and max_scenes < 1:
            raise ConfigError(f"scenes to evaluate: found {max_scenes}, expected at least 1")
        self.num_scenes = min(source.num_scenes, max_scenes or source.num_scenes)
        self.num_context = num_context
        self.num_targets = num_targets
        order = view_order(
            num_scenes=source.num_scenes, num_views=source.num_views, seed=seed, needed=num_context + num_targets
        )[: self.num_scenes]
        self.views = np.concatenate([order[:, num_targets : num_targets + num_context], order[:, :num_targets]], axis=1)

    def __call__(self, scenes: np.ndarray) -> BatchPlan:
        """Returns the episodes of some scenes [B]."""
        return BatchPlan(scenes=scenes, views=self.views[scenes], places=scenes, num_context=self.num_context)

    def digest(self) -> str:
        """Returns 16 hexadecimal digits that name the drawn views of all scenes."""
        return hashlib.sha256(np.ascontiguousarray(self.views, dtype="<i8").tobytes()).hexdigest()[:16]


def assemble(source: SceneSource, plan: BatchPlan, *, seed: int, step: int) -> SceneBatch:
    """Reads the views of a plan into a batch on the CPU; the noise keys follow from seed, step and place."""
    frames, cameras = source.read(plan.scenes, plan.views)
    return SceneBatch(
        frames=torch.from_numpy(frames),
        cameras=torch.from_numpy(cameras),
        scene=torch.from_numpy(plan.scenes),
        key=scene_keys(seed=seed, step=step, places=torch.from_numpy(plan.places)),
        extras={name: torch.from_numpy(array) for name, array in source.read_extras(plan.scenes, plan.views).items()},
    )


def to_device(batch: SceneBatch, device: torch.device | str) -> SceneBatch:
    """Moves a batch, without waiting when its memory is pinned."""
    return batch.apply(lambda field: field.to(device, non_blocking=True))
