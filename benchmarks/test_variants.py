"""Training step, prediction and evaluation of every registered variant."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.subject import DEVICE, Subject
from zoo.config.schedules import evaluation_schedule_values
from zoo.evaluation.bounds import importance_weighted
from zoo.evaluation.throughput import flops_of
from zoo.model.scene_model import cached_encoder

IMPORTANCE_SAMPLES = 2


def test_training_step(time_training: Callable[[str], None]) -> None:
    """Forward, backward and Adam."""
    time_training("training step")


def test_prediction(time_prediction: Callable[[str], None]) -> None:
    """One sample from the prior for every query."""
    time_prediction("prediction")


def test_evaluation(subject: Subject, timed: Callable[..., None]) -> None:
    """The ELBO and an importance-weighted bound of two samples."""
    model, num_context = subject.model.eval(), subject.recipe.contexts.maximum
    schedule = evaluation_schedule_values(subject.recipe, device=DEVICE)

    def score() -> None:
        with torch.no_grad():
            model(subject.batch, schedule, num_context)
            episode = model.episode(subject.batch, num_context=num_context)
            encode = cached_encoder(model.encoder, episode)
            importance_weighted(model, episode, schedule, numbers=(IMPORTANCE_SAMPLES,), encode=encode)

    timed(score, kind="evaluate", group="evaluation", units=subject.num_scenes, flops=flops_of(score))
