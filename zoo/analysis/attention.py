"""The error of predictions against the number of context views, and which pixels of the views matter.

GQN adds the feature maps of the views up; attention GQN reads patches of all views, E-GQN positions along epipolar lines. The
first model is the baseline of the others. The sheet shows the influence of the context: how much the middle of the predicted
image changes with each pixel of each view, by its gradient, which exists for every model, unlike weights of attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import check_comparable, missing_views
from zoo.analysis.scores import COMPARED, QUANTITIES, Scores, panels_of, score_by_context
from zoo.analysis.trends import trend_findings
from zoo.episode import ScheduleValues
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import EvaluationBatch
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.views import coloured
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import images_from_frames

ROWS = 4  # scenes of the sheet


class Looked(NamedTuple):
    """A predicted view of R scenes, its N context views and what of them matters; images are uint8."""

    context: np.ndarray  # [R, N, H, W, 3]
    influence: np.ndarray  # [R, N, H, W, 3], coloured from none (black) to the largest of the scene (light)
    truth: np.ndarray  # [R, H, W, 3]


missing = partial(missing_views, several=True)


def run(given: AnalysisInputs) -> Findings:
    """Scores the same images with all models and numbers of context views.

    Raises:
        ConfigError: if the NELBOs of the models cannot be compared.
    """
    check_comparable(given.models)
    scores: dict[str, Scores] = {}
    looked: dict[str, Looked] = {}
    contexts = given.contexts(least=1)
    for label, trained in given.models.items():
        given.log(f"{label}: scoring with {contexts} context views")
        scores[label] = score_by_context(given, trained, contexts=contexts)
        shown = given.evaluation(trained, num_context=contexts[-1], num_scenes=min(ROWS, given.num_scenes))
        (part,) = shown.batches()
        looked[label] = look(trained.model, part, schedule=shown.schedule)
    first = next(iter(looked.values()))
    groups = [ImageGroup("truth", first.truth), ImageGroup("context views", first.context)]
    groups += [ImageGroup(f"{label}: influence", one.influence) for label, one in looked.items()]
    title = "How much the middle of the predicted image changes with each pixel of the context"
    return trend_findings(
        "attention",
        claims=attention_claims(scores),
        panels=panels_of(scores, QUANTITIES),
        along="context views",
        sheets={"influence": partial(image_sheet, groups=groups, title=title)},
    )


def look(model: SceneModel, part: EvaluationBatch, *, schedule: ScheduleValues) -> Looked:
    """Returns the influence of every pixel of the context on the middle of the first target."""
    grey = influence(model, part, schedule=schedule)
    largest = grey.flatten(1).amax(1)[:, None, None, None].clamp(min=1e-12)
    number = part.num_context
    return Looked(
        context=part.batch.frames[:, :number].cpu().numpy(),
        influence=coloured((grey / largest).cpu().numpy()),
        truth=to_bytes(images_from_frames(part.batch.frames[:, number])),
    )


def influence(model: SceneModel, part: EvaluationBatch, *, schedule: ScheduleValues) -> Tensor:
    """Returns the gradient of the middle of one sample of the first target, [B, N, H, W].

    It is the sum over colours of the absolute derivatives of the mean of the middle quarter of the image.
    """
    episode = model.episode(part.batch, num_context=part.num_context)
    values = episode.context.values.detach().requires_grad_()
    with torch.enable_grad():
        parameters = model.core.predict(
            episode.context._replace(values=values),
            episode.query[:, :1],
            episode.key,
            encode=model.encoder,
            schedule=schedule,
            num_samples=1,
        )
        image = model.likelihood.mean(parameters)[0, :, 0]  # [B, C, H, W]
        height, width = image.shape[-2:]
        middle = image[..., height // 4 : -(height // 4), width // 4 : -(width // 4)]
        (gradient,) = torch.autograd.grad(middle.flatten(1).mean(1).sum(), values)
    return gradient.abs().sum(2)


def attention_claims(scores: Mapping[str, Scores]) -> list[Claim]:
    """Tests whether the error falls with the views, and compares the models with the first, on the same images."""
    expectations = []
    first = next(iter(scores))
    few, many = min(scores[first]), max(scores[first])
    for label, found in scores.items():
        text = f"{label}: the error is lower given {many} views than given {few}"
        expectations.append(Expectation.less(text, found[many]["mse"], found[few]["mse"], unit="MSE"))
    for label, found in scores.items():
        if label == first:
            continue
        for metric, title, unit in COMPARED:
            text = f"given {many} views, the {title} of {label} is lower than that of {first}"
            expectations.append(Expectation.less(text, found[many][metric], scores[first][many][metric], unit=unit))
        text = f"from {few} view to {many} the error of {label} falls by more than that of {first}"
        changes = (one[many]["mse"] - one[few]["mse"] for one in (found, scores[first]))
        expectations.append(Expectation.less(text, *changes, unit="MSE"))
    return conclude(expectations)
