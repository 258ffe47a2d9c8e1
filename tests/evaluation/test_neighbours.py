"""Neighbour purity, retrieval and distances of features that depend on the scene alone, not at all, and in part."""

import numpy as np
import pytest

from zoo.evaluation.neighbours import distance_ratio, distances_between, neighbour_purity, retrieval_accuracy

SCENES, SETS, WIDTH = 60, 4, 16
RNG = np.random.default_rng(0)
OF_SCENE = np.repeat(RNG.normal(size=(SCENES, 1, WIDTH)), SETS, axis=1)
NOISE = distances_between(RNG.normal(size=(SCENES, SETS, WIDTH)))


def test_features_of_the_scene_alone_are_perfect():
    distances = distances_between(OF_SCENE)
    assert (
        neighbour_purity(distances, num_neighbours=SETS - 1).tolist()
        == retrieval_accuracy(distances).tolist()
        == [1.0] * SCENES
    )
    assert distance_ratio(distances).max() < 1e-6


def test_noise_is_at_chance():
    assert neighbour_purity(NOISE, num_neighbours=SETS - 1).mean() == pytest.approx(
        (SETS - 1) / (SCENES * SETS - 1), abs=0.02
    )
    assert retrieval_accuracy(NOISE).mean() == pytest.approx(1 / SCENES, abs=0.02)
    assert distance_ratio(NOISE).mean() == pytest.approx(1.0, abs=0.02)


def test_views_that_outweigh_the_scene_lower_purity_and_raise_the_ratio():
    # The same displacement of view m in all scenes: a set is nearest to the sets of other scenes from the same views.
    distances = distances_between(OF_SCENE + 20.0 * RNG.normal(size=(1, SETS, WIDTH)))
    assert neighbour_purity(distances, num_neighbours=SETS - 1).max() == 0.0
    assert distance_ratio(distances).mean() > 1.0


def test_distances_are_those_of_a_plain_loop():
    features = 100.0 + RNG.normal(size=(4, 3, 5))
    distances = distances_between(features)
    for place in np.ndindex(distances.shape):
        expected = np.linalg.norm(features[place[:2]] - features[place[2:]])
        assert distances[place] == pytest.approx(expected, abs=1e-6)


def test_one_scene_apart_has_a_purity_of_its_own():
    features = RNG.normal(size=(SCENES, SETS, WIDTH))
    features[7] += 100.0
    purity = neighbour_purity(distances_between(features), num_neighbours=2)
    assert purity[7] == 1.0 and np.delete(purity, 7).mean() < 0.1
