"""Predicted information gain: which view of a scene to take next.

The gain of an image x at a camera y, given the context, is IG(x, y) = KL(q(z | x, y) || p(z | y)); the predicted gain is its
mean over predictions x of the model itself (Eslami et al. 2018). Here x is the expected image of a sample of the latents,
without noise on its pixels, as the model was not trained on noisy images. It is computed for cameras all round the scene,
given one view, and for the other views of the scene, of which the one with the largest gain is added to the context, step by
step. The NELBO of further views is compared with that of views added in random order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.requirements import missing_views
from zoo.analysis.trends import trend_findings
from zoo.episode import SceneBatch, ScheduleValues
from zoo.errors import DataError
from zoo.evaluation.consistency import rotated, with_queries
from zoo.evaluation.loop import EvaluationBatch
from zoo.figures.trends import TrendPanel, trend_of
from zoo.model.scene_model import SceneModel, cached_encoder
from zoo.nn.noise import fold
from zoo.training.trained_model import TrainedModel

HELD_OUT = 3  # views that are scored and never chosen
ANGLES = 16  # cameras round the scene
NEAR, FAR = 45.0, 90.0  # degrees from the view that is known
NEEDED = (
    "a model that predicts images at cameras from images, with latents of the query, and was trained with 2 or more"
)


class Gains(NamedTuple):
    """What was measured of one model."""

    ring: np.ndarray  # [scenes, A], nats: the predicted gain at turns of ``ring_turns`` from the view that is known
    chosen: Mapping[int, np.ndarray]  # number of views -> excess NELBO of the held-out views, [scenes], nats/image
    random: Mapping[int, np.ndarray]  # the same with views in random order


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model lacks: views, latents of the query, or training with two views or more."""
    fits = trained.model.core.latents == "query" and trained.variant.training.contexts.maximum > 1
    return None if fits and not missing_views(trained) else NEEDED


def run(given: AnalysisInputs) -> Findings:
    """Measures the gain on rings of cameras, and chooses views of every scene."""
    found = {label: measure(given, trained, label=label) for label, trained in given.models.items()}
    turns = ring_turns().tolist()
    rings = [trend_of(label, turns, list(one.ring.T)) for label, one in found.items()]
    scores = [
        trend_of(f"{label}, {name}", list(by_number), list(by_number.values()))
        for label, one in found.items()
        for name, by_number in (("largest gain next", one.chosen), ("random order", one.random))
    ]
    panels = [
        TrendPanel("predicted information gain (nats)", rings, along="turn from the known view (degrees)"),
        TrendPanel(f"excess NELBO of {HELD_OUT} other views (nats/image)", scores),
    ]
    claims = gain_claims(found)
    return trend_findings("information-gain", claims=claims, panels=panels, along="context views")


def ring_turns() -> np.ndarray:
    """Returns the turns of the cameras from the view that is known, [A] degrees, from -180 upwards."""
    return np.linspace(-180.0, 180.0, ANGLES, endpoint=False)


def measure(given: AnalysisInputs, trained: TrainedModel, *, label: str) -> Gains:
    """Measures one model; cameras of the ring look at the vertical axis through the origin.

    Raises:
        DataError: if the scenes have too few views.
    """
    model, samples = trained.model, given.num_samples
    candidates = given.scenes.num_views - HELD_OUT
    if candidates < 2:
        raise DataError(
            f"{given.scenes.name}: has {given.scenes.num_views} views, expected at least {HELD_OUT + 2}: two to choose from, "
            f"and {HELD_OUT} to score"
        )
    evaluation = given.evaluation(trained, num_context=candidates, num_targets=HELD_OUT)
    most = min(trained.variant.training.contexts.maximum, candidates)
    given.log(f"{label}: choosing up to {most} of {candidates} views")
    turns = torch.from_numpy(np.radians(ring_turns()))

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        cameras = rotated(part.batch.cameras[:, :1], turns.to(part.batch.cameras))
        ring = with_queries(part.batch, num_context=1, cameras=cameras)
        gain = predicted_gain(model, ring, evaluation.schedule, num_context=1, num_samples=samples)
        views = choose_views(model, part, evaluation.schedule, num_views=most, num_samples=samples)
        rows = {"ring": gain}
        for number in range(1, most + 1):
            for name, order in (("chosen", views), ("random", torch.arange(most).expand_as(views).to(views.device))):
                rows[f"{name} {number}"] = held_out_excess(model, part, evaluation.schedule, views=order[:, :number])
        return rows

    found = evaluation.score(score, model=model)
    numbers = range(1, most + 1)
    return Gains(
        ring=found["ring"],
        chosen={number: found[f"chosen {number}"] for number in numbers},
        random={number: found[f"random {number}"] for number in numbers},
    )


