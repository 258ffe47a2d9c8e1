"""How far r depends on the viewpoint: disjoint sets of views of a scene against sets of other scenes.

Two numbers per scene: the mean distance between its own sets, divided by that to sets of other scenes (0: r depends on
the scene alone; 1: it does not tell scenes apart), and how often one set finds another of its scene among those of all
scenes. Both are measured for r, for latents of a VAE and for pixels of the same views (after Eslami et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.intervals import interval_findings, interval_of
from zoo.analysis.view_sets import Systems, measure_sets, missing_representation, systems_of
from zoo.evaluation.neighbours import distance_ratio, distances_between, retrieval_accuracy

SIZES = (1, 2, 4)  # N, views of a set
RATIO, RETRIEVAL = "distance within / between scenes", "retrieved scenes (share)"

missing = missing_representation


class Invariance(NamedTuple):
    """Scores of one system, per scene."""

    ratio: np.ndarray  # [n], distance within divided by distance between scenes
    retrieval: np.ndarray  # [n], 0 to 1


def run(given: AnalysisInputs) -> Findings:
    """Measures all systems on the same sets of views of 1, 2 and 4 views."""
    systems = systems_of(given)
    found = measure_sets(given, systems, sizes=SIZES, measure=measure)
    intervals = [
        interval_of(getattr(one, name), quantity=quantity, case=f"{size} view(s)", series=label)
        for name, quantity in (("ratio", RATIO), ("retrieval", RETRIEVAL))
        for size, scores in found.items()
        for label, one in scores.items()
    ]
    return interval_findings("invariance", claims=invariance_claims(found, systems), intervals=intervals)


def measure(features: np.ndarray) -> Invariance:
    """Returns the scores of features [n, M, D]."""
    distances = distances_between(features)
    return Invariance(distance_ratio(distances), retrieval_accuracy(distances))


def invariance_claims(found: Mapping[int, Mapping[str, Invariance]], systems: Systems) -> list[Claim]:
    """Compares r with the other systems, scene by scene."""
    expectations = []
    for size, scores in found.items():
        for label, other in systems.pairs:
            own, theirs = scores[label], scores[other]
            text = f"{label}, {size} view(s): r depends less on the viewpoint, relative to the scene, than {other}"
            expectations.append(Expectation.less(text, own.ratio, theirs.ratio, unit="of the distance between scenes"))
            text = f"{label}, {size} view(s): fewer scenes are retrieved by {other} than by r"
            expectations.append(Expectation.less(text, theirs.retrieval, own.retrieval, unit="of the scenes"))
    return conclude(expectations)
