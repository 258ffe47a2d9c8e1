"""Bayesian surprise: the more a model has seen of a scene, the less a further image of it tells; and what z is for.

The surprise of a image x, seen from v, is what it adds to what was known of it, IG(x, y) = KL(q(z | x, y) || p(z | y))
with y = (context, v), nats. GQN is trained with 0 to 5 context views and asked about the same test images given 0, 1,
... 5 views. A image of another scene, put in the place of the true one, stays surprising. Beside GQN stands its own
generator without latents, trained on the same batches: it can say what is probable, but not how sure it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.evaluation.images import Sheet, score_images, sheet_of
from zoo.evaluation.nelbo import score_scenes
from zoo.figures.sheets import ImageColumn, image_columns
from zoo.figures.trends import Trend, TrendPanel, trend_panels
from zoo.training.trained_model import TrainedModel

TITLE = "Surprise falls with every view of a scene, and only a model with latents can be surprised"
PAPER = "Eslami et al. 2018, Neural scene representation and rendering, Science 360:1204 (Bayesian surprise)"
MINUTES = 11

DATASET = "rooms_ring_camera"
SCENES: Mapping[Split, int] = {"train": 4000, "validation": 100, "test": 400}
IMAGE_SIZE = 32
CONTEXTS = tuple(range(6))
SAMPLES = 4
BATCH_SIZE = 50
ROWS, SHOWN_SAMPLES = 5, 4
WITH_LATENTS, WITHOUT = "gqn-tower", "deterministic"
LEAST = 3.0  # standard errors by which a claim has to hold


class Scores(NamedTuple):
    """What one model scores at one number of context views, for each test scene; all are [scenes] float64."""

    excess: np.ndarray  # NELBO above its floor, nats a image
    surprise: np.ndarray  # KL(q || p) at the true image, nats
    surprise_elsewhere: np.ndarray  # the same where context and image are of two scenes
    mse: np.ndarray  # of the mean of SAMPLES predictions, squared 0-to-1 range
    sample_variance: np.ndarray  # between predictions, squared 0-to-1 range


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains GQN and the deterministic renderer, scores both given 0 to 5 views, and draws ``surprise*.png``."""
    data = workshop.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE)
    test = open_scenes(data, "test")
    scores: dict[str, list[Scores]] = {}
    sheets: dict[str, Sheet] = {}
    for name in (WITH_LATENTS, WITHOUT):
        trained = workshop.trained(name, data=data)
        workshop.tell(f"{name}: scoring {SCENES['test']} test scenes given {CONTEXTS[0]} to {CONTEXTS[-1]} views")
        scores[name] = [score(trained, test, num_context=number) for number in CONTEXTS]
        sheets[name] = predictions(trained, test)
    trend_panels(workshop.image("surprise"), panels=panels_of(scores), along="context views", title=TITLE)
    draw_predictions(workshop.image("surprise-predictions"), sheets)
    return judge(scores)


def score(trained: TrainedModel, test: SceneSource, *, num_context: int) -> Scores:
    """Scores every test scene's first target given so many views of it."""
    plan = EvaluationPlan(test, num_context=num_context, num_targets=1)
    model, schedule = trained.model, evaluation_schedule_values(trained.variant.training)
    own, other = (
        score_scenes(model, test, plan, schedule=schedule, batch_size=BATCH_SIZE, device="cpu", shift=shift)
        for shift in (0, 1)
    )
    images = score_images(
        model, test, plan, schedule=schedule, batch_size=BATCH_SIZE, num_samples=SAMPLES, device="cpu"
    )
    return Scores(
        excess=own["nelbo_excess"],
        surprise=own["kl"],
        surprise_elsewhere=other["kl"],
        mse=images["mse"],
        sample_variance=images["sample_variance"],
    )


def predictions(trained: TrainedModel, test: SceneSource) -> Sheet:
    """Predicts the first targets of some test scenes from the prior, given one view."""
    return sheet_of(
        trained.model,
        test,
        EvaluationPlan(test, num_context=1, num_targets=1),
        scenes=np.arange(ROWS),
        schedule=evaluation_schedule_values(trained.variant.training),
        num_samples=SHOWN_SAMPLES,
        device="cpu",
    )


def draw_predictions(path: Path, sheets: Mapping[str, Sheet]) -> None:
    """Draws what both models expect to see, given one view."""
    gqn, deterministic = sheets[WITH_LATENTS], sheets[WITHOUT]
    columns = [
        ImageColumn("seen", gqn.context[:, 0]),
        ImageColumn("truth", gqn.truth),
        ImageColumn("no latents", deterministic.mean),
        ImageColumn("GQN, mean", gqn.mean),
        *(ImageColumn(f"GQN, {index + 1}", gqn.samples[:, index]) for index in range(SHOWN_SAMPLES)),
    ]
    image_columns(path, columns=columns, title="Predictions given one view")


def panels_of(scores: dict[str, list[Scores]]) -> list[TrendPanel]:
    """Arranges the scores of both models for the figure."""
    gqn = scores[WITH_LATENTS]

    def trends(field: str) -> list[Trend]:
        return [Trend(name, CONTEXTS, [getattr(one, field) for one in found]) for name, found in scores.items()]

    return [
        TrendPanel(
            "Bayesian surprise KL(q || p) (nats)",
            [
                Trend("true image", CONTEXTS, [one.surprise for one in gqn]),
                Trend("image of another scene", CONTEXTS, [one.surprise_elsewhere for one in gqn]),
            ],
        ),
        TrendPanel("NELBO excess (nats)", trends("excess")),
        TrendPanel(f"MSE of the mean of {SAMPLES} predictions", trends("mse")),
        TrendPanel("variance between predictions", trends("sample_variance")),
    ]


def judge(scores: dict[str, list[Scores]]) -> list[Claim]:
    """Tests on the same images, paired over the scenes, what should fall with the number of context views."""
    gqn, deterministic = scores[WITH_LATENTS], scores[WITHOUT]
    few, many = CONTEXTS[1], CONTEXTS[-1]

    def falls(text: str, less: np.ndarray, more: np.ndarray, *, unit: str) -> Claim:
        """Claims that ``less`` is below ``more``; the measured numbers open with both means."""
        claim = Claim.below_zero(text, paired_t_test(less - more), unit=unit, standard_errors=LEAST)
        return claim._replace(measured=f"{less.mean():.4g} against {more.mean():.4g}, {claim.measured}")

    return [
        falls(
            f"one view makes a image less surprising than {CONTEXTS[0]} views",
            gqn[few].surprise,
            gqn[0].surprise,
            unit="nats",
        ),
        falls(
            f"{many} views make a image less surprising than {few} view",
            gqn[many].surprise,
            gqn[few].surprise,
            unit="nats",
        ),
        falls(
            f"given {many} views the true image surprises less than that of another scene",
            gqn[many].surprise,
            gqn[many].surprise_elsewhere,
            unit="nats",
        ),
        falls(
            f"{many} views lower the NELBO of GQN below that given {few} view",
            gqn[many].excess,
            gqn[few].excess,
            unit="nats",
        ),
        falls(
            f"predictions of GQN vary less given {many} views than given {few}",
            gqn[many].sample_variance,
            gqn[few].sample_variance,
            unit="squared 0-to-1 range",
        ),
        falls(
            f"given {few} view GQN is below its own generator without latents",
            gqn[few].excess,
            deterministic[few].excess,
            unit="nats",
        ),
    ]
