"""Bayesian surprise of the same images given 0 to 5 context views, and what latents contribute.

The surprise of an image x, given the context and the viewpoint y, is IG(x, y) = KL(q(z | x, y) || p(z | y)), nats (Eslami et
al. 2018). GQN is trained with 0 to 5 context views. The image of another scene must stay surprising. GQN's generator
without latents, trained on the same batches, is the baseline: it has no uncertainty about the scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import AnalysisContext
from zoo.analysis.scores import Scores, evaluation_of, panels_of, score_by_context
from zoo.data.opening import open_scenes
from zoo.data.source import Split
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.images import Sheet, sheet_of
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.trends import Trend, TrendPanel, trend_panels

DATASET = "rooms_ring_camera"
SCENES: Mapping[Split, int] = {"train": 4000, "validation": 100, "test": 400}
IMAGE_SIZE = 32
CONTEXTS = tuple(range(6))
SAMPLES = 4
ROWS = 5
WITH_LATENTS, WITHOUT = "gqn-tower", "deterministic"
KL, KL_ELSEWHERE = "kl", "kl_elsewhere"  # of the true image; of an image with the context of another scene
QUANTITIES = {
    "nelbo_excess": "excess NELBO (nats)",
    "mse": f"MSE of the mean of {SAMPLES} predictions",
    "sample_variance": "variance between predictions",
}


def run(context: AnalysisContext) -> list[Claim]:
    """Trains and scores GQN and the deterministic generator, and draws ``surprise.png`` and ``surprise-predictions.png``."""
    data = context.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE)
    test = open_scenes(data, "test")
    scores: dict[str, Scores] = {}
    sheets: dict[str, Sheet] = {}
    for name in (WITH_LATENTS, WITHOUT):
        trained = context.trained(name, data=data)
        context.log(f"{name}: scoring {SCENES['test']} test scenes with {CONTEXTS[0]} to {CONTEXTS[-1]} context views")
        found = score_by_context(trained, test, contexts=CONTEXTS, num_samples=SAMPLES)
        for number in CONTEXTS:
            elsewhere = evaluation_of(trained, test, num_context=number, shift=1)
            found[number][KL_ELSEWHERE] = score_scenes(trained.model, elsewhere)[KL]
        scores[name] = found
        shown = evaluation_of(trained, test, num_context=1, num_scenes=ROWS)
        sheets[name] = sheet_of(trained.model, shown, num_samples=SAMPLES)
    panels = surprise_panels(scores)
    trend_panels(context.image("surprise"), panels=panels, along="context views", title=ANALYSES["surprise"].title)
    draw_predictions(context.image("surprise-predictions"), sheets)
    return surprise_claims(scores)


def draw_predictions(path: Path, sheets: Mapping[str, Sheet]) -> None:
    """Draws the predictions of both models given one view."""
    gqn, deterministic = sheets[WITH_LATENTS], sheets[WITHOUT]
    groups = [
        ImageGroup("context", gqn.context[:, 0]),
        ImageGroup("truth", gqn.truth),
        ImageGroup("without latents", deterministic.mean),
        ImageGroup("GQN, mean", gqn.mean),
        ImageGroup("GQN, samples", gqn.samples),
    ]
    image_sheet(path, groups=groups, title="Predictions given one context view")


def surprise_panels(scores: Mapping[str, Scores]) -> list[TrendPanel]:
    """Returns the panels of the surprise of GQN and of the metrics of both models."""
    gqn = scores[WITH_LATENTS]
    labels = {KL: "true image", KL_ELSEWHERE: "image of another scene"}
    trends = [Trend(label, CONTEXTS, [gqn[number][name] for number in CONTEXTS]) for name, label in labels.items()]
    return [TrendPanel("Bayesian surprise KL(q || p) (nats)", trends), *panels_of(scores, QUANTITIES)]


def surprise_claims(scores: Mapping[str, Scores]) -> list[Claim]:
    """Compares numbers of context views and both models on the same images."""
    gqn, deterministic = scores[WITH_LATENTS], scores[WITHOUT]
    none, few, many = CONTEXTS[0], CONTEXTS[1], CONTEXTS[-1]

    def falls(text: str, metric: str, *, more: int, fewer: int, unit: str = "nats") -> Expectation:
        text = f"{text} given {more} views than given {fewer}"
        return Expectation.less(text, gqn[more][metric], gqn[fewer][metric], unit=unit)

    other_scene = f"given {many} views the true image is less surprising than that of another scene"
    no_latents = f"given {few} view the NELBO of GQN is lower than that of its generator without latents"
    excess, excess_without = (found[few]["nelbo_excess"] for found in (gqn, deterministic))
    return conclude(
        [
            falls("an image is less surprising", KL, more=few, fewer=none),
            falls("an image is less surprising", KL, more=many, fewer=few),
            Expectation.less(other_scene, gqn[many][KL], gqn[many][KL_ELSEWHERE], unit="nats"),
            falls("the NELBO of GQN is lower", "nelbo_excess", more=many, fewer=few),
            falls("predictions of GQN vary less", "sample_variance", more=many, fewer=few, unit="squared 0-to-1 range"),
            Expectation.less(no_latents, excess, excess_without, unit="nats"),
        ]
    )
