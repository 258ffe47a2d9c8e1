"""Categorical maps over poses, as densities."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.config.schedules import schedule_values
from zoo.likelihoods.pose_histogram import PoseHistogram
from zoo.nn.noise import standard_normal

SCHEDULE = schedule_values(sigma=0.7)
SMALL = {"x": [-2.0, 2.0], "y": [0.0, 3.0], "position_bins": 6, "yaw_bins": 8, "z_bins": 3, "pitch_bins": 4}


def histogram(**settings):
    return PoseHistogram(PoseHistogram.Config(**{**SMALL, **settings}))


def prediction(likelihood, batch=(1, 1), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, likelihood.prediction_channels(5), 1, 1, dtype=torch.float64, generator=generator)


def test_channels_are_one_a_bin():
    assert histogram().prediction_channels(5) == 36 + 3 + 8 + 4
    assert histogram(coordinates=["x", "y", "yaw"]).prediction_channels(5) == 36 + 8
    assert histogram(coordinates=["yaw"]).prediction_channels(5) == 8


def test_density_is_the_mass_of_the_bin_over_its_volume():
    likelihood = histogram()
    given = prediction(likelihood)
    camera = torch.tensor([-1.9, 2.9, 0.9, math.pi - 0.01, -1.5], dtype=torch.float64)
    xy, z, yaw, pitch = (part.softmax(0) for part in given.flatten().split([36, 3, 8, 4]))
    # x is in the first of six columns and y in the last of six rows: the map is laid out with x first.
    expected = xy[0 * 6 + 5].log() + z[2].log() + yaw[7].log() + pitch[0].log()
    expected = expected - math.log((4 / 6) * (3 / 6) * (2 / 3) * (2 * math.pi / 8) * (math.pi / 4))
    assert likelihood.log_prob(given, camera[None, None, :, None, None], SCHEDULE).item() == pytest.approx(
        expected.item()
    )


def test_density_integrates_to_one_over_the_extent():
    likelihood = histogram(coordinates=["x", "y", "yaw"])
    given = prediction(likelihood)
    x = -2 + 4 * (torch.arange(48, dtype=torch.float64) + 0.5) / 48
    y = 3 * (torch.arange(48, dtype=torch.float64) + 0.5) / 48
    yaw = 2 * math.pi * (torch.arange(48, dtype=torch.float64) + 0.5) / 48
    grid = torch.meshgrid(x, y, yaw, indexing="ij")
    cameras = torch.stack([grid[0], grid[1], torch.zeros_like(x[:1]).expand_as(grid[0]), grid[2], grid[0] * 0], dim=-1)
    mass = likelihood.log_density(given[0, 0], cameras.flatten(0, 2)).exp().mean() * 4 * 3 * 2 * math.pi
    assert mass.item() == pytest.approx(1.0, abs=1e-9)


def test_outside_counts_into_the_bin_at_the_edge_and_a_turn_changes_nothing():
    likelihood = histogram(coordinates=["x", "y", "yaw"])
    given = prediction(likelihood)
    inside, outside = torch.zeros(2, 1, 1, 5, 1, 1, dtype=torch.float64)
    inside[0, 0, :4, 0, 0] = torch.tensor([1.99, 0.01, 0.0, 3.0])
    outside[0, 0, :4, 0, 0] = torch.tensor([40.0, -7.0, 0.0, 3.0 - 2 * math.pi])
    assert torch.equal(likelihood.log_prob(given, inside, SCHEDULE), likelihood.log_prob(given, outside, SCHEDULE))


def test_no_density_is_above_that_of_the_floor():
    likelihood = histogram()
    sure = torch.zeros(1, 1, likelihood.prediction_channels(5), 1, 1)
    target = torch.zeros(1, 1, 5, 1, 1)
    target[0, 0, 1] = 1.0
    joint = 3 * 6 + 2
    for index in (joint, 36 + 1, 36 + 3 + 4, 36 + 3 + 8 + 2):
        sure[0, 0, index] = 80.0
    floor = likelihood.floor(5, SCHEDULE)
    assert -likelihood.log_prob(sure, target, SCHEDULE).item() == pytest.approx(floor.item(), abs=1e-5)
    assert (-likelihood.log_prob(prediction(likelihood), target.double(), SCHEDULE) > floor).all()
    torch.testing.assert_close(likelihood.mean(sure).flatten()[:2], torch.tensor([1 / 3, 1.25]))


def test_the_gradient_is_that_of_the_cross_entropy():
    likelihood = histogram(coordinates=["yaw"])
    given = prediction(likelihood).requires_grad_()
    target = torch.zeros(1, 1, 5, 1, 1)
    (-likelihood.log_prob(given, target, SCHEDULE)).sum().backward()
    expected = given.detach().flatten().softmax(0)
    expected[4] -= 1
    torch.testing.assert_close(given.grad.flatten(), expected)


def test_samples_fall_into_bins_as_often_as_they_should_and_evenly_within():
    likelihood = histogram(coordinates=["x", "y", "yaw"])
    given = prediction(likelihood).expand(6000, 1, -1, 1, 1)
    drawn = likelihood.sample(given, standard_normal(torch.arange(6000), (1, 5, 1, 1)), SCHEDULE).flatten(1)
    assert (drawn[:, [2, 4]] == 0).all()
    xy, yaw = (part.softmax(0).numpy() for part in given[0].flatten().split([36, 8]))
    column = ((drawn[:, 0] + 2) / (4 / 6)).floor().long()
    row = (drawn[:, 1] / 0.5).floor().long()
    turn = ((drawn[:, 3] + math.pi) / (2 * math.pi / 8)).floor().long()
    assert stats.chisquare(np.bincount(column * 6 + row, minlength=36), 6000 * xy / xy.sum()).pvalue > 1e-3
    assert stats.chisquare(np.bincount(turn, minlength=8), 6000 * yaw / yaw.sum()).pvalue > 1e-3
    within = ((drawn[:, 3] + math.pi) / (2 * math.pi / 8)).frac()
    assert stats.kstest(within.numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coordinates": ["x", "yaw"]}, "name both or neither"),
        ({"coordinates": ["yaw", "yaw"]}, "each may be named once"),
        ({"z": [1.0, 1.0]}, "the first must be below the second"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        histogram(**settings)
