"""Whether disjoint sets of views of one scene lie together: neighbour purity, retrieval and distances, per scene.

All are computed from the Euclidean distances between M disjoint sets of views of each of n scenes, [n, M, n, M].
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import euclidean_distances


def distances_between(features: np.ndarray) -> np.ndarray:
    """Returns the distances between all sets of all scenes, [n, M, n, M], for features [n, M, D] as they are."""
    scenes, sets = features.shape[:2]
    flat = features.reshape(scenes * sets, -1).astype(float)
    # Differences do not depend on the mean, and rounding does.
    return euclidean_distances(flat - flat.mean(0)).reshape(scenes, sets, scenes, sets)


def neighbour_purity(distances: np.ndarray, *, num_neighbours: int) -> np.ndarray:
    """Returns the share of the k nearest neighbours of a scene's sets that are of the same scene, [n].

    Args:
        distances: [n, M, n, M] with M of 2 or more.
        num_neighbours: k; no more than M - 1 are taken, so that 1 is possible. Chance is (M - 1) / (n M - 1).
    """
    scenes, sets = distances.shape[:2]
    k = min(num_neighbours, sets - 1)
    flat = distances.reshape(scenes * sets, -1).copy()
    np.fill_diagonal(flat, np.inf)
    nearest = np.argpartition(flat, k - 1, axis=1)[:, :k] // sets
    own = np.repeat(np.arange(scenes), sets)
    return (nearest == own[:, None]).mean(1).reshape(scenes, sets).mean(1)


def retrieval_accuracy(distances: np.ndarray) -> np.ndarray:
    """Returns how often a set of views finds its scene, [n]; chance is 1 / n.

    A set of a scene is compared with another set of every scene, and is right if its own scene is the nearest; the mean
    is over all ordered pairs of different sets, of distances [n, M, n, M].
    """
    scenes, sets = distances.shape[:2]
    hits = distances.argmin(2) == np.arange(scenes)[:, None, None]  # [n, M, M]: scene, its set, set of the others
    return hits[:, ~np.eye(sets, dtype=bool)].mean(1)


def distance_ratio(distances: np.ndarray) -> np.ndarray:
    """Returns the mean distance within a scene divided by that to other scenes, [n], of distances [n, M, n, M].

    It is 0 where r depends on the scene alone, and 1 where it does not tell scenes apart.
    """
    scenes, sets = distances.shape[:2]
    sums = distances.sum((1, 3))
    own = np.diagonal(sums)
    between = (sums.sum(1) - own) / (sets * sets * (scenes - 1))
    return own / (sets * (sets - 1)) / np.maximum(between, np.finfo(float).tiny)
