"""Words instead of views: what captions say of a room counts for its image, and how they say it does not.

SLIM is trained on rooms with two or three objects, of which it reads 0 to 3 captions from different viewpoints and is
asked for the image from another one. It is then told the same things in other words, and things that are true of
another room. In the minutes that it trains it learns which colours are spoken of, not yet where the objects stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.built_in import DrawnScene
from zoo.data.camera import pose_vector
from zoo.data.caption_bytes import encode_captions
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.render.caption_grammar import paraphrases
from zoo.data.render.recipes import RECIPES
from zoo.data.source import SceneSource, Split
from zoo.episode import SceneBatch, ScheduleValues, Views
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import evaluation_batches
from zoo.evaluation.nelbo import score_scenes
from zoo.figures.sheets import ImageColumn, image_columns
from zoo.figures.trends import Trend, TrendPanel, trend_panels
from zoo.model.interfaces import Encoder
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import CAPTIONS
from zoo.registry.variant import build

TITLE = "What captions say of a room counts for its image, and their wording does not"
PAPER = "Ramalho et al. 2018, Encoding spatial relations from natural language, arXiv 1807.01670"
MINUTES = 8

DATASET = "captioned_rooms"
SCENES: Mapping[Split, int] = {"train": 4000, "validation": 100, "test": 400}
IMAGE_SIZE, NUM_VIEWS, DATA_SEED = 32, 6, 0
CONTEXTS = tuple(range(4))
WORDINGS = 4  # of one caption
SAMPLES = 32
GAIN = 4  # by which the change that words make is amplified in the figure
ROWS = 6
BATCH_SIZE = 50
NEARER = 0.5  # paraphrases are at most so far apart, relative to captions of different scenes
CHEAPER = 0.25  # other words cost at most so much, relative to the captions of another scene


class Told(NamedTuple):
    """The excess of the same images with different captions, [scenes] float64 each, nats a image."""

    own: np.ndarray
    reworded: np.ndarray
    elsewhere: np.ndarray  # the captions of another scene, from its viewpoints


class Distances(NamedTuple):
    """How far apart single captions are in the representation, [scenes] float64 each."""

    within: np.ndarray  # wordings of one caption
    between: np.ndarray  # wordings of the captions of two scenes, as if told from one viewpoint


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains SLIM, tells it things in several ways, and draws ``slim.png`` and ``slim-nats.png``."""
    data = workshop.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE, num_views=NUM_VIEWS, seed=DATA_SEED)
    trained = workshop.trained("slim", data=data)
    model, schedule = trained.model.eval(), evaluation_schedule_values(trained.variant.training)
    test, drawn = open_scenes(data, "test"), draw_scenes(SCENES["test"])
    workshop.tell(f"scoring {len(drawn)} test scenes with {CONTEXTS[0]} to {CONTEXTS[-1]} captions")
    told = [score(model, test, drawn, schedule=schedule, num_context=number) for number in CONTEXTS]
    learned, before = distances(model.encoder, drawn), distances(build(trained.variant).encoder, drawn)
    labels = {"own": "own captions", "reworded": "in other words", "elsewhere": "another scene's"}
    trend_panels(
        workshop.image("slim-nats"),
        panels=[
            TrendPanel(
                "NELBO excess (nats)",
                [Trend(label, CONTEXTS, [getattr(one, field) for one in told]) for field, label in labels.items()],
            ),
            TrendPanel(
                "excess above that with own captions (nats)",
                [
                    Trend(labels[field], CONTEXTS, [getattr(one, field) - one.own for one in told])
                    for field in ("reworded", "elsewhere")
                ],
            ),
        ],
        along="captions",
        title=TITLE,
    )
    draw_images(workshop, model, test, drawn, schedule=schedule)
    return judge(told, learned=learned, before=before)


def draw_scenes(number: int) -> list[DrawnScene]:
    """Draws the test scenes again, whose objects the data set does not hold, with the cameras of its views."""
    recipe = replace(RECIPES[DATASET], num_views=NUM_VIEWS)
    return [recipe.draw(seed=DATA_SEED, split="test", index=index) for index in range(number)]


def reworded(batch: SceneBatch, views: np.ndarray, drawn: list[DrawnScene]) -> SceneBatch:
    """Returns a batch with other wordings of the captions of views [B, V]; the data set holds the first wording."""
    captions = batch.extras[CAPTIONS]
    others = [
        paraphrases(drawn[scene].scene, camera=drawn[scene].cameras[view], num=2)[1]
        for scene, chosen in zip(batch.scene.tolist(), views.tolist(), strict=True)
        for view in chosen
    ]
    encoded = torch.from_numpy(encode_captions(others, length=captions.shape[-1])).view_as(captions)
    return batch._replace(extras={**batch.extras, CAPTIONS: encoded})


