"""Writing down the episodes on which a suite measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zoo.bench.suite.data import recipe_of
from zoo.bench.suite.plan import variants_of
from zoo.bench.suite.settings import Suite
from zoo.data.episode_index import write_index
from zoo.registry.registry import Registry


class NeededEpisodes(NamedTuple):
    """The episodes of one test split."""

    num_scenes: int
    num_views: int
    seed: int
    needed: int  # views of a scene that are targets or context in the largest episode


def episodes_of(suite: Suite, *, registry: Registry) -> Iterator[NeededEpisodes]:
    """Gives what every part of a suite asks of its built-in scenes; the number of views of a folder is not known.

    Raises:
        ZooError: if a part names variants or settings that do not exist.
    """
    for index, part in enumerate(suite.parts):
        for variant in variants_of(part, registry=registry, place=f"{suite.path}: parts.{index}"):
            recipe = variant.training
            largest = max(part.contexts, default=recipe.contexts.maximum)
            for name in part.data:
                scenes = suite.data[name]
                if scenes.recipe is not None:
                    yield NeededEpisodes(
                        num_scenes=scenes.test,
                        num_views=scenes.views or recipe_of(scenes).num_views,
                        seed=suite.settings.episodes_seed,
                        needed=(part.targets or recipe.targets) + largest,
                    )


def write_episodes(suite: Suite, *, registry: Registry, folder: Path) -> list[Path]:
    """Writes an index for every test split of a suite, as far as its largest episode reaches; returns the files.

    Raises:
        ZooError: if the suite, or an index that is there, is wrong.
    """
    largest: dict[tuple[int, int, int], int] = {}
    for num_scenes, num_views, seed, needed in episodes_of(suite, registry=registry):
        place = num_scenes, num_views, seed
        largest[place] = max(needed, largest.get(place, 0))
    return [
        write_index(folder, num_scenes=num_scenes, num_views=num_views, seed=seed, needed=needed)
        for (num_scenes, num_views, seed), needed in sorted(largest.items())
    ]
