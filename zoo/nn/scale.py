"""Learned scales of a likelihood: positive, bounded below, global or per element."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.gaussian import at_least_float32

ScaleKind = Literal["global", "per_element"]


class LocationAndScale(NamedTuple):
    """Parameters of a location-scale family, float32 or better; the scale broadcasts against the location."""

    location: Tensor  # [..., C, H, W]
    scale: Tensor  # [..., C, H, W], or 0-d


class LearnedScale(nn.Module):
    """scale = minimum + (initial - minimum) * softplus(rho) / log 2, so that rho = 0 gives ``initial``.

    rho is a 0-d parameter (``global``) or predicted for every element of a target (``per_element``: the second half of the
    channels). Softplus is linear for large rho, so that neither the scale nor its gradient overflows. ``minimum`` and
    ``initial`` are in units of the target.

    Raises:
        ValueError: if the initial scale is not above the minimum.
    """

    def __init__(self, *, kind: ScaleKind, minimum: float, initial: float) -> None:
        super().__init__()
        if initial <= minimum:
            raise ValueError(f"initial_scale {initial}: must be above minimum_scale {minimum}")
        self.minimum = minimum
        self.slope = (initial - minimum) / math.log(2.0)
        self.rho = nn.Parameter(torch.zeros(())) if kind == "global" else None

    def prediction_channels(self, target_channels: int) -> int:
        """Returns the channels of a prediction: locations, followed by rho if it is predicted."""
        return target_channels if self.rho is not None else 2 * target_channels

    def forward(self, prediction: Tensor) -> LocationAndScale:
        """Splits predictions [..., C', H, W]."""
        prediction = at_least_float32(prediction)
        if self.rho is not None:
            location, rho = prediction, at_least_float32(self.rho)
        else:
            location, rho = prediction.chunk(2, dim=-3)
        return LocationAndScale(location=location, scale=self.minimum + self.slope * F.softplus(rho))
