"""Localisation of images: directly with reversed models, and by inversion of models that predict images.

A reversed model predicts the camera of an image. A model of images is searched for cameras whose predicted image is the given
one, under the cameras of other scenes as a prior. Height and pitch are known; place and yaw are estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Draw, Findings
from zoo.errors import ConfigError
from zoo.evaluation.candidates import localisation_method
from zoo.evaluation.localisation import Located, Search, localise
from zoo.evaluation.pose_grid import PosePrior, grid_over, read_cameras
from zoo.figures.probability_maps import probability_maps
from zoo.training.trained_model import TrainedModel

TRAINING_SCENES = 200  # whose cameras are the prior
PLACES, DIRECTIONS = 16, 18  # of the grid: positions per side, directions
SEARCH = Search(starts=2, steps=20, batch_size=64)
DENSITIES_AT_ONCE = 4096  # of a reversed model, which predicts once per image
SHARE = 0.5  # the largest error, relative to the best constant estimate
ROWS = 3  # images of the figure

Found = Mapping[int, Sequence[Located]]  # number of context views -> one localised image per scene, in order


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model lacks: images at cameras, or cameras of images."""
    try:
        localisation_method(trained.model)
    except ConfigError:
        return "a model that predicts images at cameras, or the place and yaw of cameras of images"
    return None


def run(given: AnalysisInputs) -> Findings:
    """Localises the first target of every scene, given few and given many context views."""
    known = read_cameras(given.other.open("train", num_scenes=TRAINING_SCENES))
    prior = PosePrior("cameras", grid=grid_over(known, places=PLACES, turns=DIRECTIONS), cameras=known)
    found: dict[str, dict[int, list[Located]]] = {}
    for label, trained in given.models.items():
        contexts = trained.variant.training.contexts
        numbers = sorted({contexts.minimum, min(contexts.maximum, given.scenes.num_views - 1)})
        direct = localisation_method(trained.model) == "direct"
        search = replace(SEARCH, samples=given.num_samples, batch_size=DENSITIES_AT_ONCE) if direct else SEARCH
        found[label] = {}
        for number in numbers:
            given.log(f"{label}: localising {given.num_scenes} images given {number} views")
            evaluation = given.evaluation(trained, num_context=number)
            found[label][number] = localise(trained.model, evaluation, prior=prior, search=search)
    return Findings(claims=localisation_claims(found), table=map_table(found), draw=map_figure(found))


def _shown(found: Mapping[str, Found]) -> list[dict[str, Located]]:
    """Returns the maps of the first scenes by their titles."""
    count = min(len(located) for by_number in found.values() for located in by_number.values())
    return [
        {
            f"{label}, {number} views": located[row]
            for label, by_number in found.items()
            for number, located in by_number.items()
        }
        for row in range(min(ROWS, count))
    ]


def map_figure(found: Mapping[str, Found]) -> Draw:
    """Returns the function that draws the maps of the first scenes."""
    return lambda path: probability_maps(path, _shown(found), title=ANALYSES["localisation"].title)


def map_table(found: Mapping[str, Found]) -> pd.DataFrame:
    """Returns what is drawn: for every map the probability of each place, then the cameras; yaw in degrees."""
    rows: list[tuple[object, ...]] = []
    for shown in _shown(found):
        for label, one in shown.items():
            about = (one.scene, label)
            cells = np.ndenumerate(one.floor_mass)
            rows += [
                (*about, "place", float(one.grid.x[x]), float(one.grid.y[y]), None, mass) for (y, x), mass in cells
            ]
            cameras = [("context camera", camera) for camera in one.context]
            cameras += [("true camera", one.truth), ("estimate", one.estimate)]
            rows += [
                (*about, item, camera[0], camera[1], float(np.degrees(camera[3])), None) for item, camera in cameras
            ]
    return pd.DataFrame(rows, columns=["scene", "panel", "kind", "x", "y", "yaw_degrees", "probability"])


def localisation_claims(found: Mapping[str, Found]) -> list[Claim]:
    """Compares every model with the best constant estimate, and few context views with many, over the images."""
    expectations = []
    for label, by_number in found.items():
        few, many = min(by_number), max(by_number)
        # Errors below half of those of the best constant estimate.
        errors = (
            ("position", "scene units", [(one.position_error, one.prior_position_error) for one in by_number[many]]),
            ("yaw", "degrees", [(one.angle_error, one.prior_angle_error) for one in by_number[many]]),
        )
        for quantity, unit, pairs in errors:
            ours, constant = np.array(pairs).T
            text = f"{label}, {many} views: the error of {quantity} is below {SHARE:g} of that of the best constant estimate"
            note = f"{ours.mean():.3g} against {constant.mean():.3g} {unit}"
            expectations.append(Expectation.below_zero(text, ours - SHARE * constant, unit=unit, note=note))
        if few == many:
            continue
        pair = (np.array([one.position_error for one in by_number[number]]) for number in (many, few))
        text = f"{label}: the error of position is lower given {many} views than given {few}"
        expectations.append(Expectation.less(text, *pair, unit="scene units"))
    return conclude(expectations)
