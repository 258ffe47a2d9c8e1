"""Differentiable attention windows on an image: a grid of Gaussian filters with position, zoom and width.

After Gregor et al. 2015, DRAW: a recurrent neural network for image generation, section 3.2, equations 19 to 28.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.nn.gaussian import at_least_float32

NARROWEST = -20.0  # log variance
NUM_PARAMETERS = 5  # centre x, centre y, log variance, log stride, log intensity


class Window(NamedTuple):
    """A grid of N x N filters on each of n images of H x W pixels."""

    rows: Tensor  # [n, N, H]: F_Y, weights of the rows of pixels, which sum to 1 per filter
    columns: Tensor  # [n, N, W]: F_X, likewise for columns
    intensity: Tensor  # [n]: gamma

    def read(self, images: Tensor) -> Tensor:
        """Returns the glimpses gamma F_Y x F_X^T, [n, C, N, N], of images [n, C, H, W]."""
        glimpses = self.rows[:, None] @ images @ self.columns[:, None].transpose(-1, -2)
        return self.intensity[:, None, None, None] * glimpses

    def write(self, patches: Tensor) -> Tensor:
        """Returns images F_Y^T w F_X / gamma, [n, C, H, W], of patches w [n, C, N, N]."""
        images = self.rows[:, None].transpose(-1, -2) @ patches @ self.columns[:, None]
        return images / self.intensity[:, None, None, None]


def filters(*, centre: Tensor, stride: Tensor, log_variance: Tensor, number: int, size: int) -> Tensor:
    """Returns N Gaussian filters along one side of an image, [n, N, size].

    Their weights are normalised over the image's pixels: a filter outside the image reads its border.

    Args:
        centre: [n], the middle of the grid, in pixels; the first pixel is at 1.
        stride: [n], pixels between filters.
        log_variance: [n], of a filter, pixels squared.
        number: N.
        size: pixels along the side.
    """
    places = torch.arange(number, device=centre.device, dtype=centre.dtype) - (number - 1) / 2.0
    means = centre[:, None] + places * stride[:, None]
    pixels = torch.arange(1, size + 1, device=centre.device, dtype=centre.dtype)
    squares = (pixels - means[:, :, None]).square()
    # A filter much narrower than a pixel reads one pixel, however narrow: the limit keeps the exponential finite.
    precision = torch.exp(-log_variance.clamp(min=NARROWEST))
    # Normalised Gaussians are a softmax, which does not underflow where all of them are small.
    return torch.softmax(-0.5 * squares * precision[:, None, None], dim=-1)


def window(parameters: Tensor, *, number: int, height: int, width: int) -> Window:
    """Returns windows of N = ``number`` (2 or more) filters per side on images of height x width pixels.

    Parameters [n, 5] are the centre, x and y from -1 to 1 across the image, log variance (pixels squared), log stride
    relative to that of a grid over the whole image, and log intensity; zeros give the whole image.
    """
    x, y, log_variance, log_stride, log_intensity = at_least_float32(parameters).unbind(dim=1)
    stride = (max(height, width) - 1) / (number - 1) * torch.exp(log_stride)
    rows, columns = (
        filters(
            centre=(size + 1) / 2.0 * (centre + 1.0),
            stride=stride,
            log_variance=log_variance,
            number=number,
            size=size,
        )
        for centre, size in ((y, height), (x, width))
    )
    return Window(rows=rows, columns=columns, intensity=torch.exp(log_intensity))


class WindowHead(nn.Module):
    """One linear map from a recurrent state to a window."""

    def __init__(self, *, state_features: int, number: int, height: int, width: int) -> None:
        super().__init__()
        self.number, self.height, self.width = number, height, width
        self.linear = nn.Linear(state_features, NUM_PARAMETERS)

    def forward(self, state: Tensor) -> Window:
        """Maps states [n, ...] to windows on n images."""
        return window(self.linear(state.flatten(1)), number=self.number, height=self.height, width=self.width)
