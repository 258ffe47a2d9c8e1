"""DRAW's canvas after every step, with latents from the posterior and from the prior.

Convolutional DRAW is trained on rooms seen from a ring of cameras. Its posterior reads the target image and the canvas so
far; its prior knows three other views of the room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.catalogue import DEMONSTRATIONS
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.context import AnalysisContext
from zoo.analysis.scores import evaluation_of, panels_of
from zoo.cores.draw import Draw
from zoo.data.opening import open_scenes
from zoo.data.source import Split
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.figures.sheets import ImageGroup, image_sheet
from zoo.figures.trends import Trend, trend_panels
from zoo.model.query_latents import RolloutInputs
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import query_keys

Source = Literal["posterior", "prior"]

DATASET = "rooms_ring_camera"
SCENES: Mapping[Split, int] = {"train": 4000, "validation": 100, "test": 400}
IMAGE_SIZE = 32
NUM_CONTEXT = 3
ROWS = 4
SOURCES: tuple[Source, ...] = ("posterior", "prior")
QUANTITIES = {
    "mse": "MSE of the canvas",
    "unexplained": "1 - r^2 of canvas and truth",
    "sharpness": "mean difference of neighbouring pixels",
}


class Progress(NamedTuple):
    """The canvas after every step, with latents from one source."""

    metrics: Mapping[str, np.ndarray]  # names as in QUANTITIES -> [L, scenes] float64
    true_sharpness: np.ndarray  # [scenes] float64, of the target images
    images: np.ndarray  # [L, ROWS, H, W, 3] uint8: the canvases of the first scenes
    truth: np.ndarray  # [ROWS, H, W, 3] uint8: their target images

    def by_step(self) -> dict[int, dict[str, np.ndarray]]:
        """Returns step -> metric -> [scenes]."""
        steps = range(len(self.images))
        return {step + 1: {name: scores[step] for name, scores in self.metrics.items()} for step in steps}


def run(context: AnalysisContext) -> list[Claim]:
    """Trains DRAW, measures its canvas on the test scenes, and draws ``draw.png`` and ``draw-steps.png``."""
    data = context.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE)
    trained = context.trained("draw", data=data)
    test = open_scenes(data, "test")
    context.log(f"measuring the canvas on {SCENES['test']} test scenes")
    evaluation = evaluation_of(trained, test, num_context=NUM_CONTEXT)
    found = {source: measure_canvas(trained.model, evaluation, source=source) for source in SOURCES}
    panels = panels_of({f"latents from the {source}": found[source].by_step() for source in SOURCES}, QUANTITIES)
    steps = list(found["prior"].by_step())
    panels[-1].trends.append(Trend("true image", steps, [found["prior"].true_sharpness] * len(steps)))
    trend_panels(context.image("draw-steps"), panels=panels, along="steps", title=DEMONSTRATIONS["draw"].title)
    draw_canvases(context, found)
    return draw_claims(found)


def measure_canvas(model: SceneModel, evaluation: Evaluation, *, source: Source) -> Progress:
    """Draws the first target of every test scene and measures the canvas after every step."""
    core = model.core
    assert isinstance(core, Draw)

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


def draw_canvases(context: AnalysisContext, found: Mapping[Source, Progress]) -> None:
    """Draws the canvases of some scenes, one row per source."""
    canvases = np.stack([found[source].images for source in SOURCES], axis=2)  # [L, ROWS, sources, H, W, 3]
    groups = [
        ImageGroup(f"step {step}", images.reshape(-1, *images.shape[2:])) for step, images in enumerate(canvases, 1)
    ]
    groups.append(ImageGroup("truth", np.repeat(found["prior"].truth, len(SOURCES), axis=0)))
    labels = [f"room {row + 1}, latents from the {source}" for row in range(ROWS) for source in SOURCES]
    image_sheet(context.image("draw"), groups=groups, title=DEMONSTRATIONS["draw"].title, row_labels=labels)


def draw_claims(found: Mapping[Source, Progress]) -> list[Claim]:
    """Compares every step with the one before, paired over the scenes."""
    expectations = []
    for source, progress in found.items():
        latents = f"with latents from the {source}"
        for metric, text in (("mse", "lowers the error"), ("unexplained", "raises the correlation with the truth")):
            scores, unit = progress.metrics[metric], f"{QUANTITIES[metric]} in the least sure step"
            note = f"from {scores[0].mean():.4f} to {scores[-1].mean():.4f}"
            steps = list(np.diff(scores, axis=0))
            expectations.append(Expectation.least_sure(f"{latents} every step {text}", steps, unit=unit, note=note))
        first, *_, last = progress.metrics["sharpness"]
        text = f"{latents} the canvas is less sharp after the first step than after the last"
        expectations.append(Expectation.less(text, first, last, unit=QUANTITIES["sharpness"]))
    return conclude(expectations)