@torch.no_grad()
def score(
    model: SceneModel, test: SceneSource, drawn: list[DrawnScene], *, schedule: ScheduleValues, num_context: int
) -> Told:
    """Scores every test scene's first target given so many captions, of its own in both wordings or of another scene."""
    plan = EvaluationPlan(test, num_context=num_context, num_targets=1)
    own, elsewhere = (
        score_scenes(model, test, plan, shift=shift, schedule=schedule, batch_size=BATCH_SIZE, device="cpu")
        for shift in (0, 1)
    )
    # The posterior does not read: z costs the same whatever is said.
    assert np.array_equal(own["kl"], elsewhere["kl"])
    excess = []
    for scenes, batch, _ in evaluation_batches(
        test, plan, scenes=np.arange(plan.num_scenes), batch_size=BATCH_SIZE, device="cpu"
    ):
        excess.append(model(reworded(batch, plan(scenes).views, drawn), schedule, num_context).excess().double())
    return Told(own=own["nelbo_excess"], reworded=torch.cat(excess).numpy(), elsewhere=elsewhere["nelbo_excess"])


@torch.no_grad()
def distances(encoder: Encoder, drawn: list[DrawnScene]) -> Distances:
    """Compares wordings of one caption of every scene with those of the next scene's, all told from one pose."""
    said = [paraphrases(item.scene, camera=item.cameras[0], num=WORDINGS) for item in drawn]
    captions = torch.from_numpy(encode_captions([wording for wordings in said for wording in wordings]))
    captions = captions.unflatten(0, (len(drawn), WORDINGS))
    pose = pose_vector(torch.from_numpy(drawn[0].cameras[0]))
    views = Views(
        values=captions,
        poses=pose.expand(*captions.shape[:2], -1),
        mask=torch.ones(captions.shape[:2], dtype=torch.bool),
    )
    vectors = encoder(views).per_view.flatten(2).double()
    within = torch.cdist(vectors, vectors).sum(dim=(1, 2)) / (WORDINGS * (WORDINGS - 1))
    between = torch.cdist(vectors, vectors.roll(1, 0)).mean(dim=(1, 2))
    return Distances(within=within.numpy(), between=between.numpy())


@torch.no_grad()
def draw_images(
    workshop: AnalysisContext,
    model: SceneModel,
    test: SceneSource,
    drawn: list[DrawnScene],
    *,
    schedule: ScheduleValues,
) -> None:
    """Draws what the model expects of some scenes when it is told nothing and in three ways, and what words change."""
    number = CONTEXTS[-1]
    chosen = np.arange(ROWS)

    def episodes(*, num_context: int, shift: int = 0) -> SceneBatch:
        plan = EvaluationPlan(test, num_context=num_context, num_targets=1)
        ((_, batch, _),) = evaluation_batches(test, plan, scenes=chosen, batch_size=ROWS, device="cpu", shift=shift)
        return batch

    def expected(batch: SceneBatch, *, num_context: int) -> Tensor:
        return model.predict(batch, schedule, num_context, num_samples=SAMPLES).expected[:, :, 0].mean(0)

    own, views = episodes(num_context=number), EvaluationPlan(test, num_context=number, num_targets=1).views[:ROWS]
    told = {
        "told": own,
        "told in other words": reworded(own, views, drawn),
        "told about another room": episodes(num_context=number, shift=1),
    }
    # Latents are the same in all of them, so that nothing but words makes a difference.
    untold = expected(episodes(num_context=0), num_context=0)
    images = {name: expected(batch, num_context=number) for name, batch in told.items()}
    columns = [ImageColumn("truth", own.frames[:, number].numpy()), ImageColumn("told nothing", to_bytes(untold))]
    columns += [ImageColumn(name, to_bytes(image)) for name, image in images.items()]
    columns += [
        ImageColumn(f"{GAIN} x change if {name}", to_bytes((0.5 + GAIN * (image - untold)).clamp(0.0, 1.0)))
        for name, image in images.items()
    ]
    first = [paraphrases(drawn[i].scene, camera=drawn[i].cameras[views[i, 0]], num=1)[0] for i in chosen]
    image_columns(
        workshop.image("slim"),
        columns=columns,
        title=f"{TITLE} (one of {number} captions shown, from a viewpoint of its own)",
        row_labels=first,
    )


def judge(told: list[Told], *, learned: Distances, before: Distances) -> list[Claim]:
    """Puts the scores into claims."""
    most = told[-1]
    loss = most.elsewhere - most.own
    closeness, closeness_before = (found.within / found.between for found in (learned, before))
    return [
        Claim.below_zero(
            f"{CONTEXTS[-1]} captions against none lower the excess of a image",
            paired_t_test(most.own - told[0].own),
            unit="nats",
        ),
        Claim.below_zero(
            "a scene's own captions have a lower excess than those of another scene",
            paired_t_test(-loss),
            unit="nats",
        ),
        Claim.below_zero(
            f"other words cost less than {CHEAPER:g} of what the captions of another scene cost "
            f"({(most.reworded - most.own).mean():+.3g} against {loss.mean():+.3g} nats)",
            paired_t_test(most.reworded - most.own - CHEAPER * loss),
            unit="nats",
        ),
        Claim.below_zero(
            f"wordings of one caption are less than {NEARER:g} as far apart as captions of two scenes "
            f"(the ratio is {closeness.mean():.3f})",
            paired_t_test(closeness - NEARER),
            unit="",
        ),
        Claim.below_zero(
            f"which was learned: before training the ratio is {closeness_before.mean():.3f}",
            paired_t_test(closeness - closeness_before),
            unit="",
        ),
    ]
