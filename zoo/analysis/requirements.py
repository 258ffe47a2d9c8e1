"""What analyses need of a model, in words for messages."""

from __future__ import annotations

from zoo.evaluation.consistency import has_camera_queries
from zoo.training.trained_model import TrainedModel

VIEWS = "a model that predicts images at cameras from images of the scene"
LATENTS = f"{VIEWS}, with latents"
SEVERAL_VIEWS = f"{VIEWS}, and was trained with two or more numbers of them"


def missing_views(trained: TrainedModel) -> str | None:
    """Returns :data:`VIEWS` unless the model is such a one."""
    model = trained.model
    return None if has_camera_queries(model) and model.task.context_kind == "images" else VIEWS


def missing_latents(trained: TrainedModel) -> str | None:
    """Returns :data:`LATENTS` unless the model is such a one."""
    return LATENTS if missing_views(trained) or trained.model.core.latents == "none" else None


def missing_several_views(trained: TrainedModel) -> str | None:
    """Returns :data:`SEVERAL_VIEWS` unless the model is such a one."""
    contexts = trained.variant.training.contexts
    return SEVERAL_VIEWS if missing_views(trained) or contexts.minimum == contexts.maximum else None
