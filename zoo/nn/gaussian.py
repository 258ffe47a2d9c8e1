"""Diagonal Gaussians in closed form, in float32 or better, under autocast as well."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Returns the tensor in float32, or unchanged if it is float64."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


class DiagonalGaussian(NamedTuple):
    """N(mean, exp(log_scale) ** 2), every element independent. Both fields have the same shape."""

    mean: Tensor
    log_scale: Tensor

    @classmethod
    def from_parameters(cls, parameters: Tensor, *, dim: int) -> DiagonalGaussian:
        """Splits a network's output in two halves along ``dim``: mean, then logarithm of the standard deviation."""
        mean, log_scale = at_least_float32(parameters).chunk(2, dim=dim)
        return cls(mean=mean, log_scale=log_scale)

    def sample(self, noise: Tensor, *, temperature: Tensor | float = 1.0) -> Tensor:
        """Returns mean + temperature * scale * noise, for standard normal ``noise`` of the same shape."""
        return self.mean + temperature * torch.exp(self.log_scale) * noise.to(self.mean.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the log-density of each element, nats, same shape as ``mean``."""
        standardised = (value - self.mean) * torch.exp(-self.log_scale)
        return -0.5 * standardised.square() - self.log_scale - 0.5 * math.log(2.0 * math.pi)


def kl_divergence(q: DiagonalGaussian, p: DiagonalGaussian) -> Tensor:
    """Returns KL(q || p) of each element, nats: log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2."""
    log_ratio = q.log_scale - p.log_scale
    standardised = (q.mean - p.mean) * torch.exp(-p.log_scale)
    # expm1 keeps the result exact and non-negative where q and p nearly agree.
    return 0.5 * (torch.expm1(2.0 * log_ratio) + standardised.square()) - log_ratio


def standard_like(reference: DiagonalGaussian) -> DiagonalGaussian:
    """Returns N(0, 1) with the shape of ``reference``."""
    return DiagonalGaussian(mean=torch.zeros_like(reference.mean), log_scale=torch.zeros_like(reference.log_scale))
