"""The claims of the analysis ``neural_processes`` on synthetic scores: each holds where it should, and can fail."""

import numpy as np
import pytest

from zoo.analysis.completion import root_mean_square
from zoo.analysis.neural_processes import CONTEXTS, EXACT, JOINT, MARGINAL, MODELS, SPREAD, neural_process_claims


def scores(offsets):
    """Scores that grow with the context; every model's are shifted by its offset."""
    noise = np.random.default_rng(0).normal(0.0, 0.02, 50)

    def sizes(offset):
        return {
            number: {
                JOINT: offset + 0.05 * number + noise,
                MARGINAL: offset + 0.05 * number + noise,
                SPREAD: 1.0 - 0.02 * number + 0.1 * noise,
            }
            for number in CONTEXTS
        }

    return {EXACT: sizes(0.0)} | {label: sizes(offset) for label, offset in zip(MODELS, offsets, strict=True)}


def test_everything_holds_for_scores_in_order():
    claims = neural_process_claims(scores([-0.3, -0.2, -0.1]))
    # All scores share their noise, so that the standard errors are zero and every sign is sure.
    assert len(claims) == 8 and all(claim.holds for claim in claims)


@pytest.mark.parametrize(
    ("offsets", "broken"),
    [
        ([-0.2, -0.3, -0.1], "the CNP predicts"),
        ([-0.3, -0.1, -0.2], "the NP predicts"),
        ([-0.3, -0.2, 0.1], "is better than the exact posterior"),
        ([-2.3, -2.2, -2.1], "gains over 70%"),
    ],
)
def test_a_claim_fails_when_its_scores_do(offsets, broken):
    failed = [claim for claim in neural_process_claims(scores(offsets)) if not claim.holds]
    assert failed and all(broken in claim.text for claim in failed)


def test_uncertainty_that_does_not_fall_fails_its_claim():
    measured = scores([-0.3, -0.2, -0.1])
    measured["NP"][12][SPREAD] = measured["NP"][6][SPREAD] + 0.01
    assert [claim.text for claim in neural_process_claims(measured) if not claim.holds] == [
        "the uncertainty of the NP falls with every larger context"
    ]


def test_only_weighted_errors_count():
    errors, weights = np.array([[3.0, 100.0, 4.0]]), np.array([[1.0, 0.0, 1.0]])
    np.testing.assert_allclose(root_mean_square(errors, weights=weights), [np.sqrt(12.5)])
