"""Image errors of predictions from the prior, and the images of a prediction sheet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import ScheduleValues
from zoo.evaluation.image_metrics import check_image_size, image_errors
from zoo.evaluation.loop import EvaluationBatch, Progress, evaluation_batches, evaluation_mode, score_batches
from zoo.model.scene_model import Prediction, SceneModel
from zoo.model.tasks import images_from_frames
from zoo.results.metrics import BEST, ONE


def score_images(
    model: SceneModel,
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    schedule: ScheduleValues,
    batch_size: int,
    num_samples: int,
    device: torch.device | str,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Compares ``num_samples`` predictions from the prior with the targets.

    A prediction is the expected image of one sample of the latents, clamped to [0, 1].

    Returns:
        Arrays [num_scenes] float64, averaged over a scene's targets: the errors of
        :func:`zoo.evaluation.image_metrics.image_errors` of the mean of all samples (``mse``, ``mae_255``, ...), of
        the first sample alone (``mse_one``, ...) and of the sample with the least squared error, chosen for each target
        (``mse_best``, ...); and ``sample_variance``, the mean over pixels of the variance between samples.

    Raises:
        ConfigError: if the images are too small for the window of SSIM.
    """
    check_image_size(source)

    def score(part: EvaluationBatch) -> Mapping[str, Tensor]:
        return _errors(model.predict(part.batch, schedule, part.num_context, num_samples=num_samples))

    with evaluation_mode(model):
        return score_batches(score, source, plan, batch_size=batch_size, device=device, progress=progress)


def _errors(prediction: Prediction) -> dict[str, Tensor]:
    expected, target = prediction.expected, prediction.target
    errors = image_errors(expected.mean(0), target)
    errors |= {f"{name}{ONE}": values for name, values in image_errors(expected[0], target).items()}
    nearest = (expected - target).square().flatten(3).mean(-1).argmin(0)  # [B, Q]
    scene, query = torch.meshgrid(*(torch.arange(size, device=target.device) for size in nearest.shape), indexing="ij")
    errors |= {
        f"{name}{BEST}": values for name, values in image_errors(expected[nearest, scene, query], target).items()
    }
    errors["sample_variance"] = expected.var(0, correction=0).flatten(2).mean(-1).double().mean(1)
    return errors


class Sheet(NamedTuple):
    """The images of a prediction sheet, uint8."""

    context: np.ndarray  # [R, N, H, W, 3]
    truth: np.ndarray  # [R, H, W, 3]
    mean: np.ndarray  # [R, H, W, 3]
    samples: np.ndarray  # [R, S, H, W, 3]


def sheet_of(
    model: SceneModel,
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    scenes: np.ndarray,
    schedule: ScheduleValues,
    num_samples: int,
    device: torch.device | str,
    mean_samples: int = 16,
    pixel_noise: bool = False,
) -> Sheet:
    """Predicts the first target of some scenes from the prior.

    ``mean`` averages ``mean_samples`` predictions; ``samples`` are the first ``num_samples`` of them, with the
    likelihood's own noise on every pixel if ``pixel_noise`` is set.
    """
    with evaluation_mode(model):
        ((_, batch, num_context),) = evaluation_batches(
            source, plan, scenes=scenes, batch_size=len(scenes), device=device
        )
        prediction = model.predict(batch, schedule, num_context, num_samples=max(mean_samples, num_samples))
        shown = prediction.expected[:num_samples]
        if pixel_noise:
            shown = model.with_noise(prediction.parameters[:num_samples], batch.key, schedule).clamp(0.0, 1.0)
    # A model of captions, or without a context, was not given the images of the context views.
    context_images = num_context if model.task.context_kind == "images" else 0
    return Sheet(
        context=to_bytes(images_from_frames(batch.frames[:, :context_images])),
        truth=to_bytes(prediction.target[:, 0]),
        mean=to_bytes(prediction.expected.mean(0)[:, 0]),
        samples=to_bytes(shown[:, :, 0].transpose(0, 1)),
    )


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Converts images [..., 3, H, W] in [0, 1] to frames [..., H, W, 3] uint8."""
    return rearrange((images * 255.0).round().to(torch.uint8), "... c h w -> ... h w c").cpu().numpy()
