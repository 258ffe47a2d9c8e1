"""Image metrics: MSE, MAE, RMSE, PSNR and SSIM."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from zoo.data.source import SceneSource
from zoo.errors import ConfigError

SSIM_WINDOW = 11  # pixels, of the Gaussian window of Wang et al. 2004
IMAGE_ERRORS = ("mse", "mae_255", "rmse_255", "psnr", "ssim")


def check_image_size(source: SceneSource) -> None:
    """Refuses images that are too small for the window of SSIM.

    Raises:
        ConfigError: naming the data set and the sizes.
    """
    if source.image_size <= SSIM_WINDOW // 2:
        raise ConfigError(
            f"{source.name}: images of {source.image_size} pixels: SSIM needs at least {SSIM_WINDOW // 2 + 1}"
        )


def image_errors(predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Compares images [B, Q, C, H, W] in [0, 1] with the targets, averaged over a scene's targets.

    Returns:
        [B] float64 each, by the names of :data:`IMAGE_ERRORS`: mean squared error (of the 0-to-1 range), mean absolute
        error and root of the mean squared error (of the 0-to-255 range), peak signal-to-noise ratio (dB) and structural
        similarity (Wang et al. 2004, data range 1).
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
