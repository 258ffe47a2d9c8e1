"""All checks by name, and one run of them that ends whatever a component raises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from zoo.checks.densities import check_likelihood, check_log_ratio, check_marginal_likelihood
from zoo.checks.failures import failure_from
from zoo.checks.fixture import CheckContext, make_fixture
from zoo.checks.initial import check_initial_signal
from zoo.checks.predictions import check_predictions, check_target_leak
from zoo.checks.terms import (
    check_context_is_used,
    check_context_order,
    check_context_sizes,
    check_gradients,
    check_padding,
    check_reproducible,
    check_scene_independence,
    check_shapes,
)
from zoo.registry.variant import Variant

# A check raises CheckFailedError with one sentence, and leaves the weights of its fixture unchanged.
CHECKS: Mapping[str, Callable[[CheckContext], None]] = MappingProxyType(
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
        "initial signal": check_initial_signal,
        "log ratio": check_log_ratio,
        "marginal likelihood": check_marginal_likelihood,
    }
)
SAMPLING = frozenset({"log ratio", "marginal likelihood"})  # take seconds rather than fractions of one
QUICK: tuple[str, ...] = tuple(name for name in CHECKS if name not in SAMPLING)
BUILD = "build"  # the check that comes before all others


class CheckResult(NamedTuple):
    """The outcome of one check."""

    check: str
    status: Literal["ok", "failed", "skipped"]
    message: str = ""  # what is wrong; empty if it is ok
    location: str = ""  # file:line of the component to look at; empty if no single place is to blame


def run_checks(variant: Variant) -> Iterator[CheckResult]:
    """Builds a variant and runs every check, whatever the others found; nothing that a component raises gets out.

    Yields:
        One result per check as soon as it is known, that of building first.
    """
    try:
        fixture = make_fixture(variant)
    except Exception as error:  # a component may raise anything
        yield _failed(BUILD, error)
        yield from (CheckResult(name, "skipped", "the model cannot be built") for name in CHECKS)
        return
    yield CheckResult(BUILD, "ok")
    model = fixture.model
    classes = [type(part) for part in (model.encoder, model.core, model.likelihood)]
    functions = [value for each in classes for value in vars(each).values() if inspect.isfunction(value)]
    folders = frozenset(Path(inspect.unwrap(function).__code__.co_filename).parent for function in functions)
    for name, check in CHECKS.items():
        model.eval()
        try:
            check(fixture)
        except Exception as error:  # a component may raise anything
            yield _failed(name, error, folders)
        else:
            yield CheckResult(name, "ok")


def _failed(check: str, error: Exception, folders: frozenset[Path] = frozenset()) -> CheckResult:
    failure = failure_from(error, component_folders=folders)
    return CheckResult(check, "failed", str(failure), failure.location)
