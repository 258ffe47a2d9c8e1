"""The rule by which claims hold: the sign of the mean, and p-values after Holm's correction."""

from types import SimpleNamespace

import numpy as np
import pytest

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.requirements import check_comparable
from zoo.comparison.statistics import holm_adjusted, paired_t_test
from zoo.errors import ConfigError

NOISE = np.random.default_rng(0).normal(0.0, 1.0, 100)


def shifted(t):
    """Returns differences whose mean is ``t`` standard errors from zero."""
    centred = NOISE - NOISE.mean()
    return centred + t * centred.std(ddof=1) / 10.0


@pytest.mark.parametrize(
    ("t", "holds"), [(-10.0, True), (-2.1, True), (-1.9, False), (0.0, False), (2.1, False), (10.0, False)]
)
def test_a_claim_holds_if_the_difference_is_below_zero_at_five_percent(t, holds):
    (claim,) = conclude([Expectation.below_zero("a", shifted(t), unit="nats")])
    assert claim.holds is holds


def test_several_claims_are_corrected_together():
    differences = [shifted(t) for t in (-2.1, -2.3, -5.0)]
    claims = conclude([Expectation.below_zero("a", difference, unit="") for difference in differences])
    adjusted = holm_adjusted([paired_t_test(difference).p for difference in differences])
    assert [claim.holds for claim in claims] == [p <= 0.05 for p in adjusted] == [True, True, True]
    claims = conclude([Expectation.below_zero("a", shifted(-2.1), unit="")] * 3)
    assert [claim.holds for claim in claims] == [False] * 3


def test_few_scenes_carry_no_claim():
    (claim,) = conclude([Expectation.below_zero("a", shifted(-10.0)[:19], unit="")])
    assert not claim.holds


def test_decided_claims_keep_their_place_and_are_not_corrected_for():
    decided = Claim("b", "7", True)
    claims = conclude([decided, Expectation.less("a", shifted(-2.1), np.zeros(100), unit="nats")])
    assert claims[0] is decided and claims[1].holds
    assert claims[1].measured.startswith(f"{shifted(-2.1).mean():.4g} against 0; difference")
    assert claims[1].sentence.startswith("yes  a: ") and "over 100 scenes" in claims[1].measured
    assert claims[1].low < claims[1].mean < claims[1].high and claims[1].scenes == 100 and claims[1].unit == "nats"


def test_of_several_steps_the_least_sure_counts():
    steps = [shifted(-10.0), shifted(-1.0), shifted(-5.0)]
    (claim,) = conclude([Expectation.least_sure("a", steps, unit="")])
    assert not claim.holds and f"{steps[1].mean():+.4g}" in claim.measured


def of_sigma(sigma, *, use="annealed_gaussian", uses_sigma=True):
    return SimpleNamespace(
        variant=SimpleNamespace(likelihood=SimpleNamespace(use=use)),
        model=SimpleNamespace(likelihood=SimpleNamespace(uses_sigma=uses_sigma)),
        schedule=SimpleNamespace(sigma=sigma),
    )


def test_bounds_of_other_likelihoods_or_sigmas_are_not_compared():
    check_comparable({"a": of_sigma(0.7), "b": of_sigma(0.7)})
    check_comparable(
        {"a": of_sigma(0.7, use="laplace", uses_sigma=False), "b": of_sigma(0.1, use="laplace", uses_sigma=False)}
    )
    message = r"b: its NELBO \(annealed_gaussian, sigma 0.1\) cannot be compared with that of a \(annealed_gaussian, sigma 0.7\)"
    with pytest.raises(ConfigError, match=message):
        check_comparable({"a": of_sigma(0.7), "b": of_sigma(0.1)})
    with pytest.raises(ConfigError, match="cannot be compared"):
        check_comparable({"a": of_sigma(0.7), "b": of_sigma(0.7, use="laplace", uses_sigma=False)})
