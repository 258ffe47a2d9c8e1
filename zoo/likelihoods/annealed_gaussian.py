"""The Gaussian likelihood of GQN with a scheduled standard deviation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.config.settings import Settings
from zoo.episode import ScheduleValues
from zoo.model.interfaces import Likelihood
from zoo.nn.gaussian import at_least_float32
from zoo.nn.quantized import gaussian_log_mass


class AnnealedGaussian(Likelihood):
    """Gaussian likelihood, p(x | mu) = prod_d N(x_d; mu_d, sigma^2), sigma from a schedule (Eslami et al. 2018, S1.4).

    No NELBO is below D (log(2 pi) / 2 + log sigma): 6909.1 nats for 3x64x64 at sigma 0.7. The density is no code length
    of 8-bit pixels; ``log_mass`` is, at a sigma that fits the errors of the model.
    """

    class Config(Settings):
        """No settings: sigma belongs to the schedule."""

    target_kinds = frozenset({"images"})
    uses_sigma = True
    has_mass = True

    def prediction_channels(self, target_channels: int) -> int:
        return target_channels

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        difference = at_least_float32(target) - at_least_float32(prediction)
        distortion = 0.5 * (difference / schedule.sigma).square().flatten(2).sum(-1)
        return -distortion - self.floor(math.prod(target.shape[2:]), schedule)

    def floor(self, target_dims: int, schedule: ScheduleValues) -> Tensor:
        return target_dims * (0.5 * math.log(2.0 * math.pi) + torch.log(schedule.sigma))

    def log_mass(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        return gaussian_log_mass(target, mean=prediction, scale=schedule.sigma).flatten(2).sum(-1)

    def mean(self, prediction: Tensor) -> Tensor:
        return at_least_float32(prediction)

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        return at_least_float32(prediction) + schedule.sigma * noise
