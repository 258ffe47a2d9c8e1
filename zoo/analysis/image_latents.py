"""Latents of single images, of a VAE or a CVAE, and features of sets of views: latents of a VAE or r of any other model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.cores.cvae import Cvae
from zoo.cores.vae import Vae
from zoo.evaluation.loop import Evaluation, EvaluationBatch, evaluation_mode
from zoo.evaluation.representations import BATCH_SIZE, Describe, encode_views, has_representation
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import images_from_frames
from zoo.nn.gaussian import DiagonalGaussian


@dataclass(frozen=True, kw_only=True)
class ImageLatents:
    """The latents of Q images of each of n scenes, relative to the prior: (z - prior mean) / prior scale."""

    core: Vae | Cvae
    target: Tensor  # [n, Q, C, H, W]
    condition: Tensor  # [n, Q, width of y]; 0 for a VAE
    prior: DiagonalGaussian  # [n, Q, Z]
    mean: Tensor  # [n, Q, Z], of the posterior
    variance: Tensor  # [n, Q, Z]

    def from_prior(self, relative: Tensor, *, condition_of: tuple[int | Tensor, int]) -> Tensor:
        """Returns z [m, Z] of relative latents [m, Z] under the condition of images, by scene and number."""
        prior = DiagonalGaussian(*(field[condition_of] for field in self.prior))
        return prior.sample(relative)


def encode_images(model: SceneModel, evaluation: Evaluation) -> ImageLatents:
    """Encodes the targets of the episodes of an evaluation by a model whose core is a :class:`Vae` or :class:`Cvae`."""
    core = model.core
    assert isinstance(core, Vae | Cvae), "see zoo.analysis.manifold.missing"

    def encode(part: EvaluationBatch) -> Mapping[str, Tensor]:
        episode = model.episode(part.batch, num_context=part.num_context)
        condition = core.condition_of(episode.context, episode.query, model.encoder)
        prior, posterior = core.prior_of(condition), core.posterior_of(episode.target, condition)
        return {
            "target": episode.target,
            "condition": condition,
            "prior_mean": prior.mean,
            "prior_log_scale": prior.log_scale,
            "mean": (posterior.mean - prior.mean) * torch.exp(-prior.log_scale),
            "variance": torch.exp(2.0 * (posterior.log_scale - prior.log_scale)),
        }

    arrays = evaluation.score(encode, model=model)
    found = {name: torch.from_numpy(array).to(evaluation.device) for name, array in arrays.items()}
    prior = DiagonalGaussian(found.pop("prior_mean"), found.pop("prior_log_scale"))
    return ImageLatents(core=core, prior=prior, **found)


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
