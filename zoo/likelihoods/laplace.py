"""The Laplace likelihood with a scheduled or learned scale."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings
from zoo.episode import ScheduleValues
from zoo.likelihoods.learned_gaussian import LearnedScale, LocationAndScale
from zoo.model.interfaces import Likelihood
from zoo.nn.gaussian import at_least_float32
from zoo.nn.quantized import laplace_log_mass


class Laplace(Likelihood):
    """Laplace likelihood, p(x | mu, s) = prod_d exp(-|x_d - mu_d| / b_d) / (2 b_d), b = s / sqrt(2), s = standard deviation.

    The optimal mu is a median, which keeps edges of uncertain position sharp. s is the sigma of the schedule (no NELBO is
    below D log(sqrt(2) s)), or is learned as in ``learned_gaussian``, without a floor. ``log_mass`` is the lossless code
    length of 8-bit images. Predictions are locations, then s where it is predicted.
    """

    class Config(Settings):
        """The standard deviation, in units of the target (1 is white for images)."""

        scale: Literal["sigma", "global", "per_element"] = Field(
            default="sigma", description="from the schedule, one learned number, or predicted per element"
        )
        minimum_scale: float = Field(default=0.004, gt=0, description="least learned standard deviation")
        initial_scale: float = Field(default=0.7, gt=0, description="learned standard deviation at parameter 0")

    target_kinds = frozenset({"images", "values"})
    has_mass = True

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scale: LearnedScale | None = None
        if config.scale != "sigma":
            self.scale = LearnedScale(kind=config.scale, minimum=config.minimum_scale, initial=config.initial_scale)
        # These declarations depend on the settings.
        self.bounded = self.uses_sigma = self.scale is None

    def prediction_channels(self, target_channels: int) -> int:
        return target_channels if self.scale is None else self.scale.prediction_channels(target_channels)

    def _location_and_scale(self, prediction: Tensor, schedule: ScheduleValues) -> LocationAndScale:
        if self.scale is not None:
            return self.scale(prediction)
        return LocationAndScale(location=at_least_float32(prediction), scale=at_least_float32(schedule.sigma))

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        location, scale = self._location_and_scale(prediction, schedule)
        distance = (at_least_float32(target) - location).abs()
        density = -math.sqrt(2.0) * distance / scale - torch.log(scale)
        return density.flatten(2).sum(-1) - 0.5 * math.log(2.0) * math.prod(target.shape[2:])

    def floor(self, target_dims: int, schedule: ScheduleValues) -> Tensor:
        if self.scale is not None:
            return super().floor(target_dims, schedule)
        return target_dims * (0.5 * math.log(2.0) + torch.log(schedule.sigma))

    def log_mass(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        location, scale = self._location_and_scale(prediction, schedule)
        return laplace_log_mass(target, location=location, scale=scale / math.sqrt(2.0)).flatten(2).sum(-1)

    def mean(self, prediction: Tensor) -> Tensor:
        return at_least_float32(prediction) if self.scale is None else self.scale(prediction).location

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        location, scale = self._location_and_scale(prediction, schedule)
        # |x - mu| / b is exponential: -log of the uniform number 2 Phi(-|noise|).
        distance = -math.log(2.0) - torch.special.log_ndtr(-noise.abs())
        return location + scale / math.sqrt(2.0) * torch.sign(noise) * distance
