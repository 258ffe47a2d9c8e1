"""Training step, prediction and evaluation of every registered variant."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.conftest import Subject
from zoo.evaluation.nelbo import importance_weighted_nelbo

IMPORTANCE_SAMPLES = 2


def test_training_step(subject: Subject, timed: Callable[..., None]) -> None:
    """Forward, backward and Adam."""
    optimizer = torch.optim.Adam(subject.model.parameters(), lr=1e-6)

    def step() -> None:
        subject.loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    timed(step, group="training step", unit="scenes", units=len(subject.batch.scene))


def test_prediction(subject: Subject, timed: Callable[..., None]) -> None:
    """One sample from the prior for every query."""
    model = subject.model.eval()
    timed(
        lambda: model.predict(subject.batch, subject.knobs, subject.num_context),
        group="prediction",
        unit="images",
        units=len(subject.batch.scene) * subject.recipe.targets,
    )


def test_evaluation(subject: Subject, timed: Callable[..., None]) -> None:
    """The ELBO and an importance-weighted bound of two samples."""
    model = subject.model.eval()

    def score() -> None:
        with torch.no_grad():
            model(subject.batch, subject.knobs, subject.num_context)
            importance_weighted_nelbo(
                model, subject.batch, subject.knobs, subject.num_context, samples=IMPORTANCE_SAMPLES
            )

    timed(score, group="evaluation", unit="scenes", units=len(subject.batch.scene))
