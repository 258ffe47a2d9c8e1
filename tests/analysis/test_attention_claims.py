"""The claims of the analysis ``attention`` on synthetic scores: each holds where it should, and can fail."""

import numpy as np
import pytest

from zoo.analysis.attention import ATTENTION, COMMON, CONTEXTS, EPIPOLAR, QUANTITIES, SUM, SYSTEMS, attention_claims
from zoo.analysis.scores import panels_of
from zoo.figures.trends import trend_panels
from zoo.registry.registry import default_registry

SCENES = 60


def scores(*, mse, excess=40.0, seed=0):
    """One system's scores; ``mse`` are its means, one for every number of views."""
    rng = np.random.default_rng(seed)
    spread = 1.0 + 0.1 * rng.standard_normal(SCENES)
    noise = 1.0 + 0.02 * rng.standard_normal((len(CONTEXTS), SCENES))
    return {
        number: {"mse": mean * spread * own, "nelbo_excess": excess * spread * own}
        for number, mean, own in zip(CONTEXTS, mse, noise, strict=True)
    }


def found(**changes):
    falling = np.linspace(1.0, 0.6, len(CONTEXTS))
    return {
        SUM: scores(mse=np.full(len(CONTEXTS), 0.03), seed=1),
        ATTENTION: scores(mse=0.025 * falling, excess=30.0, seed=2),
        EPIPOLAR: scores(mse=0.025 * falling, excess=20.0, seed=3),
        **changes,
    }


def test_all_claims_hold_of_what_the_papers_show():
    claims = attention_claims(found())
    assert all(claim.holds for claim in claims), [claim.sentence for claim in claims if not claim.holds]


@pytest.mark.parametrize("system", [ATTENTION, EPIPOLAR])
def test_no_claim_holds_of_a_system_that_is_the_sum(system):
    claims = attention_claims(found(**{system: scores(mse=np.full(len(CONTEXTS), 0.03), seed=4)}))
    assert {claim.holds for claim in claims if system in claim.text} == {False}
    assert all(claim.holds for claim in claims if system not in claim.text)


def test_what_is_compared_trains_alike():
    variants = [
        default_registry().variant(name, size="small", overrides=(*COMMON, *changes))
        for name, changes in SYSTEMS.values()
    ]
    assert len({variant.training.model_dump_json() for variant in variants}) == 1
    assert len({variant.image_size for variant in variants}) == 1


def test_the_trends_are_drawn(tmp_path):
    path = trend_panels(
        tmp_path / "attention.png", panels=panels_of(found(), QUANTITIES), along="context views", title="a title"
    )
    assert path.stat().st_size > 10_000
