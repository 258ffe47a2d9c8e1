"""SLIM's use of captions: their content against their wording.

SLIM is trained on rooms with two or three objects. It reads 0 to 3 captions from different viewpoints and predicts the image
from another one. It is then given the same captions in other words, and captions of another room. In minutes of training
it learns the colours that are mentioned, not yet the positions of the objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.catalogue import DEMONSTRATIONS
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import AnalysisContext
from zoo.analysis.scores import Scores, evaluation_of, panels_of
from zoo.data.built_in import DrawnScene
from zoo.data.camera import pose_vector
from zoo.data.opening import open_scenes
from zoo.data.render.caption_grammar import encode_captions, paraphrases
from zoo.data.render.recipes import RECIPES
from zoo.data.source import CAPTIONS, SceneSource, Split
from zoo.episode import SceneBatch, Views
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.trends import trend_panels
from zoo.model.interfaces import Encoder
from zoo.registry.variant import build
from zoo.training.trained_model import TrainedModel

DATASET = "captioned_rooms"
SCENES: Mapping[Split, int] = {"train": 4000, "validation": 100, "test": 400}
IMAGE_SIZE, NUM_VIEWS = 32, 6
CONTEXTS = tuple(range(4))
WORDINGS = 4  # of one caption
SAMPLES = 32
GAIN = 4  # amplification of the change by captions in the figure
ROWS = 6
NEARER = 0.5  # the largest distance of paraphrases relative to captions of different scenes
CHEAPER = 0.25  # the largest cost of other words relative to captions of another scene
OWN, REWORDED, ELSEWHERE = "own captions", "in other words", "captions of another scene"
EXCESS, ADDED = "nelbo_excess", "added"  # nats/image; ADDED: above that with its own captions


def run(context: AnalysisContext) -> list[Claim]:
    """Trains SLIM, scores it with different captions, and draws ``slim.png`` and ``slim-nats.png``."""
    data = context.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE, num_views=NUM_VIEWS)
    trained = context.trained("slim", data=data)
    trained.model.eval()
    test, drawn = open_scenes(data, "test"), draw_scenes(SCENES["test"])
    context.log(f"scoring {len(drawn)} test scenes with {CONTEXTS[0]} to {CONTEXTS[-1]} captions")
    scores = score_captions(trained, test, drawn)
    encoders = trained.model.encoder, build(trained.variant).encoder
    learned, before = (wording_distances(encoder, drawn) for encoder in encoders)
    panels = panels_of(scores, {EXCESS: "excess NELBO (nats)", ADDED: f"excess above that with {OWN} (nats)"})
    del panels[1].trends[0]  # zero with its own captions
    trend_panels(context.image("slim-nats"), panels=panels, along="captions", title=DEMONSTRATIONS["slim"].title)
    draw_images(context, trained, test, drawn)
    return slim_claims(scores, learned=learned, before=before)


def draw_scenes(number: int) -> list[DrawnScene]:
    """Samples the test scenes again, because the data set does not store their objects."""
    recipe = replace(RECIPES[DATASET], num_views=NUM_VIEWS)
    return [recipe.draw(seed=0, split="test", index=index) for index in range(number)]


def reworded(batch: SceneBatch, views: np.ndarray, drawn: list[DrawnScene]) -> SceneBatch:
    """Returns a batch with other wordings of the captions of views [B, V]; the data set has the first wording."""
    captions = batch.extras[CAPTIONS]
    others = [
        paraphrases(drawn[scene].scene, camera=drawn[scene].cameras[view], num=2)[1]
        for scene, chosen in zip(batch.scene.tolist(), views.tolist(), strict=True)
        for view in chosen
    ]
    encoded = torch.from_numpy(encode_captions(others, length=captions.shape[-1])).view_as(captions)
    return batch._replace(extras={**batch.extras, CAPTIONS: encoded})


def score_captions(trained: TrainedModel, test: SceneSource, drawn: list[DrawnScene]) -> dict[str, Scores]:
    """Scores the same target of every test scene with its own captions, in other words, and those of another scene."""
    found: dict[str, dict[int, dict[str, np.ndarray]]] = {OWN: {}, REWORDED: {}, ELSEWHERE: {}}
    for number in CONTEXTS:
        evaluation = evaluation_of(trained, test, num_context=number)

        def score(part: EvaluationBatch, evaluation: Evaluation = evaluation) -> dict[str, Tensor]:
            batch = reworded(part.batch, evaluation.plan(part.scenes).views, drawn)
            return {EXCESS: trained.model(batch, evaluation.schedule, part.num_context).excess().double()}

        own = score_scenes(trained.model, evaluation)
        elsewhere = score_scenes(trained.model, replace(evaluation, shift=1))
        # The posterior does not read captions: the KL does not depend on them.
        assert np.array_equal(own["kl"], elsewhere["kl"])
        other = evaluation.score(score, model=trained.model)
        for label, bounds in ((OWN, own), (REWORDED, other), (ELSEWHERE, elsewhere)):
            found[label][number] = {EXCESS: bounds[EXCESS], ADDED: bounds[EXCESS] - own[EXCESS]}
    return {**found}


@torch.no_grad()
def wording_distances(encoder: Encoder, drawn: list[DrawnScene]) -> np.ndarray:
    """Returns distances in the representation between wordings of one caption, relative to those of two scenes, [scenes].

    All captions are read with one pose; the other scene is the next one.
    """
    texts = [paraphrases(item.scene, camera=item.cameras[0], num=WORDINGS) for item in drawn]
    captions = torch.from_numpy(encode_captions([wording for wordings in texts for wording in wordings]))
    captions = captions.unflatten(0, (len(drawn), WORDINGS))
    pose = pose_vector(torch.from_numpy(drawn[0].cameras[0]))
    poses = pose.expand(*captions.shape[:2], -1)
    views = Views(values=captions, poses=poses, mask=torch.ones(captions.shape[:2], dtype=torch.bool))
    vectors = encoder(views).per_view.flatten(2).double()
    within = torch.cdist(vectors, vectors).sum(dim=(1, 2)) / (WORDINGS * (WORDINGS - 1))
    between = torch.cdist(vectors, vectors.roll(1, 0)).mean(dim=(1, 2))
    return (within / between).numpy()


@torch.no_grad()
def draw_images(context: AnalysisContext, trained: TrainedModel, test: SceneSource, drawn: list[DrawnScene]) -> None:
    """Draws expected images without captions and with three kinds of captions, and the changes by captions."""
    number, scenes = CONTEXTS[-1], np.arange(ROWS)
    evaluation = evaluation_of(trained, test, num_context=number, num_scenes=ROWS)
    views = evaluation.plan(scenes).views

    def only_batch(evaluation: Evaluation) -> SceneBatch:
        (part,) = evaluation.batches()
        return part.batch

    def expected(batch: SceneBatch, *, num_context: int) -> Tensor:
        prediction = trained.model.predict(batch, evaluation.schedule, num_context, num_samples=SAMPLES)
        return prediction.expected[:, :, 0].mean(0)

    own, elsewhere = (only_batch(replace(evaluation, shift=shift)) for shift in (0, 1))
    batches = {OWN: own, REWORDED: reworded(own, views, drawn), ELSEWHERE: elsewhere}
    # The noise of the latents is the same in all, so that captions make the only difference.
    unseen = only_batch(evaluation_of(trained, test, num_context=0, num_scenes=ROWS))
    without = expected(unseen, num_context=0)
    images = {label: expected(batch, num_context=number) for label, batch in batches.items()}
    groups = [ImageGroup("truth", own.frames[:, number].numpy()), ImageGroup("without captions", to_bytes(without))]
    groups += [ImageGroup(label, to_bytes(image)) for label, image in images.items()]
    groups += [
        ImageGroup(f"{GAIN} x change: {label}", to_bytes((0.5 + GAIN * (image - without)).clamp(0.0, 1.0)))
        for label, image in images.items()
    ]
    image_sheet(
        context.image("slim"),
        groups=groups,
        title=f"{DEMONSTRATIONS['slim'].title} (one of {number} captions is printed)",
        row_labels=[
            paraphrases(drawn[scene].scene, camera=drawn[scene].cameras[views[scene, 0]], num=1)[0] for scene in scenes
        ],
    )


def slim_claims(scores: Mapping[str, Scores], *, learned: np.ndarray, before: np.ndarray) -> list[Claim]:
    """Compares the captions on the same images, and the distances of captions after training with those before."""
    most = CONTEXTS[-1]
    own, changed, other = (scores[label][most] for label in (OWN, REWORDED, ELSEWHERE))
    without = scores[OWN][0]
    less, below_zero = Expectation.less, Expectation.below_zero
    return conclude(
        [
            less(f"the excess is lower with {most} captions than with none", own[EXCESS], without[EXCESS], unit="nats"),
            less("the excess is lower with own captions than another scene's", own[EXCESS], other[EXCESS], unit="nats"),
            below_zero(
                f"other words cost less than {CHEAPER:g} of the cost of captions of another scene",
                changed[ADDED] - CHEAPER * other[ADDED],
                unit="nats",
                note=f"{changed[ADDED].mean():+.3g} against {other[ADDED].mean():+.3g} nats",
            ),
            below_zero(
                f"wordings of a caption are less than {NEARER:g} as far apart as captions of two scenes",
                learned - NEARER,
                unit="",
                note=f"ratio {learned.mean():.3f}",
            ),
            less("this ratio is lower than before training", learned, before, unit=""),
        ]
    )
