"""The referee of regression on functions: what the exact posterior of the Gaussian process scores."""

from __future__ import annotations

import numpy as np

from zoo.data.gaussian_process import Kernel, Predictive, predictive
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.errors import DataError
from zoo.evaluation.values import NAMES
from zoo.model.tasks import INPUTS, VALUES

KERNEL = "kernel"


def exact_predictions(
    source: SceneSource, plan: EvaluationPlan, *, scenes: np.ndarray
) -> list[tuple[Predictive, np.ndarray]]:
    """Returns, for each of ``scenes``, the exact predictive distribution of its targets and their values [Q].

    Raises:
        DataError: if the data does not tell the kernels that its functions were drawn with.
    """
    for name in (INPUTS, VALUES, KERNEL):
        if name not in source.extras:
            raise DataError(f"{source.name}: has no extra {name!r}, so that there is no exact posterior")
    part = plan(scenes)
    extras = source.read_extras(part.scenes, part.views)
    found = []
    for row, inputs, values in zip(extras[KERNEL], extras[INPUTS], extras[VALUES], strict=True):
        context, targets = slice(None, plan.num_context), slice(plan.num_context, None)
        distribution = predictive(
            Kernel.from_row(row), inputs=inputs[context], values=values[context, 0], queries=inputs[targets]
        )
        found.append((distribution, values[targets, 0].astype(np.float64)))
    return found


def score_exactly(source: SceneSource, plan: EvaluationPlan) -> dict[str, np.ndarray]:
    """Scores the exact posterior on the episodes of a plan, with the names and units of ``score_values``.

    No model does better on average, as none knows more than how the functions were drawn.

    Raises:
        DataError: if the data does not tell the kernels that its functions were drawn with.
    """
    rows = [
        (
            distribution.joint_log_prob(values) / len(values),
            distribution.marginal_log_prob(values).mean(),
            np.sqrt(np.square(distribution.mean - values).mean()),
        )
        for distribution, values in exact_predictions(source, plan, scenes=np.arange(plan.num_scenes))
    ]
    return dict(zip(NAMES, np.array(rows).T, strict=True))
