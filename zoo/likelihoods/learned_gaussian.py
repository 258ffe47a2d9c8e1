"""The Gaussian likelihood with a learned standard deviation."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.settings import Settings
from zoo.episode import ScheduleValues
from zoo.model.interfaces import Likelihood
from zoo.nn.gaussian import at_least_float32
from zoo.nn.quantized import gaussian_log_mass

ScaleKind = Literal["global", "per_element"]


class LearnedGaussian(Likelihood):
    """Gaussian likelihood, p(x | mu, s) = prod_d N(x_d; mu_d, s_d^2), with s learned by maximum likelihood.

    ``global`` is one s for the whole model, with the root mean squared error as optimum (Rybkin et al. 2021, "Simple and
    effective VAE training with calibrated decoders", section 3); ``per_element`` predicts s for every element, as neural
    processes do (Garnelo et al. 2018; their s = 0.1 + 0.9 softplus is minimum_scale 0.1, initial_scale 0.724).
    Predictions are means, then s where it is predicted.

    The density has no upper bound as s falls: the floor is 0 and an excess may be negative. It is no code length of 8-bit
    images (Theis et al. 2016, "A note on the evaluation of generative models", section 3.1); ``log_mass`` is.
    """

    class Config(Settings):
        """The standard deviation s, in units of the target (1 is white for images)."""

        scale: ScaleKind = Field(default="global", description="one for the whole model, or predicted per element")
        minimum_scale: float = Field(
            default=0.004, gt=0, description="least standard deviation; about one step of an 8-bit image"
        )
        initial_scale: float = Field(default=0.7, gt=0, description="standard deviation at parameter 0")

    target_kinds = frozenset({"images", "values"})
    bounded = False
    has_mass = True

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scale = LearnedScale(kind=config.scale, minimum=config.minimum_scale, initial=config.initial_scale)

    def prediction_channels(self, target_channels: int) -> int:
        return self.scale.prediction_channels(target_channels)

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        mean, scale = self.scale(prediction)
        standardised = (at_least_float32(target) - mean) / scale
        density = -0.5 * standardised.square() - torch.log(scale)
        return density.flatten(2).sum(-1) - 0.5 * math.log(2.0 * math.pi) * math.prod(target.shape[2:])

    def log_mass(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        mean, scale = self.scale(prediction)
        return gaussian_log_mass(target, mean=mean, scale=scale).flatten(2).sum(-1)

    def mean(self, prediction: Tensor) -> Tensor:
        return self.scale(prediction).location

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        mean, scale = self.scale(prediction)
        return mean + scale * noise


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
