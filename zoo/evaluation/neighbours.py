"""Whether disjoint sets of views of one scene lie together: neighbour purity, retrieval and distances, per scene.

Features are [n, M, D]: of M disjoint sets of views of each of n scenes. All distances are Euclidean, in the space of the
features as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist


def neighbour_purity(features: np.ndarray, *, num_neighbours: int | None = None) -> np.ndarray:
    """Returns the share of the k nearest neighbours of a scene's sets that are of the same scene, [n].

    Args:
        features: [n, M, D] with M of 2 or more.
        num_neighbours: k, at most M - 1 (the default), so that 1 is possible; chance is (M - 1) / (n M - 1).
    """
    scenes, sets = features.shape[:2]
    k = sets - 1 if num_neighbours is None else min(num_neighbours, sets - 1)
    flat = features.reshape(scenes * sets, -1)
    distances = cdist(flat, flat)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, k - 1, axis=1)[:, :k] // sets
    own = np.repeat(np.arange(scenes), sets)
    return (nearest == own[:, None]).mean(1).reshape(scenes, sets).mean(1)


def retrieval_accuracy(features: np.ndarray) -> np.ndarray:
    """Returns how often a set of views finds its scene, [n]; chance is 1 / n.

    A set of a scene is compared with another set of every scene, and is right if its own scene is the nearest; the mean
    is over all ordered pairs of different sets.
    """
    scenes, sets = features.shape[:2]
    found = [
        cdist(features[:, query], features[:, target]).argmin(1) == np.arange(scenes)
        for query in range(sets)
        for target in range(sets)
        if query != target
    ]
    return np.mean(found, axis=0)


class SetDistances(NamedTuple):
    """Distances between sets of views, per scene; their unit is that of the features."""

    within: np.ndarray  # [n], mean over pairs of disjoint sets of the scene
    between: np.ndarray  # [n], mean over sets of other scenes

    @property
    def ratio(self) -> np.ndarray:
        """Within divided by between, [n]: 0 where r depends on the scene alone, 1 where it does not tell scenes apart."""
        return self.within / np.maximum(self.between, np.finfo(float).tiny)


def set_distances(features: np.ndarray) -> SetDistances:
    """Returns the mean distances of the sets of a scene to each other and to those of other scenes."""
    scenes, sets = features.shape[:2]
    flat = features.reshape(scenes * sets, -1)
    sums = cdist(flat, flat).reshape(scenes, sets, scenes, sets).sum((1, 3))
    own = np.diagonal(sums)
    return SetDistances(
        within=own / (sets * (sets - 1)),
        between=(sums.sum(1) - own) / (sets * sets * (scenes - 1)),
    )
