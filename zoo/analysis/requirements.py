"""What analyses need of a model, in words for messages."""

from __future__ import annotations

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
