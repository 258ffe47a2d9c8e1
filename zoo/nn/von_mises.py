"""The von Mises distribution of an angle, by its natural parameters, in float32 or better.

    p(t; a, b) = exp(a cos t + b sin t) / (2 pi I0(kappa)),    kappa = |(a, b)|,    mode atan2(b, a)

The natural parameters are a vector: its direction is the mode, its length the concentration. Unlike separate angle and
length, they are not singular at the uniform distribution.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-12  # added under the root, so that the gradient of a length exists at 0
REACH = 12.0  # standard deviations in a table of quantiles; the mass beyond is less than e^-70
TABLE = 2049  # points of a table of quantiles, 0.012 standard deviations apart


class VonMises(NamedTuple):
    """Natural parameters of independent angles; both fields have the same shape."""

    cosine: Tensor  # a
    sine: Tensor  # b

    @property
    def concentration(self) -> Tensor:
        """Returns kappa."""
        return torch.sqrt(self.cosine.square() + self.sine.square() + TINY)

    @property
    def mode(self) -> Tensor:
        """Returns the most probable angle, radians in (-pi, pi]."""
        return torch.atan2(self.sine, self.cosine)

    def log_prob(self, angle: Tensor) -> Tensor:
        """Returns the log-density at angles (radians, any number of turns), nats."""
        along = self.cosine * torch.cos(angle) + self.sine * torch.sin(angle)
        return along - log_bessel(self.concentration) - math.log(2.0 * math.pi)


def log_bessel(concentration: Tensor) -> Tensor:
    """Returns log I0(kappa) for kappa >= 0, by the scaled function, which does not overflow."""
    return torch.log(torch.special.i0e(concentration)) + concentration


def bounded(cosine: Tensor, sine: Tensor, *, maximum: float) -> VonMises:
    """Maps two outputs of a network to natural parameters u (1 + |u|^2) with a concentration of ``maximum`` at most.

    Outputs of length 10 give a concentration of a thousand (two degrees), outputs near 0 nearly a uniform distribution.
    """
    squared = cosine.square() + sine.square()
    factor = torch.minimum(1.0 + squared, maximum / torch.sqrt(squared + TINY))
    return VonMises(cosine=cosine * factor, sine=sine * factor)


def quantile(uniform: Tensor, *, concentration: Tensor) -> Tensor:
    """Returns quantiles of a von Mises distribution with mode 0: angles [...] in [-pi, pi].

    The density is tabulated over twelve standard deviations on each side (at most the circle), integrated by the
    trapezoidal rule in float64 and inverted linearly between the points.

    Args:
        uniform: [...] in (0, 1).
        concentration: [...].
    """
    kappa = concentration.double()
    half_width = (REACH / torch.sqrt(kappa + TINY)).clamp(max=math.pi)
    places = torch.linspace(-1.0, 1.0, TABLE, dtype=torch.float64, device=kappa.device)
    angles = half_width[..., None] * places
    density = torch.exp(-2.0 * kappa[..., None] * torch.sin(0.5 * angles).square())
    mass = torch.cumulative_trapezoid(density, dim=-1)
    wanted = uniform.double()[..., None] * mass[..., -1:]
    above = torch.searchsorted(mass, wanted).clamp(max=TABLE - 2)
    reached = mass.gather(-1, above)
    before = torch.where(above > 0, mass.gather(-1, (above - 1).clamp(min=0)), torch.zeros_like(reached))
    share = (wanted - before) / (reached - before)
    step = half_width[..., None] * (2.0 / (TABLE - 1))
    return (angles.gather(-1, above) + share * step)[..., 0].to(concentration.dtype)
