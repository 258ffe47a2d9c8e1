"""Image metrics of predictions from the prior (MSE, MAE, RMSE, PSNR, SSIM), and the images of a prediction sheet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from zoo.data.source import SceneSource
from zoo.errors import ConfigError
from zoo.evaluation.loop import Evaluation, EvaluationBatch
from zoo.model.scene_model import SceneModel
from zoo.model.tasks import images_from_frames
from zoo.results.metrics import BEST, ONE

SSIM_WINDOW = 11  # pixels, of the Gaussian window of Wang et al. 2004


def check_image_size(source: SceneSource) -> None:
    """Raises ConfigError if images are too small for the window of SSIM."""
    if source.image_size <= SSIM_WINDOW // 2:
        raise ConfigError(
            f"{source.name}: images of {source.image_size} pixels: SSIM needs at least {SSIM_WINDOW // 2 + 1}"
        )


def image_errors(predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Compares images [B, Q, C, H, W] in [0, 1] with the targets, averaged over a scene's targets.

    Returns:
        [B] float64 each, by the names of :data:`zoo.results.metrics.IMAGE_METRICS`: mean squared error (of the 0-to-1
        range), mean absolute error and root of the mean squared error (of the 0-to-255 range), peak signal-to-noise ratio
        (dB) and structural similarity (Wang et al. 2004, data range 1).
    """
    difference = (predicted - target).flatten(2)
    squared = difference.square().mean(-1)
    ssim = structural_similarity_index_measure(
        predicted.flatten(0, 1), target.flatten(0, 1), data_range=1.0, reduction="none"
    )
    assert isinstance(ssim, Tensor)
    of_images = {
        "mse": squared,
        "mae_255": 255.0 * difference.abs().mean(-1),
        "rmse_255": 255.0 * squared.sqrt(),
        "psnr": -10.0 * torch.log10(squared.clamp(min=1e-10)),
        "ssim": ssim.view_as(squared),
    }
    return {name: values.double().mean(1) for name, values in of_images.items()}


def score_images(model: SceneModel, evaluation: Evaluation, *, num_samples: int) -> dict[str, np.ndarray]:
    """Compares ``num_samples`` predictions from the prior with the targets.

    A prediction is the expected image of one sample of the latents, clamped to [0, 1].

    Returns:
        Arrays [num_scenes] float64, averaged over a scene's targets: the errors of :func:`image_errors` of the mean of all
        samples (``mse``, ``mae_255``, ...), of the first sample alone (``mse_one``, ...) and of the sample with the least
        squared error, chosen for each target (``mse_best``, ...); and ``sample_variance``, the mean over pixels of the
        variance between samples.

    Raises:
        ConfigError: if the images are too small for the window of SSIM.
    """
    check_image_size(evaluation.source)

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        prediction = model.predict(part.batch, evaluation.schedule, part.num_context, num_samples=num_samples)
        expected, target = prediction.expected, prediction.target
        nearest = (expected - target).square().flatten(3).mean(-1).argmin(0)  # [B, Q]
        best = torch.take_along_dim(expected, nearest[None, :, :, None, None, None], dim=0)[0]
        errors = {
            f"{name}{suffix}": values
            for suffix, images in (("", expected.mean(0)), (ONE, expected[0]), (BEST, best))
            for name, values in image_errors(images, target).items()
        }
        variance = expected.var(0, correction=0).flatten(2).mean(-1)
        return errors | {"sample_variance": variance.double().mean(1)}

    return evaluation.score(score, model=model)


class Sheet(NamedTuple):
    """The images of a prediction sheet, uint8."""

    context: np.ndarray  # [R, N, H, W, 3]
    truth: np.ndarray  # [R, H, W, 3]
    mean: np.ndarray  # [R, H, W, 3]
    samples: np.ndarray  # [R, S, H, W, 3]


def sheet_of(
    model: SceneModel, evaluation: Evaluation, *, num_samples: int, mean_samples: int = 16, pixel_noise: bool = False
) -> Sheet:
    """Predicts the first target of every scene of an evaluation from the prior.

    ``mean`` averages ``mean_samples`` predictions; ``samples`` are the first ``num_samples`` of them, with the
    likelihood's own noise on every pixel if ``pixel_noise`` is set.
    """
    # A model of captions, or without a context, was not given the images of the context views.
    has_context_images = model.task.context_kind == "images"

    def predict(part: EvaluationBatch) -> Mapping[str, Tensor]:
        batch, schedule = part.batch, evaluation.schedule
        prediction = model.predict(batch, schedule, part.num_context, num_samples=max(mean_samples, num_samples))
        shown = prediction.expected[:num_samples]
        if pixel_noise:
            shown = model.with_noise(prediction.parameters[:num_samples], batch.key, schedule).clamp(0.0, 1.0)
        return {
            "context": images_from_frames(batch.frames[:, : part.num_context if has_context_images else 0]),
            "truth": prediction.target[:, 0],
            "mean": prediction.expected.mean(0)[:, 0],
            "samples": shown[:, :, 0].transpose(0, 1),
        }

    images = evaluation.score(predict, model=model)
    return Sheet(**{name: to_bytes(torch.from_numpy(images[name])) for name in Sheet._fields})


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Converts images [..., 3, H, W] in [0, 1] to frames [..., H, W, 3] uint8."""
    return rearrange((images * 255.0).round().to(torch.uint8), "... c h w -> ... h w c").cpu().numpy()
