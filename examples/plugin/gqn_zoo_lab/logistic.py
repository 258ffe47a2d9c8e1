"""Logistic likelihood with the standard deviation of the schedule."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from zoo.config.settings import Settings
from zoo.episode import ScheduleValues
from zoo.model.interfaces import Likelihood
from zoo.nn.gaussian import at_least_float32


class Logistic(Likelihood):
    """p(x | mu) = prod_d f((x_d - mu_d) / s) / s, f the logistic density, s = sqrt(3) sigma / pi.

    sigma is the standard deviation. The density is at most 1 / (4 s), so that the NELBO cannot fall below D log(4 s).
    """

    class Config(Settings):
        """There is nothing to set: sigma belongs to the schedule."""

    target_kinds = frozenset({"images"})
    uses_sigma = True

    def prediction_channels(self, target_channels: int) -> int:
        """One location per number of the target."""
        return target_channels

    def _scale(self, schedule: ScheduleValues) -> Tensor:
        return math.sqrt(3.0) / math.pi * at_least_float32(schedule.sigma)

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        """Returns log p(target), [B, Q], nats."""
        scale = self._scale(schedule)
        distance = (at_least_float32(target) - at_least_float32(prediction)) / scale
        density = -distance - 2 * softplus(-distance) - torch.log(scale)
        return density.flatten(2).sum(-1)

    def floor(self, target_dims: int, schedule: ScheduleValues) -> Tensor:
        """Returns D log(4 s)."""
        return target_dims * torch.log(4 * self._scale(schedule))

    def mean(self, prediction: Tensor) -> Tensor:
        """Returns the location."""
        return at_least_float32(prediction)

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        """Draws by the inverse distribution function at Phi(noise)."""
        logit = torch.special.log_ndtr(noise) - torch.special.log_ndtr(-noise)
        return at_least_float32(prediction) + self._scale(schedule) * logit
