"""Claims of analyses on synthetic scores: each holds where it should, and can fail."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoo.analysis import completion, regression, surprise, uncertainty
from zoo.analysis.attention import attention_claims
from zoo.analysis.captions import ADDED, ELSEWHERE, EXCESS, OWN, REWORDED, caption_expectations
from zoo.analysis.claims import conclude
from zoo.analysis.consistency import Measured, consistency_claims
from zoo.analysis.extrapolation import context_expectations
from zoo.analysis.information_gain import Gains, gain_claims, ring_turns
from zoo.analysis.steps import Progress, steps_claims
from zoo.errors import ConfigError
from zoo.evaluation.consistency import Disagreement
from zoo.evaluation.digit_agreement import DigitAgreement

SCENES = 60
RNG = np.random.default_rng(0)
NOISE = 1.0 + 0.1 * RNG.standard_normal((12, SCENES))


def around(mean, row=0):
    return mean * NOISE[row]


def failed(claims):
    return {number for number, claim in enumerate(claims) if not claim.holds}


@pytest.mark.parametrize(
    ("kl", "elsewhere", "excess", "broken"),
    [
        ([30, 12, 10], 30, [90, 70, 60], set()),
        ([30, 30, 10], 30, [90, 70, 60], {0}),
        ([30, 12, 12], 30, [90, 70, 60], {1}),
        ([30, 12, 10], 30, [60, 70, 60], {2}),
        ([30, 12, 10], 10, [90, 70, 60], {3}),
    ],
)
def test_surprise(kl, elsewhere, excess, broken):
    scores = {
        number: {surprise.KL: around(kl[number]), surprise.ELSEWHERE: around(elsewhere), surprise.EXCESS: around(one)}
        for number, one in enumerate(excess)
    }
    assert failed(surprise.surprise_claims({"x": scores})) == broken
    assert [panel.trends[0].num_scenes for panel in surprise.surprise_panels({"x": scores})] == [SCENES, SCENES]


def pixels(*, scale, factor):
    """Errors that are normal with a spread that differs between pixels, times a factor."""
    spread = scale * (0.1 + np.arange(64) / 64) * np.ones((SCENES, 1))
    return uncertainty.PixelErrors(spread, factor * spread * np.abs(RNG.standard_normal((SCENES, 64))))


def test_uncertainty_of_a_calibrated_model():
    found = {"x": {1: pixels(scale=0.4, factor=1.0), 5: pixels(scale=0.2, factor=1.0)}}
    assert failed(uncertainty.uncertainty_claims(found)) == set()
    points = uncertainty.calibration(found["x"][5], label="x")
    assert len(points.positions) == uncertainty.BINS
    np.testing.assert_allclose(points.means, points.positions, rtol=0.15)
    assert np.mean(np.abs(points.means - points.positions) < 3.0 * points.errors) > 0.8


def test_uncertainty_of_an_overconfident_model():
    found = {"x": {1: pixels(scale=0.4, factor=3.0), 5: pixels(scale=0.4, factor=3.0)}}
    assert failed(uncertainty.uncertainty_claims(found)) == {1, 2}
    shuffled = found["x"][5]._replace(error=RNG.random((SCENES, 64)))
    assert 0 in failed(uncertainty.uncertainty_claims({"x": {1: shuffled, 5: shuffled}}))


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, set()),
        ({"share": 1.0}, {2, 5}),
        ({"within": 0.15}, {3}),
        ({"accuracy": 0.5}, {0}),
        ({"anew": 0.2}, {4, 5}),
        ({"again": 0.01}, {1}),
    ],
)
def test_consistency(change, broken):
    settings = {"share": 0.3, "within": 0.8, "accuracy": 0.98, "anew": 1.0, "again": 0.0} | change
    apart = np.stack([around(0.02, row) for row in range(2)], axis=1)
    nothing = torch.zeros(0)

    def measured(shared, shares, within):
        digits = DigitAgreement(within=around(within, 2), between=around(0.15, 3))
        return Measured(shared, Disagreement(within=apart * np.asarray(shares), between=apart), nothing, digits)

    found = {
        "cgqn": measured(True, [settings["again"], settings["share"]], settings["within"]),
        "gqn": measured(False, [settings["anew"]] * 2, 0.15),
    }
    assert failed(consistency_claims(found, accuracy=settings["accuracy"])) == broken


@pytest.mark.parametrize(
    ("metric", "values", "broken"),
    [
        ("mse", [0.3, 0.2, 0.1], set()),
        ("mse", [0.3, 0.1, 0.2], {0}),
        ("unexplained", [0.3, 0.1, 0.2], {1}),
        ("sharpness", [0.3, 0.1, 0.2], {2}),
    ],
)
def test_steps(metric, values, broken):
    metrics = {"mse": [0.3, 0.2, 0.1], "unexplained": [0.3, 0.2, 0.1], "sharpness": [0.1, 0.2, 0.3]} | {metric: values}
    scores = {name: np.stack([around(mean, row) for row, mean in enumerate(means)]) for name, means in metrics.items()}
    images = np.zeros((3, 1, 4, 4, 3), np.uint8)
    progress = Progress(scores, around(0.3), images, images[0])
    assert failed(steps_claims({"x": {"prior": progress}})) == broken


def test_completion_is_compared_with_both_baselines():
    errors = {
        "x": {8: around(0.2), 16: around(0.1)},
        completion.NEAREST: {8: around(0.3, 1), 16: around(0.1, 1)},
        completion.MEAN: {8: around(0.2, 1), 16: around(0.3, 1)},
    }
    assert failed(completion.completion_claims(errors, labels=["x"], num_pixels=64)) == {1, 2}


def test_only_weighted_errors_count():
    errors, weights = np.array([[3.0, 100.0, 4.0]]), np.array([[1.0, 0.0, 1.0]])
    np.testing.assert_allclose(completion.root_mean_square(errors, weights=weights), [np.sqrt(12.5)])


@pytest.mark.parametrize(
    ("offsets", "broken"),
    [
        ([-0.3, -0.2], set()),
        ([-0.2, -0.3], {0}),
        ([-0.3, 0.1], {1}),
        ([-2.3, -2.2], {2}),
    ],
)
def test_regression(offsets, broken):
    numbers = (0, 12, 24)

    def sizes(offset):
        score = {number: offset + 0.05 * number + 0.01 * NOISE[0] for number in numbers}
        spread = {number: 1.0 - 0.02 * number + 0.01 * NOISE[1] for number in numbers}
        names = (regression.JOINT, regression.MARGINAL)
        return {
            number: {**dict.fromkeys(names, score[number]), regression.SPREAD: spread[number]} for number in numbers
        }

    scores = {regression.EXACT: sizes(0.0), "a": sizes(offsets[0]), "b": sizes(offsets[1])}
    assert failed(regression.regression_claims(scores)) == broken
    scores["a"][24][regression.SPREAD] = scores["a"][12][regression.SPREAD] + 0.01
    assert failed(regression.regression_claims(scores)) == broken | {3}


def test_regression_needs_numbers_of_points_that_are_compared():
    given = SimpleNamespace(models={"a": None}, contexts=lambda: [4, 5])
    with pytest.raises(ConfigError, match="regression: a: trained with 4 to 5 points, expected two or more of 0, 1, 3"):
        regression.run(given)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, set()),
        ({"few": 50.0}, {0}),
        ({"other": 0.0}, {1, 2}),
        ({"changed": 3.0}, {2}),
        ({"learned": 0.6}, {3}),
        ({"before": 0.1}, {4}),
    ],
)
def test_captions(change, broken):
    given = {"few": 60.0, "other": 4.0, "changed": 0.1, "learned": 0.3, "before": 0.9} | change
    own = around(52.0)

    def scores(added):
        return {3: {EXCESS: own + around(added, 1), ADDED: around(added, 1)}}

    found = {OWN: scores(0.0), REWORDED: scores(given["changed"]), ELSEWHERE: scores(given["other"])}
    found[OWN][0] = {EXCESS: around(given["few"])}
    learned, before = around(given["learned"], 2), around(given["before"], 3)
    assert failed(conclude(caption_expectations(found, label="x", learned=learned, before=before))) == broken


def of_views(few, many, excess):
    return {
        1: {"mse": around(few), "nelbo_excess": around(90.0)},
        5: {"mse": around(many, 1), "nelbo_excess": around(excess)},
    }


@pytest.mark.parametrize(
    ("second", "broken"),
    [
        (of_views(0.03, 0.01, 30.0), set()),
        (of_views(0.03, 0.03, 30.0), {1, 2, 4}),
        (of_views(0.03, 0.01, 50.0), {3}),
        (of_views(0.013, 0.01, 30.0), {4}),
    ],
)
def test_attention(second, broken):
    assert failed(attention_claims({"sum": of_views(0.03, 0.025, 40.0), "lines": second})) == broken


@pytest.mark.parametrize(
    ("near", "chosen", "broken"), [(1.0, 40.0, set()), (5.0, 40.0, {0}), (1.0, 45.0, {1}), (6.0, 50.0, {0, 1})]
)
def test_information_gain(near, chosen, broken):
    ring = np.where(np.abs(ring_turns()) < 45.0, near, 5.0) * NOISE[0][:, None]
    random = {number: around(45.0) for number in (1, 2, 3)}
    found = Gains(ring, {1: random[1], 2: around(chosen), 3: around(chosen)}, random)
    assert failed(gain_claims({"x": found})) == broken


@pytest.mark.parametrize(("mse", "excess", "broken"), [(0.02, 30.0, set()), (0.03, 30.0, {0}), (0.02, 50.0, {1})])
def test_extrapolation(mse, excess, broken):
    scores = of_views(0.05, 0.03, 40.0) | {9: {"mse": around(mse), "nelbo_excess": around(excess)}}
    assert failed(conclude(context_expectations({"x": scores}, trained_with={"x": 5}))) == broken
