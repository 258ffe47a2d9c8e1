"""Consistency between views that are predicted from one sample of the latents: CGQN against GQN.

The context shows three sides of a cube with digits; the queries look at the fourth side from left to right. Its digit is
unknown. GQN samples latents per query, so that its predictions show different digits; CGQN samples them per scene, and
all predictions of one sample agree. A classifier that is trained on true images reads the digits. Both models have the same
encoder, about as many parameters, and the same training batches of five targets.

The paper reports a lower joint NELBO of CGQN after full training. After these minutes GQN has the lower one, perhaps
because its posterior encodes each image by itself and that of CGQN the sum of all; one claim states this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

from zoo.analysis.catalogue import DEMONSTRATIONS
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import AnalysisContext
from zoo.analysis.scores import Scores, evaluation_of, panels_of
from zoo.data.opening import open_scenes
from zoo.data.source import SceneSource, Split
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.consistency import Disagreement, disagreement
from zoo.evaluation.digit_agreement import (
    DigitAgreement,
    DigitReader,
    HiddenSides,
    digit_agreement,
    hidden_sides,
    predict_sides,
    reading_accuracy,
    train_reader,
)
from zoo.evaluation.images import to_bytes
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.trends import trend_panels
from zoo.training.trained_model import TrainedModel

DATASET = "printed_cube"
SCENES: Mapping[Split, int] = {"train": 1500, "validation": 64, "test": 240}
IMAGE_SIZE = 16
GQN, CGQN = "gqn-jump", "cgqn"
NUM_CONTEXT = 3
VIEWS, SAMPLES = 5, 8  # queries of a hidden side, and samples of the latents
TARGETS = (1, 2, 4, 8)  # images scored together
ROWS = ((0, 3), (1, 3))  # of the figure: scene, number of samples
LEAST_ACCURACY = 0.9
ROUNDING = 1e-10  # squared 0-to-1 range: sums over a batch depend on the position in it
PIXELS, PAIRS, NATS = "squared 0-to-1 range", "of pairs", "nats/image"
QUANTITIES = {"nelbo_excess": "joint excess NELBO (nats/image)", "kl": "KL (nats/image)"}


class Findings(NamedTuple):
    """The measurements of one model on the test scenes."""

    disagreement: Disagreement
    agreement: DigitAgreement
    bounds: Scores  # by the number of targets
    expected: Tensor  # [S, scenes, K, 3, H, W]: the hidden sides
    context: np.ndarray  # [scenes, 3, H, W, 3] uint8


def run(context: AnalysisContext) -> list[Claim]:
    """Trains both models and the reader, predicts hidden sides, and draws ``consistency*.png``."""
    data = context.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE)
    test = open_scenes(data, "test")
    context.log("training a reader of digits on true images")
    reader = train_reader(open_scenes(data, "train"))
    accuracy = reading_accuracy(reader, test)
    sides = hidden_sides(test, num_queries=VIEWS)
    found = {name: measure(context.trained(name, data=data), test, sides, reader) for name in (GQN, CGQN)}
    draw_predictions(context, found)
    draw_bounds(context, found)
    return consistency_claims(found, accuracy=accuracy)


def measure(trained: TrainedModel, test: SceneSource, sides: HiddenSides, reader: DigitReader) -> Findings:
    """Measures one model."""
    model = trained.model
    evaluations = {count: evaluation_of(trained, test, num_context=NUM_CONTEXT, num_targets=count) for count in TARGETS}
    hidden = replace(evaluations[1], plan=sides)
    predicted = predict_sides(model, hidden, num_samples=SAMPLES)
    return Findings(
        disagreement=disagreement(model, evaluations[1], num_samples=SAMPLES),
        agreement=digit_agreement(reader, predicted.expected),
        bounds={count: score_scenes(model, evaluation) for count, evaluation in evaluations.items()},
        expected=predicted.expected,
        context=predicted.context,
    )


def consistency_claims(found: Mapping[str, Findings], *, accuracy: float) -> list[Claim]:
    """Compares both models on the same scenes."""
    gqn, cgqn = found[GQN], found[CGQN]
    few, many = TARGETS[0], TARGETS[-1]
    less, repeated = Expectation.less, cgqn.disagreement.within[:, 0]

    def nearby(one: Findings) -> np.ndarray:
        """The difference between nearby views of one sample, minus that between two samples."""
        return one.disagreement.within[:, -1] - one.disagreement.between[:, -1]

    # The share of pairs of views of the hidden side that show different digits.
    in_one = {name: 1.0 - one.agreement.within for name, one in found.items()}
    in_two = {name: 1.0 - one.agreement.between for name, one in found.items()}
    gap = {name: in_one[name] - in_two[name] for name in found}
    alone, among_many = (cgqn.bounds[count]["nelbo_excess"] for count in (few, many))
    with_gqn = gqn.bounds[many]["nelbo_excess"]
    return conclude(
        [
            Claim("the reader recognises true digits", f"accuracy {accuracy:.3f}", accuracy > LEAST_ACCURACY),
            Claim(
                "CGQN predicts the same image twice for the same query",
                f"largest variance {repeated.max():.3g} over {len(repeated)} scenes",
                bool((repeated <= ROUNDING).all()),
            ),
            less("repeated predictions differ less with CGQN", repeated, gqn.disagreement.within[:, 0], unit=PIXELS),
            less("nearby views of one sample differ less with CGQN", nearby(cgqn), nearby(gqn), unit=PIXELS),
            less("digits differ less within one sample of CGQN than in two", in_one[CGQN], in_two[CGQN], unit=PAIRS),
            less("digits within one sample differ less with CGQN", in_one[CGQN], in_one[GQN], unit=PAIRS),
            less("the difference between one sample and two is larger with CGQN", gap[CGQN], gap[GQN], unit=PAIRS),
            less(f"CGQN: an image costs less among {many} than alone", among_many, alone, unit=NATS),
            less(f"after so short a training, {many} images cost less with GQN", with_gqn, among_many, unit=NATS),
        ]
    )


def draw_bounds(context: AnalysisContext, found: Mapping[str, Findings]) -> None:
    """Draws the NELBO per image against the number of images that are scored together."""
    trend_panels(
        context.image("consistency-nelbo"),
        panels=panels_of({name: one.bounds for name, one in found.items()}, QUANTITIES),
        along="images scored together",
        title="NELBO of one image among others of its scene",
    )


def draw_predictions(context: AnalysisContext, found: Mapping[str, Findings]) -> None:
    """Draws one row per sample: the context, then the hidden side from left to right as each model predicts it."""
    rows = [(scene, sample) for scene, samples in ROWS for sample in range(samples)]
    scenes, samples = (list(index) for index in zip(*rows, strict=True))
    groups = [ImageGroup(f"{NUM_CONTEXT} context views", next(iter(found.values())).context[scenes])]
    groups += [ImageGroup(name, to_bytes(one.expected[samples, scenes])) for name, one in found.items()]
    image_sheet(
        context.image("consistency"),
        groups=groups,
        title=DEMONSTRATIONS["consistency"].title,
        row_labels=[f"scene {scene}, sample {sample + 1}" for scene, sample in rows],
    )
