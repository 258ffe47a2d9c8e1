"""Captions of the scene: their content against their wording (SLIM).

A model predicts the same images from their own captions, from the same captions in other words, and from captions of another
scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.claims import Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.scores import Scores, panels_of
from zoo.analysis.trends import trend_findings
from zoo.data.camera import pose_vector
from zoo.data.factors.parsing import parse_factors
from zoo.data.opening import Source
from zoo.data.render.caption_grammar import encode_captions, paraphrases
from zoo.data.source import CAPTIONS
from zoo.data.store import SceneStore
from zoo.episode import SceneBatch, Views
from zoo.errors import DataError
from zoo.evaluation.bounds import score_episode, score_scenes
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.figures.trends import TrendPanel
from zoo.model.interfaces import Encoder
from zoo.registry.variant import build
from zoo.training.trained_model import TrainedModel

WORDINGS = 4  # of one caption
NEARER = 0.5  # the largest distance of paraphrases relative to captions of different scenes
CHEAPER = 0.25  # the largest cost of other words relative to captions of another scene
OWN, REWORDED, ELSEWHERE = "own captions", "in other words", "captions of another scene"
EXCESS, ADDED = "nelbo_excess", "added"  # nats/image; ADDED: above that with its own captions


class Described(NamedTuple):
    """What scenes show, from which further captions are made."""

    scenes: Sequence[Any]  # objects of a room
    cameras: np.ndarray  # [n, V, 5]


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model lacks: images predicted from captions."""
    task = trained.model.task
    if task.context_kind == "captions" and task.target_kind == "images":
        return None
    return "a model that predicts images at cameras from captions"


def run(given: AnalysisInputs) -> Findings:
    """Scores the first target of every scene, given each kind of captions.

    Raises:
        DataError: if the scenes have no factors, from which captions in other words are made.
    """
    described = describe(given.scenes, num_scenes=given.num_scenes)
    panels: list[TrendPanel] = []
    expectations: list[Expectation] = []
    for label, trained in given.models.items():
        given.log(f"{label}: scoring {given.num_scenes} scenes with three kinds of captions")
        scores = score_captions(given, trained, described)
        encoders = trained.model.encoder, build(trained.variant).encoder
        learned, before = (wording_distances(encoder, described) for encoder in encoders)
        expectations += caption_expectations(scores, label=label, learned=learned, before=before)
        excess, added = panels_of(
            scores, {EXCESS: f"{label}: excess NELBO (nats)", ADDED: f"above that with {OWN} (nats)"}
        )
        panels += [excess, added._replace(trends=added.trends[1:])]
    return trend_findings("captions", claims=conclude(expectations), panels=panels, along="captions")


def describe(source: Source, *, num_scenes: int) -> Described:
    """Reads what the first scenes show; raises DataError if the folder does not say."""
    if not isinstance(source, SceneStore) or not source.has_factors:
        raise DataError(f"{source.name}: has no factors of its scenes, from which captions in other words are made")
    scenes = np.arange(num_scenes)
    views = np.broadcast_to(np.arange(source.num_views), (num_scenes, source.num_views))
    factors = [parse_factors(document, origin=source.name) for document in source.read_factors(scenes)]
    return Described([each.scene() for each in factors], source.read(scenes, views)[1])


def reworded(batch: SceneBatch, views: np.ndarray, described: Described) -> SceneBatch:
    """Returns a batch with other wordings of the captions of views [B, V]; the data set has the first wording."""
    captions = batch.extras[CAPTIONS]
    others = [
        paraphrases(described.scenes[scene], camera=described.cameras[scene, view], num=2)[1]
        for scene, chosen in zip(batch.scene.tolist(), views.tolist(), strict=True)
        for view in chosen
    ]
    encoded = torch.from_numpy(encode_captions(others, length=captions.shape[-1])).view_as(captions)
    return batch._replace(extras={**batch.extras, CAPTIONS: encoded.to(captions.device)})


