"""The exact posterior of the Gaussian process that functions were drawn from, and its scores (float64).

Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", equations 2.22 to 2.24.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import Covariance, multivariate_normal, norm

from zoo.data.functions import Kernel
from zoo.data.plan import EvaluationPlan
from zoo.data.source import INPUTS, KERNEL, VALUES, SceneSource
from zoo.errors import DataError
from zoo.evaluation.values import NAMES


class Predictive(NamedTuple):
    """The joint Gaussian of noisy values at Q queries."""

    mean: np.ndarray  # [Q]
    covariance: np.ndarray  # [Q, Q], the noise included

    @property
    def scale(self) -> np.ndarray:
        """The standard deviation of every value, [Q]."""
        return np.sqrt(np.diag(self.covariance))

    def joint_log_prob(self, values: np.ndarray) -> float:
        """Returns log p(values) of all queries together, nats, for values [Q]."""
        covariance = Covariance.from_cholesky(np.linalg.cholesky(self.covariance))
        return float(multivariate_normal.logpdf(values, self.mean, covariance))

    def marginal_log_prob(self, values: np.ndarray) -> np.ndarray:
        """Returns log p(value) of every query, [Q], nats, for values [Q]."""
        return norm.logpdf(values, self.mean, self.scale)


def predictive(kernel: Kernel, *, inputs: np.ndarray, values: np.ndarray, queries: np.ndarray) -> Predictive:
    """Returns p(values at the queries [Q, P] | values [N] at the inputs [N, P]), exactly, all with the kernel's noise."""
    noise = kernel.noise**2
    own = kernel.covariance(queries, queries) + noise * np.eye(len(queries))
    among = kernel.covariance(inputs, inputs) + noise * np.eye(len(inputs))
    across = kernel.covariance(inputs, queries)
    weights = np.linalg.solve(among, across)
    covariance = own - across.T @ weights
    return Predictive(mean=weights.T @ values.astype(np.float64), covariance=0.5 * (covariance + covariance.T))


def exact_predictions(
    source: SceneSource, plan: EvaluationPlan, *, scenes: np.ndarray
) -> list[tuple[Predictive, np.ndarray]]:
    """Returns, for each of ``scenes``, the exact predictive distribution of its targets and their values [Q].

    Raises:
        DataError: if the data have no kernels.
    """
    for name in (INPUTS, VALUES, KERNEL):
        if name not in source.extras:
            raise DataError(f"{source.name}: has no extra {name!r}, so that there is no exact posterior")
    known, extras = plan.num_context, source.read_extras(scenes, plan.views[scenes])
    found = []
    for row, inputs, values in zip(extras[KERNEL], extras[INPUTS], extras[VALUES][..., 0], strict=True):
        kernel = Kernel.from_row(row)
        distribution = predictive(kernel, inputs=inputs[:known], values=values[:known], queries=inputs[known:])
        found.append((distribution, values[known:].astype(np.float64)))
    return found


def score_exactly(source: SceneSource, plan: EvaluationPlan) -> dict[str, np.ndarray]:
    """Scores :func:`exact_predictions` of all scenes of a plan, with the names and units of ``score_values``.

    No model does better on average, as none knows more than how the functions were drawn. ``spread`` is the mean standard
    deviation of a target. Raises DataError if the data have no kernels.
    """
    rows = [
        (
            distribution.joint_log_prob(values) / len(values),
            distribution.marginal_log_prob(values).mean(),
            np.sqrt(np.square(distribution.mean - values).mean()),
            distribution.scale.mean(),
        )
        for distribution, values in exact_predictions(source, plan, scenes=np.arange(plan.num_scenes))
    ]
    return dict(zip((*NAMES, "spread"), np.array(rows).T, strict=True))
