"""Made up its mind: from one draw of its latents CGQN shows one scene, GQN another one with every question.

The context shows three sides of a cube with digits; the questions look at the fourth from left to right. Which digit it
bears cannot be known. GQN draws latents for every query, so that its answers name now this digit, now that; CGQN draws
them for the scene, and whatever is asked of one draw agrees. A classifier trained on true images reads the answers.
Both models have the same encoder, about as many weights, and are trained on the same batches of five targets each.

The paper reports a lower joint NELBO for CGQN after full training. After these minutes it is GQN that is ahead, perhaps
because its posterior reads each image by itself and that of CGQN reads all of them out of one sum; a claim says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.evaluation.consistency import Disagreement, disagreement
from zoo.evaluation.digit_agreement import DigitAgreement, HiddenSides, digit_agreement, hidden_sides, predicted_sides
from zoo.evaluation.digit_reader import DigitReader, reading_accuracy, train_reader
from zoo.evaluation.images import to_bytes
from zoo.evaluation.nelbo import score_scenes
from zoo.figures.sheets import ImageColumn, image_columns
from zoo.figures.trends import Trend, TrendPanel, trend_panels
from zoo.training.trained_model import TrainedModel

TITLE = "One draw of CGQN's latents shows one digit from everywhere; GQN decides anew with every question"
PAPER = "Kumar et al. 2018, Consistent generative query networks, arXiv 1807.02033 (figures 6 and 7)"
MINUTES = 12

DATASET = "printed_cube"
SCENES: Mapping[Split, int] = {"train": 1500, "validation": 64, "test": 240}
IMAGE_SIZE = 16
GQN, CGQN = "gqn-jump", "cgqn"
NUM_CONTEXT = 3
VIEWS, SAMPLES = 5, 8  # questions about a hidden side, and how often the latents are drawn
TARGETS = (1, 2, 4, 8)  # images scored together
BATCH_SIZE = 40
ROWS = ((0, 3), (1, 3))  # of the figure: scenes, and samples of each
LEAST_ACCURACY = 0.9
ROUNDING = 1e-10  # squared 0-to-1 range: a image may lie elsewhere in a batch, and be summed in another order


class Findings(NamedTuple):
    """What was measured of one model on the test scenes."""

    disagreement: Disagreement
    agreement: DigitAgreement
    excess: Mapping[int, np.ndarray]  # K -> [scenes] joint NELBO of K targets above its floor, nats a target
    kl: Mapping[int, np.ndarray]  # K -> [scenes] its KL, nats a target
    expected: Tensor  # [S, scenes, K, 3, H, W]: the hidden sides
    context: np.ndarray  # [scenes, 3, H, W, 3] uint8


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains both models and the reader, asks for the hidden sides, and draws the answers and the joint NELBO."""
    data = workshop.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE)
    test = open_scenes(data, "test")
    workshop.tell("training a reader of digits on true images")
    reader = train_reader(open_scenes(data, "train"))
    accuracy = reading_accuracy(reader, test)
    questions = hidden_sides(test, num_queries=VIEWS)
    found = {name: findings(workshop.trained(name, data=data), test, questions, reader) for name in (GQN, CGQN)}
    draw_answers(workshop, found)
    draw_costs(workshop, found)
    return judge(found, accuracy=accuracy)


def findings(trained: TrainedModel, test: SceneSource, questions: HiddenSides, reader: DigitReader) -> Findings:
    """Measures one model."""
    model, schedule = trained.model, evaluation_schedule_values(trained.variant.training)
    plans = {count: EvaluationPlan(test, num_context=NUM_CONTEXT, num_targets=count) for count in TARGETS}
    sides = predicted_sides(
        model, test, questions, schedule=schedule, num_samples=SAMPLES, batch_size=BATCH_SIZE, device="cpu"
    )
    scores = {
        count: score_scenes(model, test, plan, schedule=schedule, batch_size=BATCH_SIZE, device="cpu")
        for count, plan in plans.items()
    }
    return Findings(
        disagreement=disagreement(
            model, test, plans[1], schedule=schedule, batch_size=BATCH_SIZE, num_samples=SAMPLES, device="cpu"
        ),
        agreement=digit_agreement(reader, sides.expected),
        excess={count: score["nelbo_excess"] for count, score in scores.items()},
        kl={count: score["kl"] for count, score in scores.items()},
        expected=sides.expected,
        context=sides.context,
    )


