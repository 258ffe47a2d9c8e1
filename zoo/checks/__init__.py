"""The contract, tried out on a variant: what every registered variant must keep, in seconds, on random scenes.

The tests walk the registry with these very checks, and ``gqn-zoo check NAME`` runs them for somebody's new variant.
A check raises :class:`CheckFailedError` with one sentence, and leaves the weights of its subject as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from zoo.checks.bounds import check_log_ratio, check_marginal_likelihood
from zoo.checks.fixture import NUM_CONTEXT, NUM_SCENES, NUM_TARGETS, CheckFailedError, Subject, subject
from zoo.checks.invariances import (
    check_context_is_used,
    check_context_order,
    check_padding,
    check_scene_independence,
)
from zoo.checks.likelihood import check_likelihood
from zoo.checks.predictions import check_predictions, check_target_leak
from zoo.checks.terms import check_context_sizes, check_gradients, check_reproducible, check_shapes

__all__ = [
    "CHECKS",
    "NUM_CONTEXT",
    "NUM_SCENES",
    "NUM_TARGETS",
    "QUICK",
    "CheckFailedError",
    "Subject",
    "check_shapes",
    "subject",
]

CHECKS: Mapping[str, Callable[[Subject], None]] = MappingProxyType(
    {
        "shapes": check_shapes,
        "gradients": check_gradients,
        "scene independence": check_scene_independence,
        "context order": check_context_order,
        "context sizes": check_context_sizes,
        "context is used": check_context_is_used,
        "padding": check_padding,
        "target leak": check_target_leak,
        "predictions": check_predictions,
        "reproducible": check_reproducible,
        "likelihood": check_likelihood,
        "log ratio": check_log_ratio,
        "marginal likelihood": check_marginal_likelihood,
    }
)
SAMPLING = frozenset({"log ratio", "marginal likelihood"})  # seconds rather than fractions of one
QUICK: tuple[str, ...] = tuple(name for name in CHECKS if name not in SAMPLING)
