"""Gaussian processes in closed form: the covariances that functions are drawn with, and the exact posterior.

Everything is in float64. What a neural process approximates is known here exactly, which makes it the referee of
regression on functions (Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", equations 2.22 to 2.24).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np

KernelKind = Literal["rbf", "matern", "periodic"]
KINDS: tuple[KernelKind, ...] = get_args(KernelKind)


class Kernel(NamedTuple):
    """A stationary covariance k(d) of two values at distance d, and the standard deviation of the noise on values.

    ``rbf`` is a^2 exp(-r^2 / 2), ``matern`` the one of smoothness 5/2, a^2 (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r),
    both with r = d / l; ``periodic`` is a^2 exp(-2 (sin(pi d / period) / l)^2).
    """

    kind: KernelKind
    length_scale: float  # l, in units of the inputs; without a unit for the periodic kernel
    amplitude: float  # a, in units of the values
    period: float  # in units of the inputs; 0 where there is none
    noise: float  # in units of the values

    def row(self) -> np.ndarray:
        """Returns the kernel as numbers, [5] float32: place of the kind in ``KINDS``, then the other fields."""
        return np.array([KINDS.index(self.kind), *self[1:]], dtype=np.float32)

    @classmethod
    def from_row(cls, row: np.ndarray) -> Kernel:
        """Makes a kernel of the numbers that ``row`` returned."""
        kind, *numbers = row.astype(np.float64).tolist()
        return cls(KINDS[int(kind)], *numbers)

    def covariance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Returns the covariances [n, m] of the values, without noise, at inputs [n, P] and [m, P]."""
        difference = one.astype(np.float64)[:, None] - other.astype(np.float64)[None]
        distance = np.sqrt(np.square(difference).sum(-1))
        if self.kind == "periodic":
            shape = np.exp(-2.0 * np.square(np.sin(math.pi * distance / self.period) / self.length_scale))
        elif self.kind == "matern":
            scaled = math.sqrt(5.0) * distance / self.length_scale
            shape = (1.0 + scaled + np.square(scaled) / 3.0) * np.exp(-scaled)
        else:
            shape = np.exp(-0.5 * np.square(distance / self.length_scale))
        return self.amplitude**2 * shape


class Predictive(NamedTuple):
    """The joint Gaussian of noisy values at Q queries."""

    mean: np.ndarray  # [Q]
    covariance: np.ndarray  # [Q, Q], the noise included

    @property
    def scale(self) -> np.ndarray:
        """The standard deviation of every value by itself, [Q]."""
        return np.sqrt(np.diag(self.covariance))

    def joint_log_prob(self, values: np.ndarray) -> float:
        """Returns log p(values) of all queries together, nats, for values [Q]."""
        factor = np.linalg.cholesky(self.covariance)
        white = np.linalg.solve(factor, values - self.mean)
        return float(-0.5 * white @ white - np.log(np.diag(factor)).sum() - 0.5 * len(white) * math.log(2.0 * math.pi))

    def marginal_log_prob(self, values: np.ndarray) -> np.ndarray:
        """Returns log p(value) of every query by itself, [Q], nats, for values [Q]."""
        white = (values - self.mean) / self.scale
        return -0.5 * np.square(white) - np.log(self.scale) - 0.5 * math.log(2.0 * math.pi)


def predictive(kernel: Kernel, *, inputs: np.ndarray, values: np.ndarray, queries: np.ndarray) -> Predictive:
    """Returns p(values at the queries | values at the inputs), exactly.

    Args:
        kernel: the covariance that the function was drawn with, and the noise.
        inputs: of the context, [N, P]; N may be 0.
        values: of the context, [N], with noise.
        queries: [Q, P].
    """
    noise = kernel.noise**2
    own = kernel.covariance(queries, queries) + noise * np.eye(len(queries))
    if not len(inputs):
        return Predictive(mean=np.zeros(len(queries)), covariance=own)
    among = kernel.covariance(inputs, inputs) + noise * np.eye(len(inputs))
    across = kernel.covariance(inputs, queries)
    weights = np.linalg.solve(among, across)
    covariance = own - across.T @ weights
    return Predictive(mean=weights.T @ values.astype(np.float64), covariance=0.5 * (covariance + covariance.T))
