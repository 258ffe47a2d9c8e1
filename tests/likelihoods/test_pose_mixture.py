"""Mixtures over poses: densities that integrate to one, in the shapes and units that the task gives."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.config.schedules import schedule_values
from zoo.data.camera import CAMERA_FIELDS
from zoo.likelihoods.pose_mixture import PoseMixture
from zoo.nn.noise import standard_normal

SCHEDULE = schedule_values(sigma=0.7)


def mixture(**settings):
    return PoseMixture(PoseMixture.Config(**settings))


def prediction(likelihood, *, seed=0, batch=(1, 1), scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    channels = likelihood.prediction_channels(5)
    return scale * torch.randn(*batch, channels, 1, 1, dtype=torch.float64, generator=generator)


def by_hand(likelihood, given, camera):
    """log p of one camera by scipy, for one prediction [C', 1, 1]."""
    config, total = likelihood.config, 0.0
    rows = given.flatten().view(config.components, -1).numpy()
    weights = np.exp(rows[:, 0]) / np.exp(rows[:, 0]).sum()
    positions = [name for name in likelihood.coordinates if name in "xyz"]
    angles = [name for name in likelihood.coordinates if name in ("yaw", "pitch")]
    for k, row in enumerate(rows):
        p, a = len(positions), len(angles)
        density = weights[k]
        for j, name in enumerate(positions):
            mean = config.position_scale * (likelihood.starts[k, j].item() + row[1 + j])
            slope = (config.initial_scale - config.minimum_scale) / math.log(2)
            scale = config.minimum_scale + slope * np.log1p(np.exp(row[1 + p + j]))
            density *= stats.norm.pdf(camera[CAMERA_FIELDS.index(name)], mean, scale)
        for j, name in enumerate(angles):
            cosine, sine = row[1 + 2 * p + j], row[1 + 2 * p + a + j]
            length = math.hypot(cosine, sine)
            kappa = min(length * (1 + length**2), config.maximum_concentration)
            density *= stats.vonmises.pdf(camera[CAMERA_FIELDS.index(name)], kappa, loc=math.atan2(sine, cosine))
        total += density
    return math.log(total)


@pytest.mark.parametrize("coordinates", [["x", "y", "yaw"], ["yaw", "z"], ["x", "y", "z", "yaw", "pitch"], ["pitch"]])
def test_density_is_the_one_written_down(coordinates):
    likelihood = mixture(components=3, coordinates=coordinates, position_scale=2.0)
    given = prediction(likelihood, batch=(2, 4))
    cameras = torch.randn(2, 4, 5, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = likelihood.log_prob(given, cameras, SCHEDULE)
    assert found.shape == (2, 4)
    for scene in range(2):
        for query in range(4):
            expected = by_hand(likelihood, given[scene, query], cameras[scene, query].flatten().numpy())
            assert found[scene, query].item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_density_integrates_to_one():
    likelihood = mixture(components=4, position_scale=1.5, minimum_scale=0.4)
    given = prediction(likelihood)
    place = torch.linspace(-12, 12, 61, dtype=torch.float64)
    yaw = torch.linspace(-math.pi, math.pi, 61, dtype=torch.float64)[:-1]
    x, y, turn = torch.meshgrid(place, place, yaw, indexing="ij")
    cameras = torch.stack([x, y, torch.full_like(x, 7.0), turn, torch.full_like(x, -0.3)], dim=-1).flatten(0, 2)
    mass = likelihood.log_density(given[0, 0], cameras).exp().sum() * (24 / 60) ** 2 * (2 * math.pi / 60)
    assert mass.item() == pytest.approx(1.0, abs=1e-4)


def test_a_turn_more_and_coordinates_that_are_not_scored_change_nothing():
    likelihood = mixture()
    given = prediction(likelihood, batch=(1, 3))
    target = torch.randn(1, 3, 5, 1, 1, dtype=torch.float64)
    before = likelihood.log_prob(given, target, SCHEDULE)
    turned, lifted = target.clone(), target.clone()
    turned[..., 3, 0, 0] += 2 * math.pi
    lifted[..., 2, 0, 0], lifted[..., 4, 0, 0] = 5.0, 1.0
    torch.testing.assert_close(likelihood.log_prob(given, turned, SCHEDULE), before)
    assert torch.equal(likelihood.log_prob(given, lifted, SCHEDULE), before)


def test_densities_at_many_cameras_are_those_at_each():
    likelihood = mixture(components=2)
    given = prediction(likelihood, batch=(2, 3))
    cameras = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    grid = likelihood.log_density(given, cameras)
    each = [likelihood.log_prob(given, cameras[:, :, index, :, None, None], SCHEDULE) for index in range(6)]
    torch.testing.assert_close(grid, torch.stack(each, dim=-1))


def test_gradients_are_right_and_finite_where_nothing_is_predicted_and_far_away():
    likelihood = mixture(components=2)
    target = torch.randn(1, 1, 5, 1, 1, dtype=torch.float64)
    given = prediction(likelihood).requires_grad_()
    assert torch.autograd.gradcheck(lambda numbers: likelihood.log_prob(numbers, target, SCHEDULE), given)
    for numbers in (torch.zeros(1, 1, given.shape[2], 1, 1), torch.full((1, 1, given.shape[2], 1, 1), 300.0)):
        leaf = numbers.requires_grad_()
        value = likelihood.log_prob(leaf, target.float() + 50.0, SCHEDULE)
        value.sum().backward()
        assert torch.isfinite(value).all() and torch.isfinite(leaf.grad).all()


def test_sums_are_float32_under_half_precision():
    likelihood = mixture()
    half = prediction(likelihood).bfloat16()
    assert likelihood.log_prob(half, torch.zeros(1, 1, 5, 1, 1, dtype=torch.bfloat16), SCHEDULE).dtype == torch.float32


def test_samples_follow_the_density():
    likelihood = mixture(components=3, position_scale=2.0)
    given = prediction(likelihood, seed=5).expand(2000, 1, -1, 1, 1)
    noise = standard_normal(torch.arange(2000), (1, 5, 1, 1))
    drawn = likelihood.sample(given, noise, SCHEDULE).flatten(1)
    assert torch.equal(drawn, likelihood.sample(given, noise, SCHEDULE).flatten(1))
    assert (drawn[:, [2, 4]] == 0).all() and (drawn[:, 3].abs() <= math.pi).all()
    found = likelihood.components(given[0, 0])
    weights, means = found.log_weights.exp().numpy(), found.positions.mean[:, 0].numpy()
    scales = found.positions.log_scale.exp()[:, 0].numpy()

    def cumulative(x):
        return (weights * stats.norm.cdf(x[:, None], means, scales)).sum(1)

    assert stats.kstest(drawn[:, 0].numpy(), cumulative).pvalue > 1e-3
    # The average log-density of samples is minus the entropy, which another set of samples has to agree with.
    other = likelihood.sample(given, standard_normal(torch.arange(2000) + 10**6, (1, 5, 1, 1)), SCHEDULE).flatten(1)
    one, two = (likelihood.log_density(given[0, 0], cameras) for cameras in (drawn, other))
    assert abs(one.mean() - two.mean()) < 5 * ((one.var() + two.var()) / 2000) ** 0.5
    # Place and direction of one component belong together: shuffling the directions must cost something.
    shuffled = drawn.clone()
    shuffled[:, 3] = drawn[torch.arange(2000).roll(1), 3]
    assert likelihood.log_density(given[0, 0], shuffled).mean() < one.mean() - 0.05


def test_the_mean_is_the_mode_of_the_heaviest_component():
    likelihood = mixture(components=2, coordinates=["x", "yaw"], position_scale=1.0)
    # logit, mean, scale, cosine, sine of each component
    rows = torch.tensor([[0.0, 3.0, -9.0, 9.0, 0.0], [1.0, -2.0, 2.0, 0.0, -1.0]])
    camera = likelihood.mean(rows.flatten()[None, None, :, None, None]).flatten()
    assert camera.tolist() == pytest.approx(
        [-2.0 + likelihood.starts[1, 0].item(), 0.0, 0.0, -math.pi / 2, 0.0], abs=1e-5
    )


def test_components_start_apart_and_the_first_in_the_middle():
    starts = mixture(components=8, coordinates=["x", "y", "z"]).starts
    assert starts.abs().max() <= 1 and (starts[0] == 0).all()
    assert torch.pdist(starts).min() > 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coordinates": ["x", "x"]}, "each may be named once"),
        ({"minimum_scale": 2.0}, "must be above minimum_scale"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        mixture(**settings)