def predicted_gain(
    model: SceneModel, batch: SceneBatch, schedule: ScheduleValues, *, num_context: int, num_samples: int
) -> Tensor:
    """Returns E_x KL(q(z | x, y) || p(z | y)) at the views y after the first N = ``num_context``, [B, Q] float64, nats.

    The expectation is over ``num_samples`` predictions of the model; the images of these views are not used.
    """
    episode = model.episode(batch, num_context=num_context)
    encode = cached_encoder(model.encoder, episode)
    images = model.expected_image(model.predict_parameters(episode, schedule, num_samples=num_samples))
    gains = []
    for sample, target in enumerate(images):
        imagined = episode._replace(
            target=target,
            target_views=episode.target_views._replace(values=target),
            key=fold(episode.key, sample),
        )
        kl = model.core(imagined, encode, schedule).kl
        gains.append(kl.double().reshape(*kl.shape[:2], -1).sum(-1))
    return torch.stack(gains).mean(0)


def choose_views(
    model: SceneModel, part: EvaluationBatch, schedule: ScheduleValues, *, num_views: int, num_samples: int
) -> Tensor:
    """Returns which of the context views of a batch are taken, in order, [B, num_views] int64; the first is given."""
    count = part.num_context
    chosen = torch.zeros(len(part.scenes), 1, dtype=torch.int64, device=part.batch.frames.device)
    while chosen.shape[1] < num_views:
        every = torch.arange(count, device=chosen.device).expand(len(chosen), -1)
        taken = torch.zeros_like(every, dtype=torch.bool).scatter(1, chosen, value=True)
        rest = every[~taken].view(len(chosen), -1)
        batch = select_views(part.batch, torch.cat([chosen, rest], dim=1))
        gain = predicted_gain(model, batch, schedule, num_context=chosen.shape[1], num_samples=num_samples)
        chosen = torch.cat([chosen, rest.gather(1, gain.argmax(1, keepdim=True))], dim=1)
    return chosen


def held_out_excess(model: SceneModel, part: EvaluationBatch, schedule: ScheduleValues, *, views: Tensor) -> Tensor:
    """Returns the excess NELBO of the targets of a batch given some of its context views [B, M], [B] float64, nats/image."""
    targets = torch.arange(part.num_context, part.batch.frames.shape[1], device=views.device)
    batch = select_views(part.batch, torch.cat([views, targets.expand(len(views), -1)], dim=1))
    terms = model.score(model.episode(batch, num_context=views.shape[1]), schedule)
    return terms.excess().double() / terms.num_targets.double()


def select_views(batch: SceneBatch, views: Tensor) -> SceneBatch:
    """Returns a batch with some of its views, [B, M] int64, without extras."""
    rows = torch.arange(len(views), device=views.device)[:, None]
    return batch._replace(frames=batch.frames[rows, views], cameras=batch.cameras[rows, views], extras={})


def gain_claims(found: Mapping[str, Gains]) -> list[Claim]:
    """Tests where the gain is large, and whether it is a good choice, paired over the scenes."""
    expectations = []
    away = np.abs(ring_turns())
    for label, one in found.items():
        near, far = one.ring[:, away < NEAR].mean(1), one.ring[:, away > FAR].mean(1)
        text = f"{label}: more is to be learned beyond {FAR:g} degrees from the known view than within {NEAR:g}"
        expectations.append(Expectation.less(text, near, far, unit="nats"))
        numbers = [number for number in one.chosen if number > 1]
        text = f"{label}: views by the largest gain lower the NELBO of others more than views in random order"
        chosen, random = (np.mean([by[number] for number in numbers], axis=0) for by in (one.chosen, one.random))
        expectations.append(
            Expectation.less(f"{text} ({numbers[0]} to {numbers[-1]} views)", chosen, random, unit="nats")
        )
    return conclude(expectations)
