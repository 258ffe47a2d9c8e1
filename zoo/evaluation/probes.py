"""Linear probes: how well a factor of the scene is a linear function of features, cross-validated over scenes.

Ridge regression and the ridge classifier (one against all) of scikit-learn. The strength of the penalty is chosen by
leave-one-out within the training scenes. Features are centred and divided by one common number, so that features of
almost no variance, such as collapsed latents, stay small.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import KFold

FOLDS = KFold(5, shuffle=True, random_state=0)  # a scene is predicted by a probe that was not trained on it
STRENGTHS = np.logspace(-3.0, 5.0, 17)  # of features [D] with squared norm D in the mean


def classification_hits(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns whether a linear probe of features [n, D] names the label of every scene rightly, [n] float: 1 or 0.

    Labels [n] are any hashable values.
    """
    hits = np.zeros(len(labels))
    for train, test in FOLDS.split(features):
        if len(set(labels[train])) == 1:
            hits[test] = labels[test] == labels[train][0]
            continue
        inputs, others = _scaled(features[train], features[test])
        probe = RidgeClassifierCV(STRENGTHS).fit(inputs, labels[train])
        hits[test] = probe.predict(others) == labels[test]
    return hits


def relative_errors(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the squared error of a linear probe of every scene in units of the values' variance, [n]; 1 - mean is R^2.

    Values [n, K] are predicted together from features [n, D]; the mean over K is returned.
    """
    predicted = np.zeros_like(values, dtype=float)
    for train, test in FOLDS.split(features):
        inputs, others = _scaled(features[train], features[test])
        predicted[test] = RidgeCV(STRENGTHS).fit(inputs, values[train]).predict(others).reshape(len(test), -1)
    return ((predicted - values) ** 2 / values.var(0)).mean(1)


def _scaled(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both centred and scaled by the training scenes."""
    mean = train.mean(0)
    scale = np.sqrt(((train - mean) ** 2).mean()) or 1.0
    return (train - mean) / scale, (test - mean) / scale
