"""The claims of the analysis ``consistency`` on synthetic findings: each holds where it should, and can fail."""

import numpy as np
import pytest
import torch

from zoo.analysis.consistency import (
    CGQN,
    GQN,
    SAMPLES,
    TARGETS,
    VIEWS,
    Findings,
    consistency_claims,
    draw_bounds,
    draw_predictions,
)
from zoo.analysis.context import AnalysisContext
from zoo.evaluation.consistency import Disagreement
from zoo.evaluation.digit_agreement import DigitAgreement

SCENES = 60
TURNS = (0.0, 0.1, 0.3)


def findings(*, share, within, between, per_image):
    """What a model may have been found to do; the numbers are means over scenes that differ."""
    rng = np.random.default_rng(0)

    def around(mean):
        return mean * (1.0 + 0.1 * rng.standard_normal(SCENES))

    apart = np.stack([around(0.02) for _ in TURNS], axis=1)
    return Findings(
        disagreement=Disagreement(within=apart * np.asarray(share), between=apart),
        agreement=DigitAgreement(within=around(within), between=around(between)),
        bounds={count: {"nelbo_excess": around(per_image(count)), "kl": around(40.0 / count)} for count in TARGETS},
        expected=torch.rand(SAMPLES, SCENES, VIEWS, 3, 8, 8),
        context=rng.integers(0, 256, (SCENES, 3, 8, 8, 3), dtype=np.uint8),
    )


def found(*, cgqn=None, gqn=None):
    of_cgqn = {"share": [0.0, 0.1, 0.3], "within": 0.8, "between": 0.15, "per_image": lambda count: 80 + 40 / count}
    of_gqn = {"share": [1.0, 1.0, 1.0], "within": 0.16, "between": 0.15, "per_image": lambda count: 50}
    return {GQN: findings(**of_gqn | (gqn or {})), CGQN: findings(**of_cgqn | (cgqn or {}))}


def test_all_claims_hold_of_what_the_paper_shows():
    claims = consistency_claims(found(), accuracy=0.98)
    assert all(claim.holds for claim in claims), [claim.sentence for claim in claims if not claim.holds]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"cgqn": {"share": [1.0, 1.0, 1.0]}}, {1, 2, 3}),
        ({"gqn": {"share": [0.0, 0.1, 0.3]}}, {2, 3}),
        ({"cgqn": {"within": 0.15}}, {4, 5, 6}),
        ({"gqn": {"within": 0.8}}, {5, 6}),
        ({"gqn": {"within": 0.8, "between": 0.8}}, {5}),
        ({"cgqn": {"within": 0.8, "between": 0.8}}, {4, 6}),
        ({"cgqn": {"per_image": lambda count: 100.0}}, {7}),
        ({"gqn": {"per_image": lambda count: 120.0}}, {8}),
    ],
)
def test_a_claim_fails_when_its_numbers_do(change, broken):
    claims = consistency_claims(found(**change), accuracy=0.98)
    assert {place for place, claim in enumerate(claims) if not claim.holds} == broken


def test_a_reader_that_cannot_read_is_noticed():
    assert not consistency_claims(found(), accuracy=0.5)[0].holds


def test_the_predictions_and_bounds_are_drawn(tmp_path):
    context = AnalysisContext(folder=tmp_path, log=lambda sentence: None)
    draw_predictions(context, found())
    draw_bounds(context, found())
    for name in ("consistency", "consistency-nelbo"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
