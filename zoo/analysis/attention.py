"""Many views: a sum blurs what it is given, attention finds it.

Three systems of about equal size, which differ in nothing but how the generator reads the context: GQN the sum of the
views' maps, attention GQN a softmax over the patches of all views, E-GQN a softmax over the places along the epipolar
lines of what each position shows. All have the same encoder of the views and train on the same batches. They are then
asked for the same test images given more and more views.

Attention here asks with a key for every position of the state, and its keys know pose and place: the one key a step of
the paper, made of features alone, tells all positions the same, which is too little in a few steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.evaluation.images import score_images, sheet_of
from zoo.evaluation.nelbo import score_scenes
from zoo.figures.sheets import ImageColumn, image_columns
from zoo.figures.trends import Trend, TrendPanel, trend_panels
from zoo.training.trained_model import TrainedModel

TITLE = "Attention finds in many views what their sum blurs"
PAPER = (
    "Rosenbaum et al. 2018, Learning models for visual 3D localization with implicit mapping, arXiv 1807.03149; "
    "Tobin et al. 2019, Geometry-aware neural rendering, NeurIPS"
)
MINUTES = 10

DATASET = "rooms_ring_camera"
SCENES: Mapping[Split, int] = {"train": 2000, "validation": 64, "test": 200}
IMAGE_SIZE, NUM_VIEWS = 32, 13
CONTEXTS = (1, 2, 4, 8, 12)
SAMPLES = 4
ROWS = 6
BATCH_SIZE = 40

SUM, ATTENTION, EPIPOLAR = "sum", "attention", "epipolar lines"
STEPS = 1200
# The same for all: sizes of the recurrent core and of the encoder, batches and schedules; sigma falls as in the paper.
COMMON = (
    "encoder.channels=32",
    "core.steps=3",
    "core.z_channels=4",
    "core.hidden_channels=32",
    "core.canvas_channels=16",
    "core.read_channels=16",
    f"training.steps={STEPS}",
    "training.batch_size=16",
    "training.learning_rate.start=2.0e-3",
    "training.learning_rate.end=3.0e-4",
    f"training.learning_rate.steps={STEPS}",
    "training.sigma.start=2.0",
    "training.sigma.end=0.7",
    f"training.sigma.steps={STEPS}",
    "training.contexts.minimum=1",
    "training.contexts.maximum=10",
)
SYSTEMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    SUM: ("gqn-tower", ()),
    ATTENTION: (
        "gqn-attention",
        (
            "core.key_channels=32",
            "core.value_channels=64",
            "core.heads=2",
            "core.reads=position",
            "core.keys=placed",
            "core.places=rays",
        ),
    ),
    EPIPOLAR: ("gqn-epipolar", ("core.key_channels=16", "core.value_channels=32", "core.samples=8")),
}


class Scores(NamedTuple):
    """What one system scores given some number of views, [scenes] float64 each."""

    mse: np.ndarray  # of the mean of the predictions, squared 0-to-1 range
    excess: np.ndarray  # NELBO above its floor, nats a image


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains all three, scores them given 1 to 12 views, and draws ``attention.png`` and ``attention-images.png``."""
    data = workshop.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE, num_views=NUM_VIEWS)
    test = open_scenes(data, "test")
    scores: dict[str, list[Scores]] = {}
    columns: list[ImageColumn] = []
    for system, (variant, changes) in SYSTEMS.items():
        label = f"attention-{variant}"
        trained = workshop.trained(variant, data=data, overrides=(*COMMON, *changes), label=label)
        workshop.tell(
            f"{system}, {trained.model.num_parameters} parameters: scoring {SCENES['test']} test scenes given "
            f"{CONTEXTS[0]} to {CONTEXTS[-1]} views"
        )
        scores[system] = [score(trained, test, num_context=number) for number in CONTEXTS]
        columns += images(trained, test, system=system, with_truth=not columns)
    trend_panels(workshop.image("attention"), panels=panels_of(scores), along="context views", title=TITLE)
    image_columns(
        workshop.image("attention-images"),
        columns=columns,
        title=f"the mean prediction given {CONTEXTS[-1]} views",
    )
    return judge(scores)


def score(trained: TrainedModel, test: SceneSource, *, num_context: int) -> Scores:
    """Scores every test scene's first target given so many views of it."""
    plan = EvaluationPlan(test, num_context=num_context, num_targets=1)
    options: dict[str, Any] = {
        "schedule": evaluation_schedule_values(trained.variant.training),
        "batch_size": BATCH_SIZE,
        "device": "cpu",
    }
    return Scores(
        mse=score_images(trained.model, test, plan, num_samples=SAMPLES, **options)["mse"],
        excess=score_scenes(trained.model, test, plan, **options)["nelbo_excess"],
    )


def images(trained: TrainedModel, test: SceneSource, *, system: str, with_truth: bool) -> list[ImageColumn]:
    """Predicts the targets of the first scenes given all views."""
    sheet = sheet_of(
        trained.model,
        test,
        EvaluationPlan(test, num_context=CONTEXTS[-1], num_targets=1),
        scenes=np.arange(ROWS),
        schedule=evaluation_schedule_values(trained.variant.training),
        num_samples=1,
        device="cpu",
    )
    truth = (
        [ImageColumn("a context view", sheet.context[:, 0]), ImageColumn("truth", sheet.truth)] if with_truth else []
    )
    return [*truth, ImageColumn(system, sheet.mean)]


def panels_of(scores: Mapping[str, list[Scores]]) -> list[TrendPanel]:
    """Arranges the scores of all systems for the figure."""
    return [
        TrendPanel(
            name, [Trend(system, CONTEXTS, [getattr(one, field) for one in found]) for system, found in scores.items()]
        )
        for field, name in (("mse", "MSE of the mean prediction"), ("excess", "NELBO excess (nats)"))
    ]


def judge(scores: Mapping[str, list[Scores]]) -> list[Claim]:
    """Puts the scores into claims; all differences are between the same test images."""
    claims = []
    summed = scores[SUM]
    for system in (ATTENTION, EPIPOLAR):
        found = scores[system]
        for number in CONTEXTS[-2:]:
            place = CONTEXTS.index(number)
            claims.append(
                Claim.below_zero(
                    f"given {number} views, {system} predict better than the sum",
                    paired_t_test(found[place].mse - summed[place].mse),
                    unit=f"MSE, of {summed[place].mse.mean():.4f}",
                )
            )
        claims += [
            Claim.below_zero(
                f"given {CONTEXTS[-1]} views, {system} need fewer nats than the sum",
                paired_t_test(found[-1].excess - summed[-1].excess),
                unit=f"nats, of {summed[-1].excess.mean():.1f}",
            ),
            Claim.below_zero(
                f"from {CONTEXTS[0]} view to {CONTEXTS[-1]}, {system} gain more than the sum",
                paired_t_test((found[-1].mse - found[0].mse) - (summed[-1].mse - summed[0].mse)),
                unit="MSE",
            ),
        ]
    return claims
