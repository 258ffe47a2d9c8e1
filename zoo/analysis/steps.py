"""The canvas after each of the L steps, with latents from the posterior and from the prior (convolutional DRAW).

The posterior reads the target image and the canvas so far; the prior knows the context views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Draw, Findings
from zoo.analysis.scores import by_position, panels_of
from zoo.analysis.trends import trend_findings
from zoo.cores.draw import Draw as DrawCore
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.trends import TrendPanel, trend_of
from zoo.model.query_latents import RolloutInputs
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import query_keys
from zoo.training.trained_model import TrainedModel

Source = Literal["posterior", "prior"]

ROWS = 4  # scenes of the sheet
SOURCES: tuple[Source, ...] = ("posterior", "prior")
QUANTITIES = {
    "mse": "MSE of the canvas",
    "unexplained": "1 - r^2 of canvas and truth",
    "sharpness": "mean difference of neighbouring pixels",
}
Progresses = Mapping[str, Mapping[Source, "Progress"]]  # by label


class Progress(NamedTuple):
    """The canvas after every step, with latents from one source."""

    metrics: Mapping[str, np.ndarray]  # names as in QUANTITIES -> [L, scenes] float64
    true_sharpness: np.ndarray  # [scenes] float64, of the target images
    images: np.ndarray  # [L, R, H, W, 3] uint8: the canvases of the first R scenes
    truth: np.ndarray  # [R, H, W, 3] uint8: their target images


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model lacks: a core that writes a canvas in several steps."""
    core = trained.model.core
    if isinstance(core, DrawCore) and core.config.steps > 1:
        return None
    return "a model that writes an image step by step (core draw with two steps or more)"


def run(given: AnalysisInputs) -> Findings:
    """Draws the first target of every scene from as many context views as there were in training at most."""
    found: dict[str, dict[Source, Progress]] = {}
    for label, trained in given.models.items():
        number = min(trained.variant.training.contexts.maximum, given.scenes.num_views - 1)
        number = 0 if trained.model.task.context_kind == "nothing" else number
        evaluation = given.evaluation(trained, num_context=number)
        given.log(f"{label}: measuring the canvas given {number} context views")
        found[label] = {source: measure_canvas(trained.model, evaluation, source=source) for source in SOURCES}
    claims, panels, sheets = steps_claims(found), steps_panels(found), {"canvases": draw_canvases(found)}
    return trend_findings("steps", claims=claims, panels=panels, along="steps", sheets=sheets)


def measure_canvas(model: SceneModel, evaluation: Evaluation, *, source: Source) -> Progress:
    """Draws the first target of every scene and measures the canvas after every step."""
    core = model.core
    assert isinstance(core, DrawCore)

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        episode = model.task(part.batch, num_context=part.num_context)
        target = episode.target[:, 0]
        inputs = RolloutInputs(
            scene=model.encoder(episode.context),
            poses=episode.context.poses,
            query=episode.query[:, 0],
            keys=query_keys(episode.key, num_queries=1)[:, 0],
            target=target if source == "posterior" else None,
            source=source,
            temperature=evaluation.schedule.temperature,
        )
        rollout = core.rollout(inputs)
        canvases = torch.stack([model.likelihood.mean(canvas) for canvas in rollout.canvases], dim=1)  # [B, L, C, H, W]
        truth = target[:, None]
        return {
            "mse": (canvases - truth).square().flatten(2).mean(2).double(),
            "unexplained": unexplained_variance(canvases, truth).double(),
            "sharpness": sharpness(canvases).double(),
            "true_sharpness": sharpness(target).double(),
            "canvases": canvases,
            "truth": target,
        }

    found = evaluation.score(score, model=model)
    canvases, truth = (torch.from_numpy(found[name][:ROWS]) for name in ("canvases", "truth"))
    return Progress(
        metrics={name: found[name].T for name in QUANTITIES},
        true_sharpness=found["true_sharpness"],
        images=to_bytes(canvases.transpose(0, 1).clamp(0.0, 1.0)),
        truth=to_bytes(truth),
    )


def unexplained_variance(images: Tensor, truth: Tensor) -> Tensor:
    """Returns 1 - r^2 for the correlation r of images [..., C, H, W] with the truth, after subtracting channel means.

    It does not change if a canvas only becomes brighter or gains contrast.
    """
    one, other = (each - each.mean(dim=(-2, -1), keepdim=True) for each in (images, truth))
    product = (one * other).sum(dim=(-3, -2, -1)).square()
    return 1.0 - product / (one.square().sum(dim=(-3, -2, -1)) * other.square().sum(dim=(-3, -2, -1)))


def sharpness(images: Tensor) -> Tensor:
    """Returns the mean absolute difference of neighbouring pixels of images [..., C, H, W]."""
    across = images.diff(dim=-1).abs().mean(dim=(-3, -2, -1))
    return 0.5 * (across + images.diff(dim=-2).abs().mean(dim=(-3, -2, -1)))


def steps_panels(found: Progresses) -> list[TrendPanel]:
    """Returns a panel per quantity, with the sharpness of the true images in the last."""
    series = {
        f"{label}, latents from the {source}": by_position(range(1, len(progress.images) + 1), progress.metrics)
        for label, by_source in found.items()
        for source, progress in by_source.items()
    }
    panels = panels_of(series, QUANTITIES)
    longest = max((by_source["prior"] for by_source in found.values()), key=lambda progress: len(progress.images))
    positions = range(1, len(longest.images) + 1)
    truth = trend_of("true image", positions, [longest.true_sharpness] * len(positions))
    return [*panels[:-1], panels[-1]._replace(trends=[*panels[-1].trends, truth])]


def draw_canvases(found: Progresses) -> Draw:
    """Returns the function that draws the canvases of the first model, one row per scene and source."""
    by_source = next(iter(found.values()))
    canvases = np.stack([by_source[source].images for source in SOURCES], axis=2)  # [L, R, sources, H, W, 3]
    groups = [
        ImageGroup(f"step {step}", images.reshape(-1, *images.shape[2:])) for step, images in enumerate(canvases, 1)
    ]
    groups.append(ImageGroup("truth", np.repeat(by_source["prior"].truth, len(SOURCES), axis=0)))
    labels = [f"scene {row}, latents from the {source}" for row in range(canvases.shape[1]) for source in SOURCES]
    return lambda path: image_sheet(path, groups=groups, title=ANALYSES["steps"].title, row_labels=labels)


def steps_claims(found: Progresses) -> list[Claim]:
    """Compares every step with the one before, paired over the scenes."""
    expectations = []
    for label, by_source in found.items():
        for source, progress in by_source.items():
            latents = f"{label}, latents from the {source}:"
            for metric, text in (("mse", "lowers the error"), ("unexplained", "raises the correlation with the truth")):
                scores, unit = progress.metrics[metric], f"{QUANTITIES[metric]} in the least sure step"
                note = f"from {scores[0].mean():.4f} to {scores[-1].mean():.4f}"
                steps = list(np.diff(scores, axis=0))
                text = f"{latents} every step {text}"
                expectations.append(Expectation.least_sure(text, steps, unit=unit, note=note))
            first, *_, last = progress.metrics["sharpness"]
            text = f"{latents} the canvas is less sharp after the first step than after the last"
            expectations.append(Expectation.less(text, first, last, unit=QUANTITIES["sharpness"]))
    return conclude(expectations)
