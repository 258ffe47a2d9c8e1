"""Grids of cameras, what is known beforehand, and counting modes."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.errors import ConfigError, DataError
from zoo.evaluation.pose_grid import PosePrior, grid_over, local_maxima, num_modes, read_cameras


def cameras(count=300, seed=0):
    generator = np.random.default_rng(seed)
    found = generator.normal(size=(count, 5))
    found[:, 3] = generator.uniform(-math.pi, math.pi, count)
    return torch.from_numpy(found)


def test_a_grid_covers_all_cameras_in_equal_cells():
    known = cameras()
    grid = grid_over(known, places=7, turns=4)
    assert grid.shape == (7, 7, 4)
    low_x, high_x, low_y, high_y = grid.extent
    assert low_x < known[:, 0].min() and known[:, 0].max() < high_x
    assert low_y < known[:, 1].min() and known[:, 1].max() < high_y
    np.testing.assert_allclose(grid.spacing[:2], [(high_x - low_x) / 7, (high_y - low_y) / 7])
    np.testing.assert_allclose(grid.yaw, [-0.75 * math.pi, -0.25 * math.pi, 0.25 * math.pi, 0.75 * math.pi])
    laid = grid.cameras(torch.tensor([9.0, 9.0, 1.5, 9.0, -0.2]))
    assert laid.shape == (7 * 7 * 4, 5)
    assert (laid[:, 2] == 1.5).all() and (laid[:, 4] == torch.tensor(-0.2)).all()
    assert [grid.cell_of(camera) for camera in laid] == list(range(7 * 7 * 4))
    assert grid.cell_of(laid[5] + torch.tensor([0, 0, 0, 2 * math.pi, 0])) == 5
    assert grid.cell_of(torch.tensor([99.0, 0, 0, 0, 0])) is None


def test_grids_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="expected at least 2"):
        grid_over(cameras(), places=1, turns=4)
    flat = cameras()
    flat[:, 1] = 3.0
    with pytest.raises(DataError, match="all cameras have y = 3"):
        grid_over(flat, places=4, turns=4)


@pytest.mark.parametrize("kind", ["uniform", "cameras"])
def test_a_prior_integrates_to_one(kind):
    grid = grid_over(cameras(40), places=8, turns=8)
    prior = PosePrior(kind, grid=grid, cameras=cameras(40))
    # The kernels reach beyond the grid, so that the sum is taken over a wider one of finer cells.
    wide = grid if kind == "uniform" else grid_over(torch.cat([cameras(40), 3.0 * cameras(40)]), places=90, turns=30)
    log_density = prior.log_density(wide.cameras(torch.zeros(5)))
    mass = torch.logsumexp(log_density, dim=0) + wide.spacing.log().sum()
    assert mass.item() == pytest.approx(0.0, abs=0.02)


def test_the_prior_of_cameras_is_a_kernel_density_with_a_gradient():
    known = cameras(3)
    grid = grid_over(cameras(), places=10, turns=12)
    prior = PosePrior("cameras", grid=grid, cameras=known)
    asked = cameras(4, seed=1).requires_grad_()
    found = prior.log_density(asked)
    step_x, step_y, step_yaw = (0.5 * grid.spacing).tolist()
    for place, camera in enumerate(asked.detach().numpy()):
        density = sum(
            stats.norm.pdf(camera[0], other[0], step_x)
            * stats.norm.pdf(camera[1], other[1], step_y)
            * stats.vonmises.pdf(camera[3], 1 / step_yaw**2, loc=other[3])
            for other in known.numpy()
        )
        assert found[place].item() == pytest.approx(math.log(density / 3), rel=1e-6)
    found.sum().backward()
    assert torch.isfinite(asked.grad).all() and (asked.grad[:, [0, 1, 3]] != 0).all()
    torch.testing.assert_close(prior.on_grid, prior.log_density(grid.cameras(torch.ones(5))))


def test_the_best_guess_is_the_mean_and_angles_go_round():
    known = torch.tensor([[1.0, 0.0, 0.5, math.pi - 0.1, 0.1], [3.0, 2.0, 0.5, -math.pi + 0.3, 0.3]])
    guess = PosePrior("uniform", grid=grid_over(known, places=2, turns=1), cameras=known).best_guess()
    np.testing.assert_allclose(guess, [2.0, 1.0, 0.5, -math.pi + 0.1, 0.2], atol=1e-6)


def test_cameras_are_read_without_their_images():
    class Scenes:
        name, num_scenes = "scenes", 3000

        def read_cameras(self, scenes):
            assert len(scenes) <= 2000 and len(set(scenes)) == len(scenes)
            return np.repeat(scenes[:, None, None], 2, axis=1) * np.ones(5, dtype=np.float32)

    assert read_cameras(Scenes()).shape == (2000, 5)


def test_local_maxima_go_round_the_circle_but_not_round_the_floor():
    values = torch.zeros(4, 4, 6)
    values[0, 1, 0], values[0, 1, 5], values[3, 1, 0] = 3.0, 2.0, 1.0
    peaks = local_maxima(values)
    assert peaks[0, 1, 0] and not peaks[0, 1, 5] and peaks[3, 1, 0]


def test_modes_are_counted_by_what_they_hold():
    mass = torch.full((12, 12, 12), 1e-9)
    mass[2, 2, 0], mass[2, 3, 11] = 0.3, 0.2  # one mode, across the seam of the circle
    mass[9, 9, 6] = 0.4
    mass[2, 9, 3] = 0.05
    assert num_modes(mass.log()) == 2
    assert num_modes(mass.log(), least=0.01) == 3
    assert num_modes(torch.zeros(12, 12, 12)) == 0
    assert num_modes(torch.zeros(1, 1, 3)) == 1