def judge(found: Mapping[str, Findings], *, accuracy: float) -> list[Claim]:
    """Tests on the same scenes, paired, what one draw of the latents should decide."""
    gqn, cgqn = found[GQN], found[CGQN]
    few, many = TARGETS[0], TARGETS[-1]

    def below(text: str, less: np.ndarray, more: np.ndarray, *, unit: str) -> Claim:
        """Claims that ``less`` is below ``more``; the measured numbers open with both means."""
        claim = Claim.below_zero(text, paired_t_test(less - more), unit=unit)
        return claim._replace(measured=f"{less.mean():.4g} against {more.mean():.4g}, {claim.measured}")

    def more_agreement(text: str, more: np.ndarray, less: np.ndarray) -> Claim:
        claim = Claim.below_zero(text, paired_t_test(less - more), unit="of pairs")
        return claim._replace(measured=f"{more.mean():.3f} against {less.mean():.3f}, {claim.measured}")

    repeated = cgqn.disagreement.within[:, 0]
    by_turn = ", ".join(
        f"{np.degrees(turn):.0f} degrees: CGQN {own:.3f}, GQN {other:.3f}"
        for turn, own, other in zip(
            cgqn.disagreement.turns, cgqn.disagreement.share(), gqn.disagreement.share(), strict=True
        )
    )
    return [
        Claim(
            "the reader knows the digits of true images",
            f"{accuracy:.3f} of the frontal views of test cubes read correctly",
            accuracy > LEAST_ACCURACY,
        ),
        Claim(
            "CGQN answers a question asked twice twice the same",
            f"largest variance {repeated.max():.3g} over {len(repeated)} scenes",
            bool((repeated <= ROUNDING).all()),
        ),
        below(
            "GQN's answers to a question asked twice differ more than CGQN's",
            repeated,
            gqn.disagreement.within[:, 0],
            unit="squared 0-to-1 range",
        ),
        below(
            "nearby views of one draw differ less, beside those of two draws, than GQN's do",
            cgqn.disagreement.within[:, -1] - cgqn.disagreement.between[:, -1],
            gqn.disagreement.within[:, -1] - gqn.disagreement.between[:, -1],
            unit=f"squared 0-to-1 range; share of the difference at {by_turn}",
        ),
        more_agreement(
            "two views of the hidden side name the same digit more often if CGQN draws them together than apart",
            cgqn.agreement.within,
            cgqn.agreement.between,
        ),
        more_agreement(
            "CGQN names one digit from everywhere more often than GQN", cgqn.agreement.within, gqn.agreement.within
        ),
        more_agreement(
            "and what it gains by drawing them together is more than GQN's gain",
            cgqn.agreement.within - cgqn.agreement.between,
            gqn.agreement.within - gqn.agreement.between,
        ),
        below(
            f"CGQN pays for its scene once: a image costs less among {many} than by itself",
            cgqn.excess[many],
            cgqn.excess[few],
            unit="nats",
        ),
        below(
            f"what consistency costs after so short a training: the joint NELBO of {many} images is lower for GQN",
            gqn.excess[many],
            cgqn.excess[many],
            unit="nats a image",
        ),
    ]


def draw_costs(workshop: AnalysisContext, found: Mapping[str, Findings]) -> None:
    """Draws what a image costs each model among K that are scored together."""

    def panel(quantity: str, of: Mapping[str, Mapping[int, np.ndarray]]) -> TrendPanel:
        return TrendPanel(
            quantity, [Trend(name, TARGETS, [costs[count] for count in TARGETS]) for name, costs in of.items()]
        )

    panels = [
        panel("joint NELBO excess (nats a image)", {name: one.excess for name, one in found.items()}),
        panel("KL (nats a image)", {name: one.kl for name, one in found.items()}),
    ]
    trend_panels(
        workshop.image("consistency-nelbo"),
        panels=panels,
        along="images scored together",
        title="What one image costs among others of its scene",
    )


def draw_answers(workshop: AnalysisContext, found: Mapping[str, Findings]) -> None:
    """Draws rows of samples: the context, then the hidden side from left to right as each model sees it."""
    rows = [(scene, sample) for scene, samples in ROWS for sample in range(samples)]
    scenes, samples = (list(index) for index in zip(*rows, strict=True))
    context = next(iter(found.values())).context[scenes]
    columns = [ImageColumn("context" if place == 1 else "", context[:, place]) for place in range(context.shape[1])]
    for name, one in found.items():
        answers = to_bytes(one.expected[samples, scenes])
        columns += [ImageColumn(name if place == VIEWS // 2 else "", answers[:, place]) for place in range(VIEWS)]
    image_columns(
        workshop.image("consistency"),
        columns=columns,
        title=TITLE,
        row_labels=[f"scene {scene}, draw {sample + 1}" for scene, sample in rows],
    )
