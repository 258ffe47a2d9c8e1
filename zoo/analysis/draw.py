"""A image drawn in steps: DRAW's canvas comes closer to the truth with every write, and sharper.

Convolutional DRAW is trained on rooms seen from a ring of cameras. Its canvas is looked at after every step: with latents
from the posterior, which sees the image that it draws and how far it has come, and with latents from the prior, which
knows three other views of the room alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.base import AnalysisContext, Claim
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import evaluation_schedule_values
from zoo.cores.draw import Draw
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.episode import ScheduleValues
from zoo.evaluation.images import to_bytes
from zoo.evaluation.loop import evaluation_batches
from zoo.figures.sheets import ImageColumn, image_columns
from zoo.figures.trends import Trend, TrendPanel, trend_panels
from zoo.model.scene_model import SceneModel
from zoo.nn.noise import query_keys

TITLE = "DRAW's canvas comes closer to the image, and sharper, step by step"
PAPER = "Gregor et al. 2016, Towards conceptual compression, NeurIPS (conv-DRAW); Gregor et al. 2015, DRAW, ICML"
MINUTES = 5

DATASET = "rooms_ring_camera"
SCENES: Mapping[Split, int] = {"train": 4000, "validation": 100, "test": 400}
IMAGE_SIZE = 32
NUM_CONTEXT = 3
ROWS = 4
BATCH_SIZE = 50
SOURCES = ("posterior", "prior")


class Progress(NamedTuple):
    """The canvas after every step, with latents from one source."""

    error: np.ndarray  # [L, scenes] float64: mean squared error, pixels from 0 to 1
    unlike: np.ndarray  # [L, scenes] float64: share of the truth's variance that no brightness or contrast mends
    sharpness: np.ndarray  # [L, scenes] float64: mean absolute difference of neighbouring pixels
    images: np.ndarray  # [L, ROWS, H, W, 3] uint8: the canvases of the first scenes


def run(workshop: AnalysisContext) -> list[Claim]:
    """Trains DRAW, follows its canvas on the test scenes, and draws ``draw.png`` and ``draw-steps.png``."""
    data = workshop.dataset(DATASET, num_scenes=SCENES, image_size=IMAGE_SIZE)
    trained = workshop.trained("draw", data=data)
    test = open_scenes(data, "test")
    workshop.tell(f"following the canvas on {SCENES['test']} test scenes")
    schedule = evaluation_schedule_values(trained.variant.training)
    found = {source: follow(trained.model.eval(), test, source=source, schedule=schedule) for source in SOURCES}
    truth = true_images(test)
    steps = range(1, len(found["prior"].error) + 1)
    labels = {source: f"latents from the {source}" for source in SOURCES}
    trend_panels(
        workshop.image("draw-steps"),
        panels=[
            TrendPanel(
                "MSE of the canvas", [Trend(labels[source], steps, list(found[source].error)) for source in SOURCES]
            ),
            TrendPanel(
                "1 - r^2 of canvas and truth",
                [Trend(labels[source], steps, list(found[source].unlike)) for source in SOURCES],
            ),
            TrendPanel(
                "mean difference of neighbouring pixels",
                [
                    *(Trend(labels[source], steps, list(found[source].sharpness)) for source in SOURCES),
                    Trend("true image", steps, [sharpness(truth).numpy()] * len(steps)),
                ],
            ),
        ],
        along="steps",
        title=TITLE,
    )
    draw_images(workshop, found, truth)
    return judge(found)


def true_images(test: SceneSource) -> Tensor:
    """Returns the targets of all test scenes, [scenes, 3, H, W], pixels from 0 to 1."""
    frames, _ = test.read(np.arange(test.num_scenes), plan_of(test).views[:, NUM_CONTEXT:])
    return torch.from_numpy(frames)[:, 0].movedim(-1, 1) / 255.0


def plan_of(test: SceneSource) -> EvaluationPlan:
    """Returns which views are context and which is drawn."""
    return EvaluationPlan(test, num_context=NUM_CONTEXT, num_targets=1)


@torch.no_grad()
def follow(model: SceneModel, test: SceneSource, *, source: str, schedule: ScheduleValues) -> Progress:
    """Draws every test scene's first target and measures the canvas after every step."""
    assert isinstance(model.core, Draw) and source in ("posterior", "prior")
    plan = plan_of(test)
    errors: list[Tensor] = []
    shares: list[Tensor] = []
    edges: list[Tensor] = []
    images: list[np.ndarray] = []
    for _, batch, number in evaluation_batches(
        test, plan, scenes=np.arange(plan.num_scenes), batch_size=BATCH_SIZE, device="cpu"
    ):
        episode = model.task(batch, num_context=number)
        target = episode.target[:, 0]
        rollout = model.core.rollout(
            model.encoder(episode.context).pooled,
            episode.query[:, 0],
            query_keys(episode.key, num_queries=1)[:, 0],
            target=target if source == "posterior" else None,
            source="posterior" if source == "posterior" else "prior",
            schedule=schedule,
        )
        canvases = torch.stack([model.likelihood.mean(canvas) for canvas in rollout.canvases])
        errors.append((canvases - target).square().flatten(2).mean(2))
        shares.append(unlike(canvases, target))
        edges.append(sharpness(canvases))
        if not images:
            images.append(to_bytes(canvases[:, :ROWS].clamp(0.0, 1.0)))
    return Progress(
        error=torch.cat(errors, dim=1).double().numpy(),
        unlike=torch.cat(shares, dim=1).double().numpy(),
        sharpness=torch.cat(edges, dim=1).double().numpy(),
        images=images[0],
    )


