"""How close predictions from the prior come to the truth, in pictures rather than nats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torchmetrics.functional.image import structural_similarity_index_measure

from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import Knobs
from zoo.errors import ConfigError
from zoo.evaluation.nelbo import Progress, evaluation_batches
from zoo.model import SceneModel
from zoo.tasks import images_from_frames

SSIM_WINDOW = 11  # pixels, of the Gaussian window of Wang et al. 2004


@torch.no_grad()
def score_pictures(
    model: SceneModel,
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    knobs: Knobs,
    batch_size: int,
    num_samples: int,
    device: torch.device | str,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Compares the mean of ``num_samples`` predictions from the prior with the truth.

    Targets are never looked at by the model. The prediction is the average over samples of the expected picture,
    clamped to [0, 1].

    Returns:
        Arrays [num_scenes] float64, averaged over a scene's targets: ``mse`` (of values in [0, 1]), ``psnr`` (dB, of
        each picture, then averaged), ``ssim`` (Wang et al. 2004, data range 1), and ``sample_variance`` (mean over
        pixels of the variance between samples).

    Raises:
        ConfigError: if the pictures are too small for the window of SSIM.
    """
    if source.image_size <= SSIM_WINDOW // 2:
        raise ConfigError(
            f"{source.name}: pictures of {source.image_size} pixels: SSIM needs at least {SSIM_WINDOW // 2 + 1}"
        )
    was_training = model.training
    model.eval()
    found: dict[str, list[np.ndarray]] = {"mse": [], "psnr": [], "ssim": [], "sample_variance": []}
    try:
        scenes = np.arange(plan.num_scenes)
        for done, (_, batch, num_context) in enumerate(
            evaluation_batches(source, plan, scenes=scenes, batch_size=batch_size, device=device), start=1
        ):
            prediction = model.predict(batch, knobs, num_context, num_samples=num_samples)
            mean = prediction.expected.mean(0)
            error = (mean - prediction.target).square().flatten(2).mean(-1)
            ssim = structural_similarity_index_measure(
                mean.flatten(0, 1), prediction.target.flatten(0, 1), data_range=1.0, reduction="none"
            )
            assert isinstance(ssim, torch.Tensor)
            psnr = -10.0 * torch.log10(error.clamp(min=1e-10))
            variance = prediction.expected.var(0, correction=0).flatten(2).mean(-1)
            for name, values in (
                ("mse", error),
                ("psnr", psnr),
                ("ssim", ssim.view_as(error)),
                ("sample_variance", variance),
            ):
                found[name].append(values.double().mean(1).cpu().numpy())
            if progress:
                progress(min(done * batch_size, plan.num_scenes), plan.num_scenes)
    finally:
        model.train(was_training)
    return {name: np.concatenate(values) for name, values in found.items()}


class Sheet(NamedTuple):
    """The pictures of a prediction sheet, uint8."""

    context: np.ndarray  # [R, N, H, W, 3]
    truth: np.ndarray  # [R, H, W, 3]
    mean: np.ndarray  # [R, H, W, 3]
    samples: np.ndarray  # [R, S, H, W, 3]


@torch.no_grad()
def sheet_of(
    model: SceneModel,
    source: SceneSource,
    plan: EvaluationPlan,
    *,
    scenes: np.ndarray,
    knobs: Knobs,
    num_samples: int,
    device: torch.device | str,
    mean_samples: int = 16,
    pixel_noise: bool = False,
) -> Sheet:
    """Predicts the first target of some scenes from the prior.

    ``mean`` averages ``mean_samples`` predictions; ``samples`` are the first ``num_samples`` of them, with the
    likelihood's own noise on every pixel if ``pixel_noise`` is set.
    """
    was_training = model.training
    model.eval()
    try:
        ((_, batch, num_context),) = evaluation_batches(
            source, plan, scenes=scenes, batch_size=len(scenes), device=device
        )
        prediction = model.predict(batch, knobs, num_context, num_samples=max(mean_samples, num_samples))
        shown = prediction.expected[:num_samples]
        if pixel_noise:
            shown = model.with_noise(prediction.parameters[:num_samples], batch.key, knobs).clamp(0.0, 1.0)
    finally:
        model.train(was_training)
    # What the model was not given (captions stand in for pictures, or there is no context) is not shown as context.
    shown_views = num_context if model.task.context_kind == "images" else 0
    return Sheet(
        context=to_bytes(images_from_frames(batch.frames[:, :shown_views])),
        truth=to_bytes(prediction.target[:, 0]),
        mean=to_bytes(prediction.expected.mean(0)[:, 0]),
        samples=to_bytes(shown[:, :, 0].transpose(0, 1)),
    )


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Turns pictures [..., 3, H, W] in [0, 1] into frames [..., H, W, 3] uint8."""
    return rearrange((images * 255.0).round().to(torch.uint8), "... c h w -> ... h w c").cpu().numpy()
