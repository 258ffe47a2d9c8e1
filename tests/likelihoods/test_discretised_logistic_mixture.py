"""Mixtures of discretised logistics: probabilities that sum to 1, a mean that is one, samples of the same distribution."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.config.schedules import schedule_values
from zoo.likelihoods.discretised_logistic import DiscretisedLogistic
from zoo.likelihoods.discretised_logistic_mixture import DiscretisedLogisticMixture

SCHEDULE = schedule_values(sigma=0.7)
VALUES = np.arange(256) / 255.0
KINDS = ["independent", "linear"]


def likelihood(channels="linear", components=3, **settings):
    return DiscretisedLogisticMixture(
        DiscretisedLogisticMixture.Config(channels=channels, components=components, **settings)
    )


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def pixels(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).double() / 255.0


def probabilities(found, prediction, *, channels):
    """P of all 256^C values of one pixel, [256] or [256, 256]."""
    grid = torch.tensor(VALUES)
    values = torch.cartesian_prod(*[grid] * channels).view(-1, 1, channels, 1, 1)
    found = found.log_prob(prediction.expand(len(values), -1, -1, -1, -1), values, SCHEDULE)
    return found.exp().view([256] * channels).numpy()


def matches(observed, expected):
    """Whether counts are those of a distribution; cells of which fewer than 5 are expected are taken together."""
    common = expected >= 5
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    kept = expected >= 1
    observed, expected = observed[kept], expected[kept]
    return stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


def by_hand(found, prediction, value):
    """P(value) of one pixel, value and prediction [C] and [C'], straight from the formula, with scipy."""
    count, channels = found.config.components, len(value)
    linear = found.config.channels == "linear"
    sets = 1 if linear else channels
    logits, locations, log_scales, coefficients = np.split(
        prediction, np.cumsum([count * sets, count * channels, count * channels])
    )
    weights = np.exp(logits.reshape(count, sets))
    weights /= weights.sum(0)
    masses = np.empty((count, channels))
    for k in range(count):
        for c in range(channels):
            location = locations[k * channels + c] + (k + 0.5) / count
            if linear:
                pairs = channels * (channels - 1) // 2
                for b in range(c):
                    location += math.tanh(coefficients[k * pairs + c * (c - 1) // 2 + b]) * (value[b] - 0.5)
            logistic = stats.logistic(location, math.exp(max(log_scales[k * channels + c] - 2.0, -7.0)))
            low = -math.inf if value[c] == 0.0 else value[c] - 0.5 / 255
            high = math.inf if value[c] == 1.0 else value[c] + 0.5 / 255
            upper_half = low > location
            masses[k, c] = (
                logistic.sf(low) - logistic.sf(high) if upper_half else logistic.cdf(high) - logistic.cdf(low)
            )
    if linear:
        return float((weights[:, 0] * masses.prod(1)).sum())
    return float((weights * masses).sum(0).prod())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_probabilities_equal_the_formula(kind, channels):
    found = likelihood(kind)
    prediction = random(2, 2, found.prediction_channels(channels), 2, 2) * 0.7
    target = pixels(2, 2, channels, 2, 2)
    target[0, 0, :, 0, 0], target[0, 1, :, 0, 0] = 0.0, 1.0
    expected = np.zeros((2, 2))
    for scene, query, row, column in np.ndindex(2, 2, 2, 2):
        place = (scene, query, slice(None), row, column)
        expected[scene, query] += math.log(by_hand(found, prediction[place].numpy(), target[place].numpy()))
    np.testing.assert_allclose(found.log_prob(prediction, target, SCHEDULE).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0, 50.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_of_the_256_values_sum_to_one(kind, spread, dtype):
    found = likelihood(kind)
    target = torch.tensor(VALUES, dtype=dtype).view(256, 1, 1, 1, 1)
    for seed in range(5):
        prediction = random(1, 1, found.prediction_channels(1), 1, 1, seed=seed, dtype=dtype) * spread
        total = found.log_prob(prediction.expand(256, -1, -1, 1, 1), target, SCHEDULE).exp().sum().item()
        assert total == pytest.approx(1.0, abs=1e-9 if dtype == torch.float64 else 3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_colours_of_two_channels_sum_to_one(kind):
    """65536 colours; a dependence among channels that were not conditional probabilities would not sum to 1."""
    found = likelihood(kind)
    prediction = random(1, 1, found.prediction_channels(2), 1, 1, seed=1)
    assert probabilities(found, prediction, channels=2).sum() == pytest.approx(1.0, abs=1e-9)


def test_one_component_is_the_discretised_logistic():
    found, single = likelihood("independent", components=1), DiscretisedLogistic(DiscretisedLogistic.Config())
    prediction = random(2, 2, 9, 4, 4) * 0.5
    target = pixels(2, 2, 3, 4, 4)
    same = torch.cat([prediction[:, :, 3:6] + 0.5, prediction[:, :, 6:]], dim=2)
    torch.testing.assert_close(
        found.log_prob(prediction, target, SCHEDULE), single.log_prob(same, target, SCHEDULE), rtol=1e-12, atol=0
    )


def test_channels_depend_on_previous_ones_only_if_linear():
    """The colour of a grey pixel is cheap to tell once its red is known; blue says nothing of red beforehand."""
    linear = likelihood("linear", components=1)
    prediction = torch.zeros(1, 1, linear.prediction_channels(3), 1, 1, dtype=torch.float64)
    prediction[:, :, 4:7] = -3.0
    grey = torch.full((1, 1, 3, 1, 1), 200 / 255, dtype=torch.float64)
    apart = linear.log_prob(prediction, grey, SCHEDULE)
    prediction[:, :, 7] = 5.0  # green on red
    prediction[:, :, 9] = 5.0  # blue on green
    assert linear.log_prob(prediction, grey, SCHEDULE) > apart + 10
    coloured = grey.clone()
    coloured[:, :, 2] = 0.1
    prediction[:, :, 7:] = 0.0
    prediction[:, :, 8] = 5.0  # blue on red: changing blue leaves the cost of red and green alone
    cost = linear.log_prob(prediction, coloured, SCHEDULE).item()
    first_two = sum(
        math.log(by_hand(likelihood("linear", components=1), np.array([0.0, 0.0, -3.0]), np.array([200 / 255])))
        for _ in range(2)
    )
    blue = np.array([0.0, math.tanh(5.0) * (200 / 255 - 0.5), -3.0])
    assert cost == pytest.approx(first_two + math.log(by_hand(linear, blue, np.array([0.1]))), rel=1e-9)


def test_two_modes_cost_less_than_one():
    """Half of the pixels are dark and half are light: one logistic pays for the whole way between them."""
    dark_or_light = torch.tensor([20, 220], dtype=torch.float64).view(2, 1, 1, 1, 1) / 255.0

    def best(components):
        found = likelihood("independent", components=components)
        prediction = torch.zeros(1, 1, 3 * components, 1, 1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([prediction], lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            cost = -found.log_prob(prediction.expand(2, -1, -1, 1, 1), dark_or_light, SCHEDULE).mean()
            cost.backward()
            optimizer.step()
        return cost.item()

    assert best(2) < 2.5
    assert best(1) > best(2) + 2.5


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_finite_differences(kind):
    found = likelihood(kind, components=2)
    prediction = (random(1, 2, found.prediction_channels(3), 2, 2, seed=1) * 0.5).requires_grad_()
    target = pixels(1, 2, 3, 2, 2)
    target[0, 0, :, 0, 0], target[0, 0, :, 1, 0] = 0.0, 1.0
    assert torch.autograd.gradcheck(lambda given: found.log_prob(given, target, SCHEDULE), (prediction,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [-1e4, -30.0, 30.0, 1e4])
def test_value_and_gradient_are_finite_wherever_a_network_may_stray(kind, dtype, size):
    found = likelihood(kind, components=2)
    for place in range(found.prediction_channels(3)):
        prediction = torch.zeros(3, 1, found.prediction_channels(3), 1, 1, dtype=dtype)
        prediction[:, :, place] = size
        target = torch.tensor([0.0, 100 / 255, 1.0], dtype=dtype).view(3, 1, 1, 1, 1).expand(3, 1, 3, 1, 1)
        value = found.log_prob(prediction.requires_grad_(), target, SCHEDULE)
        (gradient,) = torch.autograd.grad(value.sum(), prediction)
        assert torch.isfinite(value).all()
        assert (value <= 1e-6).all()
        assert torch.isfinite(gradient).all()
        assert torch.isfinite(found.mean(prediction)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_the_expected_value(kind):
    found = likelihood(kind)
    prediction = random(50, 1, found.prediction_channels(1), 1, 1, seed=2)
    target = torch.tensor(VALUES).view(1, 256, 1, 1, 1).expand(50, -1, -1, -1, -1)
    mass = found.log_prob(prediction.expand(-1, 256, -1, -1, -1), target, SCHEDULE).exp()
    expected = (mass * torch.tensor(VALUES)).sum(1)
    torch.testing.assert_close(found.mean(prediction).flatten(), expected, rtol=0, atol=1e-3)


def sampled(kind, channels, seed, count=100_000):
    found = likelihood(kind)
    prediction = random(1, 1, found.prediction_channels(channels), 1, 1, seed=seed) * 0.5
    noise = random(count, 1, channels, 1, 1, seed=seed + 100)
    drawn = found.sample(prediction.expand(count, -1, -1, -1, -1), noise, SCHEDULE)
    numbers = (drawn * 255.0).round().long()
    torch.testing.assert_close(numbers / 255.0, drawn, rtol=0, atol=1e-7, check_dtype=False)
    return numbers[:, 0, :, 0, 0].numpy(), probabilities(found, prediction, channels=channels) * count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_frequencies_of_samples_are_the_probabilities(kind, seed):
    numbers, expected = sampled(kind, 1, seed)
    assert matches(np.bincount(numbers[:, 0], minlength=256), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_drawn_jointly(kind):
    numbers, expected = sampled(kind, 2, 3)
    cells = numbers // 32
    observed = np.bincount(cells[:, 0] * 8 + cells[:, 1], minlength=64)
    assert matches(observed, expected.reshape(8, 32, 8, 32).sum((1, 3)).flatten())
    alone = np.outer(expected.sum(1), expected.sum(0)) / expected.sum()
    assert matches(observed, alone.reshape(8, 32, 8, 32).sum((1, 3)).flatten()) == (kind == "independent")


def test_blue_follows_red_and_green():
    found = likelihood("linear", components=1)
    prediction = torch.zeros(1, 1, 10, 1, 1, dtype=torch.float64)
    prediction[:, :, 6] = -9.0  # log-scale of blue: less than a step
    prediction[:, :, 8], prediction[:, :, 9] = 0.3, -0.5  # blue on red and on green
    drawn = found.sample(prediction.expand(500, -1, -1, 1, 1), random(500, 1, 3, 1, 1), SCHEDULE)[:, 0, :, 0, 0]
    red, green, blue = (drawn - 0.5).T
    expected = (math.tanh(0.3) * red + math.tanh(-0.5) * green).clamp(-0.5, 0.5)
    assert expected.std() > 0.05
    assert (blue - expected).abs().max() < 3 / 255


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_float32_under_autocast(kind):
    found = likelihood(kind)
    prediction = random(1, 1, found.prediction_channels(3), 32, 32, dtype=torch.float32).bfloat16()
    target = pixels(1, 1, 3, 32, 32).float()
    exact = found.log_prob(prediction.double(), target.double(), SCHEDULE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = found.log_prob(prediction, target, SCHEDULE)
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.numpy(), exact.numpy(), rtol=1e-5)


def test_what_it_declares():
    assert likelihood("independent", components=5).prediction_channels(3) == 45
    assert likelihood("linear", components=10).prediction_channels(3) == 100  # as PixelCNN++
    assert likelihood("linear", components=4).prediction_channels(1) == 12
    assert DiscretisedLogisticMixture.discrete
    assert DiscretisedLogisticMixture.bounded
    assert not DiscretisedLogisticMixture.uses_sigma
    assert likelihood().floor(12288, SCHEDULE).item() == 0.0