def unlike(images: Tensor, truth: Tensor) -> Tensor:
    """Returns 1 - r^2 for the correlation r of images [..., C, H, W] with the truth, means of channels taken off.

    A canvas that merely grows brighter, or gains contrast, is as unlike the truth as before.
    """
    one, other = (each - each.mean(dim=(-2, -1), keepdim=True) for each in (images, truth))
    product = (one * other).sum(dim=(-3, -2, -1)).square()
    return 1.0 - product / (one.square().sum(dim=(-3, -2, -1)) * other.square().sum(dim=(-3, -2, -1)))


def sharpness(images: Tensor) -> Tensor:
    """Returns the mean absolute difference of neighbouring pixels of images [..., C, H, W]."""
    across = images.diff(dim=-1).abs().mean(dim=(-3, -2, -1))
    return 0.5 * (across + images.diff(dim=-2).abs().mean(dim=(-3, -2, -1)))


def draw_images(workshop: AnalysisContext, found: Mapping[str, Progress], truth: Tensor) -> None:
    """Draws the canvases of some scenes, a row for each source."""
    num_steps = len(found["prior"].images)
    shown = np.stack([found[source].images for source in SOURCES], axis=2)  # [L, ROWS, sources, H, W, 3]
    shown = shown.reshape(num_steps, ROWS * len(SOURCES), *shown.shape[3:])
    columns = [ImageColumn(f"step {step}", canvases) for step, canvases in enumerate(shown, start=1)]
    columns.append(ImageColumn("truth", np.repeat(to_bytes(truth[:ROWS]), len(SOURCES), axis=0)))
    texts = [f"room {row + 1}, latents from the {source}" for row in range(ROWS) for source in SOURCES]
    image_columns(workshop.image("draw"), columns=columns, title=TITLE, row_labels=texts)


def judge(found: Mapping[str, Progress]) -> list[Claim]:
    """Puts the progress into claims, every step paired with the one before over the scenes."""
    claims = []
    for source, progress in found.items():
        latents = f"with latents from the {source}"
        claims += [
            _at_every_write(f"{latents} every write lowers the error of the canvas", progress.error, unit="MSE"),
            _at_every_write(
                f"{latents} every write makes it more like the truth, brightness and contrast set aside",
                progress.unlike,
                unit="of the variance",
            ),
            Claim.below_zero(
                f"{latents} the canvas is sharper after the last write than after the first",
                paired_t_test(progress.sharpness[0] - progress.sharpness[-1]),
                unit="mean difference of neighbouring pixels",
            ),
        ]
    return claims


def _at_every_write(text: str, scores: np.ndarray, *, unit: str) -> Claim:
    """Judges that scores [L, scenes] fall at every write by the one of which that is least sure."""
    writes = [paired_t_test(later - before) for before, later in pairwise(scores)]
    least = max(range(len(writes)), key=lambda index: writes[index].t)
    means = f"from {scores[0].mean():.4f} to {scores[-1].mean():.4f}"
    return Claim.below_zero(f"{text}, {means} (the least sure is write {least + 2})", writes[least], unit=unit)
