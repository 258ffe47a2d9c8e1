"""Baselines without a model: the mean image, and a copy of the nearest context view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor

from zoo.data.camera import pose_vector
from zoo.data.source import SceneSource
from zoo.episode import SceneBatch
from zoo.evaluation.bounds import ElboScores
from zoo.evaluation.code_length import best_sigma
from zoo.evaluation.images import check_image_size, image_errors
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.likelihoods.annealed_gaussian import AnnealedGaussian
from zoo.likelihoods.discretised_logistic import bits_per_dim
from zoo.model.tasks import images_from_frames

MEAN_IMAGE, NEAREST_VIEW = "mean-image", "nearest-view"
Predictor = Callable[[SceneBatch, int], Tensor]  # a batch and its number of context views -> images [B, Q, 3, H, W]
MEAN_OF_SCENES = 4096  # more would change the mean image by less than a step of an 8-bit value
_IMAGES_AT_ONCE = 4096


def mean_image(source: SceneSource) -> Tensor:
    """Returns the mean over all images of a split's first 4096 scenes, [3, H, W] float32 in [0, 1]."""
    num_scenes = min(source.num_scenes, MEAN_OF_SCENES)
    scenes_at_once = max(1, _IMAGES_AT_ONCE // source.num_views)
    total = np.zeros((source.image_size, source.image_size, 3), dtype=np.float64)
    for start in range(0, num_scenes, scenes_at_once):
        scenes = np.arange(start, min(start + scenes_at_once, num_scenes))
        views = np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views))
        total += source.read(scenes, views)[0].sum(axis=(0, 1), dtype=np.float64)
    mean = total / (255.0 * num_scenes * source.num_views)
    return rearrange(torch.from_numpy(mean).float(), "h w c -> c h w")


def nearest_view(batch: SceneBatch, num_context: int) -> Tensor:
    """Returns, for every queried camera, the context image of the nearest camera, [B, Q, 3, H, W].

    By the Euclidean distance of the pose vectors (x, y, z, cos yaw, sin yaw, cos pitch, sin pitch); the first of several
    equally near ones.
    """
    poses = pose_vector(batch.cameras)
    nearest = torch.cdist(poses[:, num_context:], poses[:, :num_context]).argmin(-1)  # [B, Q]
    context = images_from_frames(batch.frames[:, :num_context])
    return context[torch.arange(len(context), device=context.device)[:, None], nearest]


def baseline_predictor(name: str, *, train: SceneSource) -> Predictor:
    """Returns a baseline by its name, ``mean-image`` (of the split ``train``) or ``nearest-view``."""
    if name == NEAREST_VIEW:
        return nearest_view
    assert name == MEAN_IMAGE
    mean = mean_image(train)

    def predict(batch: SceneBatch, num_context: int) -> Tensor:
        number, views = batch.cameras.shape[:2]
        return repeat(mean, "c h w -> b q c h w", b=number, q=views - num_context)

    return predict


class BaselineScores(NamedTuple):
    """Scores of a baseline."""

    per_scene: dict[str, np.ndarray]  # [num_scenes] float64 each
    code_sigma: float | None  # None without scenes to fit it on


def score_baseline(
    predict: Predictor, evaluation: Evaluation, *, calibration: Evaluation | None = None
) -> BaselineScores:
    """Scores a baseline like a model with the Gaussian of fixed sigma and without latents: its KL is 0.

    The scores have the names of :func:`zoo.evaluation.bounds.score_episode`. On the scenes of ``calibration`` a sigma is
    fitted for ``bits_per_dim``; None leaves it out.

    Raises:
        ConfigError: if the images are too small for SSIM.
    """
    check_image_size(evaluation.source)
    schedule = evaluation.schedule
    likelihood = AnnealedGaussian(AnnealedGaussian.Config())
    code_schedule = None
    if calibration is not None:
        pairs = calibration.score(partial(_pair, predict), model=None)
        images = {name: torch.from_numpy(values) for name, values in pairs.items()}
        code_schedule = schedule._replace(sigma=torch.tensor(best_sigma(likelihood, **images, schedule=schedule)))

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        prediction, target = _pair(predict, part).values()
        dims = target[0, 0].numel()
        log_likelihood = likelihood.log_prob(prediction.double(), target.double(), schedule).mean(1)
        floor = torch.full_like(log_likelihood, float(likelihood.floor(dims, schedule)))
        scores = ElboScores(
            nelbo=-log_likelihood,
            nelbo_excess=-log_likelihood - floor,
            log_likelihood=log_likelihood,
            kl=torch.zeros_like(floor),
            floor=floor,
        )
        columns = {"scene": torch.from_numpy(part.scenes), **scores._asdict(), "distortion": scores.nelbo_excess}
        columns |= image_errors(prediction, target)
        if code_schedule is not None:
            mass = likelihood.log_mass(prediction, target, code_schedule).mean(1)
            columns["bits_per_dim"] = bits_per_dim(-mass, dims)
        return columns

    return BaselineScores(
        per_scene=evaluation.score(score, model=None),
        code_sigma=None if code_schedule is None else float(code_schedule.sigma),
    )


def _pair(predict: Predictor, part: EvaluationBatch) -> dict[str, Tensor]:
    target = images_from_frames(part.batch.frames[:, part.num_context :])
    return {"prediction": predict(part.batch, part.num_context), "target": target}
