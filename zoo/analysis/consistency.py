"""Consistency between views that are predicted from one sample of the latents.

A model with latents of the scene (CGQN) renders all views of a sample from one draw of them, so that they agree; a model with
latents of the query (GQN) draws new ones for every view. Half the mean squared difference of two views of one sample is
compared with that of the same two views of different samples, by the turn of the camera between them. On cubes with digits,
the context shows three sides, the queries look at the fourth, and a classifier that is trained on true images reads them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Draw, Findings
from zoo.analysis.requirements import missing_views
from zoo.analysis.trends import trend_findings
from zoo.evaluation.consistency import Disagreement, disagreement, rotated, with_queries
from zoo.evaluation.digit_agreement import (
    DIGIT_EXTRAS,
    DigitAgreement,
    digit_agreement,
    hidden_sides,
    predict_sides,
    reading_accuracy,
    train_reader,
)
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import EvaluationBatch
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.trends import TrendPanel, trend_of
from zoo.training.trained_model import TrainedModel

TURNS = (0.0, 5.0, 15.0, 30.0)  # degrees, of the camera round the vertical axis
VIEWS = 5  # of one sample, in the sheet and of the hidden side
ROWS = ((0, 3), (1, 3))  # of the sheet: scene, number of samples
TRAINING_CUBES = 400
LEAST_ACCURACY = 0.9
ANEW = 0.8  # views of one sample of a model with latents of the query differ at least by this share of others
ROUNDING = 1e-10  # squared 0-to-1 range: sums over a batch depend on the position in it
PIXELS, PAIRS = "squared 0-to-1 range", "of pairs"


class Measured(NamedTuple):
    """What was measured of one model."""

    shared: bool  # whether the latents belong to the scene
    disagreement: Disagreement  # by turn
    views: Tensor  # [S, R, K, 3, H, W]: K views of each of S samples of the first R scenes
    digits: DigitAgreement | None  # None: the scenes are no cubes with digits

    @property
    def within_minus_between(self) -> np.ndarray:
        """Difference between the most distant views of one sample, minus that between two samples, [scenes]."""
        return self.disagreement.within[:, -1] - self.disagreement.between[:, -1]


missing = partial(missing_views, latents=True)


def run(given: AnalysisInputs) -> Findings:
    """Predicts views of one sample and of several, as far as the models were given context views in training."""
    found = {label: measure(given, trained, label=label) for label, trained in given.models.items()}
    accuracy = None
    if given.scenes.extras.keys() >= DIGIT_EXTRAS:
        accuracy, agreements = read_digits(given)
        found = {label: one._replace(digits=agreements[label]) for label, one in found.items()}
    trends = [
        trend_of(f"{label}, {name}", TURNS, list(values.T))
        for label, one in found.items()
        for name, values in (("one sample", one.disagreement.within), ("two samples", one.disagreement.between))
    ]
    panels = [TrendPanel("half the squared difference of two views", trends)]
    digits = [
        trend_of(label, (1, 2), [1.0 - one.digits.within, 1.0 - one.digits.between])
        for label, one in found.items()
        if one.digits is not None
    ]
    if digits:
        panels.append(TrendPanel("pairs of views with different digits", digits, along="samples compared"))
    return trend_findings(
        "consistency",
        claims=consistency_claims(found, accuracy=accuracy),
        panels=panels,
        along="turn of the camera (degrees)",
        sheets={"views": draw_views(found)},
    )


def measure(given: AnalysisInputs, trained: TrainedModel, *, label: str) -> Measured:
    """Measures one model on scenes whose cameras look at the vertical axis."""
    number = min(trained.variant.training.contexts.maximum, given.scenes.num_views - 1)
    evaluation = given.evaluation(trained, num_context=number)
    given.log(f"{label}: comparing {given.num_samples} samples given {number} views")
    turns = [math.radians(turn) for turn in TURNS]
    apart = disagreement(trained.model, evaluation, num_samples=given.num_samples, turns=turns)
    angles = torch.linspace(-0.5, 0.5, VIEWS) * math.radians(TURNS[-1])

    def predict(part: EvaluationBatch) -> Mapping[str, Tensor]:
        cameras = rotated(part.batch.cameras[:, number, None], angles)
        batch = with_queries(part.batch, num_context=number, cameras=cameras)
        samples = max(count for _, count in ROWS)
        expected = trained.model.predict(batch, evaluation.schedule, number, num_samples=samples).expected
        return {"views": expected.transpose(0, 1)}

    shown = replace(evaluation, scenes=np.array([scene for scene, _ in ROWS if scene < given.num_scenes]))
    views = torch.from_numpy(shown.score(predict, model=trained.model)["views"]).transpose(0, 1)
    return Measured(trained.model.core.latents == "scene", apart, views, None)


def read_digits(given: AnalysisInputs) -> tuple[float, dict[str, DigitAgreement]]:
    """Returns the accuracy of a reader on true images, and the agreement of the digits that it reads on hidden sides."""
    given.log("training a reader of digits on true images")
    reader = train_reader(given.other.open("train", num_scenes=TRAINING_CUBES))
    sides = hidden_sides(given.scenes, num_queries=VIEWS)
    chosen = sides.scenes < given.num_scenes
    sides = sides._replace(
        scenes=sides.scenes[chosen], views=sides.views[chosen], cameras=sides.cameras[torch.from_numpy(chosen)]
    )
    agreements = {}
    for label, trained in given.models.items():
        evaluation = replace(given.evaluation(trained, num_context=sides.views.shape[1]), plan=sides)
        predicted = predict_sides(trained.model, evaluation, num_samples=given.num_samples)
        agreements[label] = digit_agreement(reader, predicted)
    return reading_accuracy(reader, given.scenes), agreements


def draw_views(found: Mapping[str, Measured]) -> Draw:
    """Returns the function that draws one row per sample: views of one sample as each model predicts them."""
    scenes = next(iter(found.values())).views.shape[1]
    rows = [(scene, sample) for scene, samples in ROWS[:scenes] for sample in range(samples)]
    index, samples = (list(each) for each in zip(*rows, strict=True))
    groups = [ImageGroup(label, to_bytes(one.views[samples, index])) for label, one in found.items()]
    labels, title = [f"scene {scene}, sample {sample + 1}" for scene, sample in rows], ANALYSES["consistency"].title
    return lambda path: image_sheet(path, groups=groups, title=title, row_labels=labels)


def consistency_claims(found: Mapping[str, Measured], *, accuracy: float | None) -> list[Claim]:
    """Tests every model by where its latents belong, and compares models of both kinds, over the scenes."""
    expectations: list[Expectation | Claim] = []
    if accuracy is not None:
        text = "the reader recognises true digits"
        expectations.append(Claim(text, f"accuracy {accuracy:.3f}", accuracy > LEAST_ACCURACY, mean=accuracy))
    for label, one in found.items():
        expectations += _claims_of(label, one)
    ordered = sorted(found, key=lambda label: not found[label].shared)
    for shared, other in pairwise(ordered):
        if found[shared].shared and not found[other].shared:
            text = f"views of one sample differ less, relative to two samples, with {shared} than with {other}"
            pair = found[shared].within_minus_between, found[other].within_minus_between
            expectations.append(Expectation.less(text, *pair, unit=PIXELS))
    return conclude(expectations)


def _claims_of(label: str, one: Measured) -> list[Expectation | Claim]:
    within, between = one.disagreement.within, one.disagreement.between
    least = f"at a turn of {TURNS[-1]:g} degrees"
    if not one.shared:
        text = f"{label}: latents are sampled anew for every view, which differ as those of two samples do"
        note = f"{within[:, 0].mean():.4g} against {between[:, 0].mean():.4g}"
        difference = ANEW * between[:, 0] - within[:, 0]
        return [Expectation.below_zero(text, difference, unit=PIXELS, note=note)]
    claims: list[Expectation | Claim] = [
        Claim(
            f"{label}: the same view twice is the same image",
            f"largest variance {within[:, 0].max():.3g} over {len(within)} scenes",
            bool((within[:, 0] <= ROUNDING).all()),
        ),
        Expectation.less(
            f"{label}: {least} two views of one sample differ less than those of two samples",
            within[:, -1],
            between[:, -1],
            unit=PIXELS,
        ),
    ]
    if one.digits is not None:
        text = f"{label}: digits of the hidden side differ less within one sample than in two"
        claims.append(Expectation.less(text, 1.0 - one.digits.within, 1.0 - one.digits.between, unit=PAIRS))
    return claims
