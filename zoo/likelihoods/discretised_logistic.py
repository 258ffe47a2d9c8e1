"""The discretised logistic likelihood of 8-bit pixels, and bits per dimension."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor

from zoo.config.settings import Settings
from zoo.episode import ScheduleValues
from zoo.model.interfaces import Likelihood
from zoo.nn.gaussian import at_least_float32
from zoo.nn.quantized import logistic_log_mass, logistic_quantile

Number = TypeVar("Number", float, Tensor)


class DiscretisedLogistic(Likelihood):
    """Discretised logistic likelihood, P(x = k / 255) = logistic mass of ((k - 1/2) / 255, (k + 1/2) / 255).

    Location and log-scale are predicted per pixel and channel; the bins of 0 and 255 extend to infinity (Kingma et al.
    2016, "Improving variational inference with inverse autoregressive flow", appendix). The 256 probabilities sum to 1,
    so NELBO / (D log 2) is a lossless code length in bits/dim. ``mean`` is the location, which is the mean of the pixel
    as long as little mass lies beyond 0 and 1.
    """

    class Config(Settings):
        minimum_log_scale: float = Field(default=-7.0, description="least log-scale, in units of the 0-to-1 range")
        initial_log_scale: float = Field(default=-2.0, description="added to the predicted log-scale")

    config: Config
    target_kinds = frozenset({"images"})
    discrete = has_mass = True

    def prediction_channels(self, target_channels: int) -> int:
        return 2 * target_channels

    def _mean_and_log_scale(self, prediction: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = at_least_float32(prediction).chunk(2, dim=-3)
        return mean, (log_scale + self.config.initial_log_scale).clamp(min=self.config.minimum_log_scale)

    def log_prob(self, prediction: Tensor, target: Tensor, schedule: ScheduleValues) -> Tensor:
        mean, log_scale = self._mean_and_log_scale(prediction)
        value = logistic_log_mass(at_least_float32(target), location=mean, log_scale=log_scale)
        return value.flatten(2).sum(-1)

    def mean(self, prediction: Tensor) -> Tensor:
        return self._mean_and_log_scale(prediction)[0]

    def sample(self, prediction: Tensor, noise: Tensor, schedule: ScheduleValues) -> Tensor:
        mean, log_scale = self._mean_and_log_scale(prediction)
        return logistic_quantile(torch.special.ndtr(noise), location=mean, log_scale=log_scale)


def bits_per_dim(nelbo: Number, target_dims: Number | int) -> Number:
    """Converts nats per target into bits per dimension, a lossless code length for likelihoods of discrete values."""
    return nelbo / (target_dims * math.log(2.0))