def score_captions(given: AnalysisInputs, trained: TrainedModel, described: Described) -> dict[str, Scores]:
    """Scores the same target of every scene with its own captions, in other words, and those of another scene."""
    found: dict[str, dict[int, dict[str, np.ndarray]]] = {OWN: {}, REWORDED: {}, ELSEWHERE: {}}
    for number in given.contexts():
        evaluation = given.evaluation(trained, num_context=number)

        def score(part: EvaluationBatch, evaluation: Evaluation = evaluation) -> dict[str, Tensor]:
            batch = reworded(part.batch, evaluation.plan(part.scenes).views, described)
            episode = trained.model.episode(batch, num_context=part.num_context)
            return {EXCESS: score_episode(trained.model, episode, evaluation.schedule)[EXCESS]}

        own = score_scenes(trained.model, evaluation)
        elsewhere = score_scenes(trained.model, replace(evaluation, shift=1))
        other = evaluation.score(score, model=trained.model)
        for kind, bounds in ((OWN, own), (REWORDED, other), (ELSEWHERE, elsewhere)):
            found[kind][number] = {EXCESS: bounds[EXCESS], ADDED: bounds[EXCESS] - own[EXCESS]}
    return {**found}


@torch.no_grad()
def wording_distances(encoder: Encoder, described: Described) -> np.ndarray:
    """Returns distances in the representation between wordings of one caption, relative to those of two scenes, [scenes].

    All captions are read with one pose; the other scene is the one before.
    """
    device = next(encoder.parameters()).device
    texts = [
        paraphrases(scene, camera=cameras[0], num=WORDINGS)
        for scene, cameras in zip(described.scenes, described.cameras, strict=True)
    ]
    captions = torch.from_numpy(encode_captions([wording for wordings in texts for wording in wordings]))
    captions = captions.unflatten(0, (len(texts), WORDINGS)).to(device)
    poses = pose_vector(torch.from_numpy(described.cameras[0, 0])).expand(*captions.shape[:2], -1).to(device)
    mask = torch.ones(captions.shape[:2], dtype=torch.bool, device=device)
    vectors = encoder(Views(values=captions, poses=poses, mask=mask)).per_view.flatten(2).double()
    within = torch.cdist(vectors, vectors).sum(dim=(1, 2)) / (WORDINGS * (WORDINGS - 1))
    between = torch.cdist(vectors, vectors.roll(1, 0)).mean(dim=(1, 2))
    return (within / between).cpu().numpy()


def caption_expectations(
    scores: Mapping[str, Scores], *, label: str, learned: np.ndarray, before: np.ndarray
) -> list[Expectation]:
    """Compares the captions on the same images, and the distances of captions after training with those before."""
    fewest, most = min(scores[OWN]), max(scores[OWN])
    own, changed, other = (scores[kind][most] for kind in (OWN, REWORDED, ELSEWHERE))
    fewer, cost = scores[OWN][fewest], changed[ADDED] - CHEAPER * other[ADDED]
    more, others = f"with {most} captions than with {fewest}", "with own captions than another scene's"
    cheaper = f"{label}: other words cost less than {CHEAPER:g} of the cost of captions of another scene"
    nearer = f"{label}: wordings of a caption are less than {NEARER:g} as far apart as captions of two scenes"
    costs = f"{changed[ADDED].mean():+.3g} against {other[ADDED].mean():+.3g} nats"
    return [
        Expectation.less(f"{label}: the excess is lower {more}", own[EXCESS], fewer[EXCESS], unit="nats"),
        Expectation.less(f"{label}: the excess is lower {others}", own[EXCESS], other[EXCESS], unit="nats"),
        Expectation.below_zero(cheaper, cost, unit="nats", note=costs),
        Expectation.below_zero(nearer, learned - NEARER, unit="", note=f"ratio {learned.mean():.3f}"),
        Expectation.less(f"{label}: this ratio is lower than before training", learned, before, unit=""),
    ]
