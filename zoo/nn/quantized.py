"""Continuous distributions quantised to the 256 levels of 8-bit images.

The bins of 0 and 1 extend to infinity, so that the 256 probabilities sum to 1. Gaussian and Laplace masses are float64, for
code lengths; logistic masses are float32 or better, for training as well. Targets are multiples of 1/255 in [0, 1];
parameters broadcast against them and are in units of that range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

HALF_BIN = 0.5 / 255.0
MAXIMUM_LOG_SCALE = 60.0  # far below that at which the mass of a bin is 0 in float32
NARROW = 0.1  # scales below and above use different forms of the mean


def gaussian_log_mass(target: Tensor, *, mean: Tensor, scale: Tensor) -> Tensor:
    """Returns log P(x = target) of each element under a Gaussian with standard deviation ``scale``, nats, float64."""
    target, mean, scale = _exact(target), mean.double(), scale.double()
    centred = target - mean
    # Below the mean both ends of a bin have small tails, whose logarithms do not cancel.
    distance = -centred.abs()
    upper = torch.special.log_ndtr((distance + HALF_BIN) / scale)
    lower = torch.special.log_ndtr((distance - HALF_BIN) / scale)
    inside = upper + torch.log(-torch.expm1(lower - upper))
    return _with_open_ends(
        inside,
        target=target,
        below=torch.special.log_ndtr((centred + HALF_BIN) / scale),
        above=torch.special.log_ndtr((HALF_BIN - centred) / scale),
    )


def laplace_log_mass(target: Tensor, *, location: Tensor, scale: Tensor) -> Tensor:
    """Returns log P(x = target) of each element under exp(-|x - location| / scale) / (2 scale), nats, float64."""
    target, location, scale = _exact(target), location.double(), scale.double()
    centred = target - location
    distance = -centred.abs()
    upper, lower = (distance + HALF_BIN) / scale, (distance - HALF_BIN) / scale
    # The bin is on one side of the location, or contains it.
    beside = upper + torch.log(-torch.expm1(lower - upper)) - math.log(2.0)
    around = torch.log(-0.5 * (torch.expm1(-upper.clamp(min=0.0)) + torch.expm1(lower)))
    return _with_open_ends(
        torch.where(upper <= 0.0, beside, around),
        target=target,
        below=_log_laplace_cdf((centred + HALF_BIN) / scale),
        above=_log_laplace_cdf((HALF_BIN - centred) / scale),
    )


def _exact(target: Tensor) -> Tensor:
    """Returns multiples of 1/255 in float64: those of float32 leave gaps between bins."""
    return (target.double() * 255.0).round() / 255.0


def _log_laplace_cdf(standardised: Tensor) -> Tensor:
    above = torch.log1p(-0.5 * torch.exp(-standardised.clamp(min=0.0)))
    return torch.where(standardised <= 0.0, standardised - math.log(2.0), above)


def _with_open_ends(inside: Tensor, *, target: Tensor, below: Tensor, above: Tensor) -> Tensor:
    value = torch.where(target < HALF_BIN, below, inside)
    return torch.where(target > 1.0 - HALF_BIN, above, value)


def logistic_log_mass(target: Tensor, *, location: Tensor, log_scale: Tensor) -> Tensor:
    """Returns log P(x = target) of each element under a logistic distribution, nats (Kingma et al. 2016, appendix)."""
    inverse_scale = torch.exp(-log_scale.clamp(max=MAXIMUM_LOG_SCALE))
    centred = target - location
    upper = inverse_scale * (centred + HALF_BIN)
    lower = inverse_scale * (centred - HALF_BIN)
    # log(sigmoid(u) - sigmoid(l)) = log sigmoid(u) + log sigmoid(-l) + log(1 - exp(l - u)), which never cancels.
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-inverse_scale * (2.0 * HALF_BIN)))
    return _with_open_ends(inside, target=target, below=F.logsigmoid(upper), above=F.logsigmoid(-lower))


def logistic_quantile(uniform: Tensor, *, location: Tensor, log_scale: Tensor) -> Tensor:
    """Maps uniform numbers to quantiles of the logistic distribution, rounded to the levels of an 8-bit image."""
    uniform = uniform.clamp(1e-6, 1.0 - 1e-6)
    value = location + torch.exp(log_scale) * (torch.log(uniform) - torch.log1p(-uniform))
    return (value.clamp(0.0, 1.0) * 255.0).round() / 255.0


def clamped_logistic_mean(*, location: Tensor, log_scale: Tensor) -> Tensor:
    """Returns the mean of the logistic distribution clamped to [0, 1]: the integral of P(x > t) over t from 0 to 1.

    The mean of the 256 levels is the same integral by the midpoint rule and differs by half a level at most.
    """
    scale = torch.exp(log_scale.clamp(max=MAXIMUM_LOG_SCALE))
    # s (softplus(m / s) - softplus((m - 1) / s)) in two forms: the first does not overflow for narrow scales, the second
    # does not cancel for wide ones.
    narrow, near = scale.clamp(max=NARROW), location.clamp(-2.0, 3.0)
    below = narrow * (F.softplus(near / narrow) - F.softplus((near - 1.0) / narrow))
    wide = scale.clamp(min=NARROW)
    above = wide * torch.log1p(torch.sigmoid((location - 1.0) / wide) * torch.expm1(1.0 / wide))
    return torch.where(scale < NARROW, below, above)
