"""Continuous distributions cut into the 256 bins of 8-bit images, in float64: code lengths of real images.

The bins of 0 and 1 reach to infinity, so that the 256 probabilities sum to 1 whatever the parameters. (Logistics, which
are trained with, have a form of their own in :mod:`zoo.nn.logistic`.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.nn.logistic import HALF_BIN


def gaussian_log_mass(target: Tensor, *, mean: Tensor, scale: Tensor) -> Tensor:
    """Returns log P(x = target) of each element under a Gaussian, nats, float64.

    Args:
        target: multiples of 1/255 in [0, 1].
        mean: broadcastable against the target.
        scale: the same; standard deviation in units of the 0-to-1 range.
    """
    target, mean, scale = _exact(target), mean.double(), scale.double()
    centred = target - mean
    # On the lower side of the mean both ends of a bin have small tails, whose logarithms do not cancel.
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
    """Returns log P(x = target) of each element under a Laplace distribution, nats, float64.

    Args:
        target: multiples of 1/255 in [0, 1].
        location: broadcastable against the target.
        scale: the same; b of exp(-|x - location| / b) / (2 b), in units of the 0-to-1 range.
    """
    target, location, scale = _exact(target), location.double(), scale.double()
    centred = target - location
    distance = -centred.abs()
    upper, lower = (distance + HALF_BIN) / scale, (distance - HALF_BIN) / scale
    # Either the whole bin is on one side of the location, or the location is in the bin.
    beside = upper + torch.log(-torch.expm1(lower - upper)) - math.log(2.0)
    around = torch.log(-0.5 * (torch.expm1(-upper.clamp(min=0.0)) + torch.expm1(lower)))
    return _with_open_ends(
        torch.where(upper <= 0.0, beside, around),
        target=target,
        below=_log_laplace_cdf((centred + HALF_BIN) / scale),
        above=_log_laplace_cdf((HALF_BIN - centred) / scale),
    )


def _exact(target: Tensor) -> Tensor:
    """Returns multiples of 1/255 in float64: rounded in float32, the bins of two neighbours would not meet."""
    return (target.double() * 255.0).round() / 255.0


def _log_laplace_cdf(standardised: Tensor) -> Tensor:
    above = torch.log1p(-0.5 * torch.exp(-standardised.clamp(min=0.0)))
    return torch.where(standardised <= 0.0, standardised - math.log(2.0), above)


def _with_open_ends(inside: Tensor, *, target: Tensor, below: Tensor, above: Tensor) -> Tensor:
    value = torch.where(target < HALF_BIN, below, inside)
    return torch.where(target > 1.0 - HALF_BIN, above, value)
