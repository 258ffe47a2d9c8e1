"""The claims and the table of the analysis ``localisation`` on synthetic maps."""

import math

import numpy as np
import pytest
import torch

from zoo.analysis.localisation import ROWS, localisation_claims, map_figure, map_table
from zoo.evaluation.localisation import Located
from zoo.evaluation.pose_grid import grid_over

IMAGES = 24
GRID = grid_over(torch.tensor([[-3.0, -3.0, 0, 0, 0], [3.0, 3.0, 0, 0, 0]]).double(), places=8, turns=16)


def located(place, *, away):
    """A camera in the middle of a cell that has all probability, and an estimate at some distance."""
    generator = np.random.default_rng(place)
    row, column, turn = (int(generator.integers(0, size)) for size in GRID.shape)
    mass = np.full(GRID.shape, 1e-12)
    mass[row, column, turn] = 1.0
    truth = np.array([GRID.x[column], GRID.y[row], 1.0, GRID.yaw[turn], 0.0])
    return Located(
        scene=place,
        grid=GRID,
        log_mass=np.log(mass),
        estimate=truth + generator.normal(size=5) * [away, away, 0.0, 0.1 * away, 0.0],
        truth=truth,
        guess=np.array([0.0, 0.0, 1.0, 0.3, 0.0]),
        log_density=0.0,
        prior_log_density=-3.0,
        context=np.zeros((2, 5)),
        image=np.zeros((8, 8, 3), dtype=np.uint8),
    )


def images(*, away):
    return [located(place, away=away) for place in range(IMAGES)]


@pytest.mark.parametrize(
    ("few", "many", "broken"), [(1.5, 0.1, []), (1.5, 10.0, [0, 1, 2]), (0.1, 0.1, [2]), (0.1, 0.5, [2])]
)
def test_errors_are_compared_with_the_best_guess_and_with_fewer_views(few, many, broken):
    claims = localisation_claims({"x": {1: images(away=few), 5: images(away=many)}})
    assert [number for number, claim in enumerate(claims) if not claim.holds] == broken


def test_the_table_holds_what_is_drawn(tmp_path):
    found = {"x": {1: images(away=1.5), 5: images(away=0.1)}}
    table = map_table(found)
    places = table[table.kind == "place"]
    assert len(places) == ROWS * 2 * 64
    assert places.groupby(["scene", "panel"]).probability.sum().tolist() == pytest.approx([1.0] * ROWS * 2)
    truth = table[(table.kind == "true camera") & (table.panel == "x, 5 views")].iloc[0]
    best = places[(places.scene == truth.scene) & (places.panel == truth.panel)].nlargest(1, "probability").iloc[0]
    assert (best.x, best.y) == (truth.x, truth.y)
    assert math.isclose(math.radians(truth.yaw_degrees), found["x"][5][0].truth[3])
    map_figure(found)(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
