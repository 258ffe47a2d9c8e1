"""The claims of the analysis ``localisation`` on synthetic findings: each holds where it should, and can fail."""

import math

import numpy as np
import pytest
import torch

from zoo.analysis.claims import conclude
from zoo.analysis.localisation import (
    INVERTED,
    direct_expectations,
    draw_maps,
    inversion_expectations,
    mass_at_quarter_turns,
    mass_elsewhere,
)
from zoo.evaluation.localisation import Located
from zoo.evaluation.pose_grid import grid_over

IMAGES = 24
GRID = grid_over(torch.tensor([[-3.0, -3.0, 0, 0, 0], [3.0, 3.0, 0, 0, 0]]).double(), places=8, turns=16)


def located(place, *, yaws=(0,), away=0.05, log_density=0.0, facing_away=False):
    """A camera in the middle of a cell with a map of equal shares at its place at some yaws, and an estimate."""
    generator = np.random.default_rng(place)
    row, column = generator.integers(0, GRID.shape[:2])
    inwards = math.atan2(-float(GRID.y[row]), -float(GRID.x[column]))
    turn = (int((inwards + math.pi) / (2 * math.pi) * GRID.shape[2]) + 8 * facing_away) % GRID.shape[2]
    mass = np.full(GRID.shape, 1e-12)
    for offset in yaws:
        mass[row, column, (turn + offset) % GRID.shape[2]] = 1.0 / len(yaws)
    truth = np.array([GRID.x[column], GRID.y[row], 1.0, GRID.yaw[turn], 0.0])
    estimate = truth + generator.normal(size=5) * [away, away, 0.0, 0.1 * away, 0.0]
    return Located(
        scene=place,
        grid=GRID,
        log_mass=np.log(mass),
        estimate=estimate,
        truth=truth,
        guess=np.array([0.0, 0.0, 1.0, 0.3, 0.0]),
        log_density=log_density + 0.1 * generator.normal(),
        prior_log_density=-3.0,
        context=np.zeros((2, 5)),
        image=np.zeros((8, 8, 3), dtype=np.uint8),
    )


def images(**settings):
    return [located(place, **settings) for place in range(IMAGES)]


QUARTERS, SURE, ANYWHERE = (0, 4, 8, 12), (0,), (0, 3, 6, 10)
MAPS, MIXTURE = {"yaws": QUARTERS, "log_density": 2.0}, {"log_density": 3.0}
FEW, MANY = {"away": 1.5}, {"away": 0.1}


def direct(maps, mixture):
    return direct_expectations(images(**{**MAPS, **maps}), images(**{**MIXTURE, **mixture}))


def inverted(few, many):
    return dict(zip(INVERTED.scenes, (images(**{**FEW, **few}), images(**{**MANY, **many})), strict=True))


def failed(expectations):
    return [index for index, claim in enumerate(conclude(expectations)) if not claim.holds]


def test_all_claims_hold_where_they_should(tmp_path):
    assert failed(direct({}, {})) == [] and failed(inversion_expectations(inverted({}, {}))) == []
    draw_maps(tmp_path / "map.png", images(**MAPS), images(**MIXTURE), inverted({}, {}))
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("maps", "mixture", "expected"),
    [
        ({"away": 3.0}, {}, 0),
        ({"yaws": SURE}, {}, 2),
        ({"yaws": ANYWHERE}, {}, 3),
        ({}, {"log_density": -3.0}, 4),
        ({}, {"facing_away": True}, 5),
    ],
)
def test_claims_about_reversed_models_can_fail(maps, mixture, expected):
    assert expected in failed(direct(maps, mixture))


@pytest.mark.parametrize(("few", "many", "expected"), [({}, {"away": 3.0}, 0), ({"away": 0.1}, {}, 2)])
def test_claims_about_inversion_can_fail(few, many, expected):
    assert expected in failed(inversion_expectations(inverted(few, many)))


def test_probability_elsewhere_and_at_quarter_turns_is_counted_round_the_circle():
    for yaws, wrong, quarters in (
        (SURE, 0.0, 0.0),
        (QUARTERS, 0.75, 0.75),
        ((0, 2), 0.5, 0.0),
        (range(16), 15 / 16, 3 / 16),
    ):
        one = located(1, yaws=tuple(yaws), away=0.0)
        assert mass_elsewhere(one) == pytest.approx(wrong, abs=1e-6) and mass_at_quarter_turns(one) == pytest.approx(
            quarters, abs=1e-6
        )
    assert math.isclose(one.entropy, math.log(16), rel_tol=1e-6)
