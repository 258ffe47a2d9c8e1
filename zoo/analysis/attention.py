"""Attention against the sum of the views, given 1 to 12 context views.

Three models of about equal size differ in how the generator reads the context: GQN the sum of the views' feature maps,
attention GQN a softmax over the patches of all views, E-GQN a softmax over positions along the epipolar lines. The encoder
of the views and the training batches are the same. All are scored on the same test images.

Attention here has one query per position of the state and keys of features, pose and position. With the paper's single
query per step and keys of features alone, all positions read the same value, which needs longer training.
"""

from __future__ import annotations

from collections.abc import Mapping

from zoo.analysis.catalogue import DEMONSTRATIONS
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import SMALL_CORE, AnalysisContext
from zoo.analysis.scores import Scores, evaluation_of, panels_of, score_by_context
from zoo.data.opening import open_scenes
from zoo.data.source import Split
from zoo.evaluation.images import sheet_of
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.trends import trend_panels

DATASET = "rooms_ring_camera"
SCENES: Mapping[Split, int] = {"train": 2000, "validation": 64, "test": 200}
IMAGE_SIZE, NUM_VIEWS = 32, 13
CONTEXTS = (1, 2, 4, 8, 12)
SAMPLES = 4
ROWS = 6

SUM, ATTENTION, EPIPOLAR = "sum", "attention", "epipolar lines"
# The same for all models: sizes of the recurrent core and the encoder, batches, schedules.
COMMON = (
    *SMALL_CORE,
    "training.steps=1200",
    "training.batch_size=16",
    "training.learning_rate={start: 2.0e-3, end: 3.0e-4, steps: 1200}",
    "training.sigma={start: 2.0, end: 0.7, steps: 1200}",
    "training.contexts={minimum: 1, maximum: 10}",
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
QUANTITIES = {"mse": "MSE of the mean prediction", "nelbo_excess": "excess NELBO (nats)"}


def run(context: AnalysisContext) -> list[Claim]:
    """Trains and scores all three models, and draws ``attention.png`` and ``attention-images.png``."""
    data = context.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE, num_views=NUM_VIEWS)
    test = open_scenes(data, "test")
    scores: dict[str, Scores] = {}
    groups: list[ImageGroup] = []
    for system, (variant, changes) in SYSTEMS.items():
        trained = context.trained(variant, data=data, overrides=(*COMMON, *changes), label=f"attention-{variant}")
        context.log(f"{system}, {trained.model.num_parameters} parameters: scoring with {CONTEXTS} context views")
        scores[system] = score_by_context(trained, test, contexts=CONTEXTS, num_samples=SAMPLES)
        shown = evaluation_of(trained, test, num_context=CONTEXTS[-1], num_scenes=ROWS)
        sheet = sheet_of(trained.model, shown, num_samples=1)
        if not groups:
            groups += [ImageGroup("a context view", sheet.context[:, 0]), ImageGroup("truth", sheet.truth)]
        groups.append(ImageGroup(system, sheet.mean))
    trend_panels(
        context.image("attention"),
        panels=panels_of(scores, QUANTITIES),
        along="context views",
        title=DEMONSTRATIONS["attention"].title,
    )
    title = f"Mean prediction given {CONTEXTS[-1]} context views"
    image_sheet(context.image("attention-images"), groups=groups, title=title)
    return attention_claims(scores)


def attention_claims(scores: Mapping[str, Scores]) -> list[Claim]:
    """Compares both kinds of attention with the sum on the same test images."""
    expectations = []
    baseline, few, many = scores[SUM], CONTEXTS[0], CONTEXTS[-1]
    for system in (ATTENTION, EPIPOLAR):
        found = scores[system]
        for number, metric, title, unit in (
            (CONTEXTS[-2], "mse", "error", "MSE"),
            (many, "mse", "error", "MSE"),
            (many, "nelbo_excess", "NELBO", "nats"),
        ):
            text = f"given {number} views, {system}: a lower {title} than with the sum"
            expectations.append(Expectation.less(text, found[number][metric], baseline[number][metric], unit=unit))
        text = f"from {few} view to {many}, {system}: the error falls by more than with the sum"
        changes = (one[many]["mse"] - one[few]["mse"] for one in (found, baseline))
        expectations.append(Expectation.less(text, *changes, unit="MSE"))
    return conclude(expectations)
