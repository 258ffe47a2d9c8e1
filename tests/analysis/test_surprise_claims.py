"""The claims of the analysis ``surprise`` on synthetic scores: each holds where it should, and can fail."""

import numpy as np
import pytest

from zoo.analysis.surprise import CONTEXTS, KL, KL_ELSEWHERE, WITH_LATENTS, WITHOUT, surprise_claims, surprise_panels

SCENES = 50


def scores(*, surprise, elsewhere, excess, variance):
    """Scores of both models, given as functions of the number of views, with differences between scenes."""
    between = np.random.default_rng(0).normal(0.0, 5.0, SCENES)
    within = np.random.default_rng(1).normal(0.0, 0.1, (len(CONTEXTS), SCENES))

    def of(function, number):
        return function(number) + between + within[number]

    return {
        name: {
            number: {
                "nelbo_excess": of(excess[name], number),
                KL: of(surprise, number),
                KL_ELSEWHERE: of(elsewhere, number)[::-1],
                "mse": of(lambda views: 1.0 / (1 + views), number),
                "sample_variance": of(variance, number),
            }
            for number in CONTEXTS
        }
        for name in (WITH_LATENTS, WITHOUT)
    }


def falling(views):
    return 10.0 / (1 + views)


AS_EXPECTED = {
    "surprise": falling,
    "elsewhere": lambda views: 20.0,
    "excess": {WITH_LATENTS: falling, WITHOUT: lambda views: 12.0},
    "variance": falling,
}


def test_all_claims_hold_of_what_the_paper_shows():
    claims = surprise_claims(scores(**AS_EXPECTED))
    assert len(claims) == 6
    assert all(claim.holds for claim in claims)
    assert all("against" in claim.measured and "50 scenes" in claim.measured for claim in claims)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"surprise": lambda views: 10.0}, {0, 1}),
        ({"elsewhere": falling}, {2}),
        ({"excess": {WITH_LATENTS: lambda views: 5.0, WITHOUT: lambda views: 12.0}}, {3}),
        ({"variance": lambda views: 1.0}, {4}),
        ({"excess": {WITH_LATENTS: falling, WITHOUT: falling}}, {5}),
    ],
)
def test_a_claim_fails_where_nothing_falls(change, broken):
    claims = surprise_claims(scores(**AS_EXPECTED | change))
    assert {number for number, claim in enumerate(claims) if not claim.holds} == broken


def test_every_line_of_the_figure_has_a_value_for_every_number_of_views():
    for panel in surprise_panels(scores(**AS_EXPECTED)):
        for trend in panel.trends:
            assert len(trend.means) == len(trend.errors) == len(CONTEXTS)
