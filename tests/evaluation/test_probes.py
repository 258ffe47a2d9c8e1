"""Linear probes find what is linear in the features and nothing in noise, without seeing the scene that they predict."""

import numpy as np
import pytest

from zoo.evaluation.probes import classification_hits, relative_errors

RNG = np.random.default_rng(0)
SCENES = 100
LABELS = np.array(["red", "blue", "green", "grey"])[RNG.integers(4, size=SCENES)]
VALUES = RNG.normal(size=(SCENES, 2)) * [1.0, 5.0] + 3.0
NOISE = RNG.normal(size=(SCENES, 30))
ONE_HOT = (LABELS[:, None] == np.unique(LABELS)).astype(float)


def mixed(factors):
    """A linear map of factors into many dimensions, with an offset."""
    return factors @ RNG.normal(size=(factors.shape[1], 300)) * 0.01 + 7.0


def test_linear_factors_are_read_perfectly():
    features = mixed(np.concatenate([ONE_HOT, VALUES], axis=1))
    assert classification_hits(features, LABELS).mean() == 1.0
    assert relative_errors(features, VALUES).mean() < 1e-3


def test_noise_is_at_chance():
    assert classification_hits(NOISE, LABELS).mean() < 0.45
    assert 0.8 < relative_errors(NOISE, VALUES).mean() < 1.3


def test_a_constant_explains_nothing():
    nothing = np.zeros((SCENES, 1))
    assert relative_errors(nothing, VALUES).mean() == pytest.approx(1.0, abs=0.05)
    assert classification_hits(nothing, np.full(SCENES, "red")).mean() == 1.0


def test_a_feature_that_names_the_scene_alone_does_not_help():
    assert classification_hits(np.eye(SCENES), LABELS).mean() < 0.5
