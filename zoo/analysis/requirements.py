"""What analyses need of a model, in words for messages."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.errors import ConfigError
from zoo.evaluation.consistency import has_camera_queries
from zoo.likelihoods.learned_gaussian import LearnedGaussian
from zoo.training.trained_model import TrainedModel


def missing_views(trained: TrainedModel, *, latents: bool = False, several: bool = False) -> str | None:
    """Returns what a model would need to predict images at cameras from images of the scene; None if it does.

    ``latents`` are needed as well, and training with ``several`` numbers of context views, if they are set.
    """
    model, contexts = trained.model, trained.variant.training.contexts
    has_views = has_camera_queries(model) and model.encoder.context_kind == "images"
    has_latents = model.core.latents != "none" or not latents
    has_several = contexts.minimum < contexts.maximum or not several
    if has_views and has_latents and has_several:
        return None
    needed = "a model that predicts images at cameras from images of the scene"
    return f"{needed}{', with latents' * latents}{', trained with several numbers of them' * several}"


def missing_values(trained: TrainedModel, *, inputs: int, needed: str) -> str | None:
    """Returns ``needed`` unless a model predicts values of one number at ``inputs`` numbers, with their deviation."""
    task, likelihood = trained.model.task, trained.model.likelihood
    fits = task.query_kind == "inputs" and task.view_shape.pose_width == inputs and task.target_shape[0] == 1
    return None if fits and isinstance(likelihood, LearnedGaussian) else needed


def check_comparable(models: Mapping[str, TrainedModel]) -> None:
    """Raises ConfigError if NELBOs of the models cannot be compared: with another likelihood or sigma of evaluation."""
    scales = {
        label: f"{trained.variant.likelihood.use}"
        + (f", sigma {float(trained.schedule.sigma):g}" if trained.model.likelihood.uses_sigma else "")
        for label, trained in models.items()
    }
    first, *others = scales
    if different := [label for label in others if scales[label] != scales[first]]:
        raise ConfigError(
            f"{different[0]}: its NELBO ({scales[different[0]]}) cannot be compared with that of {first} ({scales[first]})"
        )
