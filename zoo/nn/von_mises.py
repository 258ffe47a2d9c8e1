"""The von Mises distribution of an angle, by its natural parameters, in float32 or better.

    p(t; a, b) = exp(a cos t + b sin t) / (2 pi I0(kappa)),    kappa = |(a, b)|,    mode atan2(b, a)

The natural parameters are a vector in the plane: its direction is the mode, its length the concentration. At 0 the
distribution is uniform, and nothing is singular there, which an angle and a length predicted separately cannot say.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

TINY = (
    1e-12  # under the root, so that the gradient of a length exists at 0; changes kappa by 1e-6 there and nowhere else
)
REACH = 12.0  # standard deviations that a table of quantiles covers: beyond lies less than e^-70
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
    """Returns log I0(kappa) for kappa of 0 or more: I0 itself overflows at 89 in float32, its scaled form never."""
    return torch.log(torch.special.i0e(concentration)) + concentration


def bounded(cosine: Tensor, sine: Tensor, *, maximum: float) -> VonMises:
    """Turns two unbounded outputs of a network into natural parameters with a concentration of ``maximum`` at most.

    The vector grows with the cube of the outputs' length, u (1 + |u|^2): outputs of 10, which a network reaches soon,
    are a concentration of a thousand (two degrees), and outputs near 0 are nearly uniform.
    """
    squared = cosine.square() + sine.square()
    growth = 1.0 + squared
    bound = maximum / torch.sqrt(squared + TINY)
    growth = torch.minimum(growth, bound)
    return VonMises(cosine=cosine * growth, sine=sine * growth)


def quantile(uniform: Tensor, *, concentration: Tensor) -> Tensor:
    """Inverts the distribution function of a von Mises distribution with mode 0.

    The density is tabulated over twelve standard deviations (or the whole circle, if that is less) on each side,
    summed by the trapezoidal rule in float64 and inverted linearly between the points of the table.

    Args:
        uniform: [...] in (0, 1).
        concentration: [...].

    Returns:
        Angles [...] in [-pi, pi], in the type of ``concentration``.
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
