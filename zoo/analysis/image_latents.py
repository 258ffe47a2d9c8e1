"""Features of sets of views: latents of a VAE, which encodes single images, or r of any other model."""

from __future__ import annotations

import numpy as np
import torch

from zoo.cores.vae import Vae
from zoo.evaluation.loop import evaluation_mode
from zoo.evaluation.representations import BATCH_SIZE, Describe, encode_views, has_representation
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import images_from_frames
from zoo.nn.gaussian import DiagonalGaussian


def is_vae(model: SceneModel) -> bool:
    """Whether a model encodes single images without context, as a VAE does."""
    return isinstance(model.core, Vae) and model.task.target_kind == "images"


def mean_latents(model: SceneModel, frames: np.ndarray) -> np.ndarray:
    """Returns posterior means of a VAE's latents, averaged over the views of a set, [n, Z] float32.

    Views are exchangeable, so that the best linear function of the latents of all of them is one of their mean.
    """
    assert isinstance(model.core, Vae), "see is_vae"
    found = []
    with evaluation_mode(model):
        for start in range(0, len(frames), BATCH_SIZE):
            part = torch.from_numpy(frames[start : start + BATCH_SIZE]).to(model.device)
            images = images_from_frames(part)
            posterior = DiagonalGaussian.from_parameters(model.core.reader(images.flatten(0, 1)), dim=1)
            found.append(posterior.mean.unflatten(0, images.shape[:2]).mean(1).float().cpu().numpy())
    return np.concatenate(found)


def describe_by(model: SceneModel) -> Describe:
    """Returns the function from sets of views to the features of a model: latents of a VAE, or r of any other."""
    if is_vae(model):
        return lambda frames, cameras: mean_latents(model, frames)
    assert has_representation(model), "neither a VAE nor a model with r"
    return lambda frames, cameras: encode_views(model, frames, cameras).reshape(len(frames), -1)
