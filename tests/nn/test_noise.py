"""Counter-based noise: normal, independent, and a pure function of its key."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.nn import noise
from zoo.nn.noise import fold, sample_categorical, sample_keys, scene_keys, scene_sample_keys, standard_normal

MASK = (1 << 64) - 1
LIMIT = 4.0  # standard errors; the seeds are fixed, so that a pass stays a pass


def mixed(bits):
    """The finaliser of SplitMix64 in whole numbers of Python."""
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31)


def folded(key, number):
    left = mixed((key + 0x9E3779B97F4A7C15) & MASK)
    right = mixed((number * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & MASK)
    return mixed(left ^ right)


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def correlation(one, other):
    """Correlation coefficient in units of its standard error under independence."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) * np.sqrt(one.size)


def test_the_finaliser_gives_the_published_sequence_of_splitmix64():
    states = torch.tensor([signed((1234567 + 0x9E3779B97F4A7C15 * index) & MASK) for index in (1, 2, 3)])
    assert [value & MASK for value in noise._mixed(states).tolist()] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@pytest.mark.parametrize("key", [0, 1, 12345, (1 << 63) - 1, 1 << 63, MASK])
@pytest.mark.parametrize("number", [0, 1, 7, 1 << 40, MASK])
def test_fold_equals_whole_number_arithmetic(key, number):
    assert fold(torch.tensor(signed(key)), signed(number)).item() == signed(folded(key, number))


def test_golden_keys_and_numbers_never_change():
    keys = scene_keys(seed=3, step=70_000, places=torch.tensor([0, 1, 35]))
    assert keys.tolist() == GOLDEN_KEYS
    torch.testing.assert_close(standard_normal(keys, (3,)), torch.tensor(GOLDEN_NORMAL), rtol=0, atol=2e-6)


def test_keys_of_many_steps_at_once_are_those_of_the_steps_one_by_one():
    steps, places = torch.arange(100, 170), torch.randint(0, 500, (70, 9))
    keys = scene_keys(seed=3, step=steps[:, None], places=places)
    for step, row, found in zip(steps.tolist(), places, keys, strict=True):
        assert torch.equal(found, scene_keys(seed=3, step=step, places=row))


GOLDEN_KEYS = [1546899113129161316, -140084102200920875, 2023293072950204631]
GOLDEN_NORMAL = [
    [-0.08253055810928345, -1.6371592283248901, -0.22112146019935608],
    [1.037843942642212, -0.7725627422332764, -1.2321959733963013],
    [0.1829412877559662, -0.7567173838615417, -0.1608389914035797],
]


@pytest.mark.parametrize("count", [1, 4, 5])
def test_numbers_equal_the_box_muller_transform_in_float64(count):
    for key in GOLDEN_KEYS:
        pairs = (count + 1) // 2
        bits = [mixed((folded(key & MASK, 0) + 0x9E3779B97F4A7C15 * i) & MASK) for i in range(1, pairs + 1)]
        radius = [math.sqrt(-2 * math.log(((word >> 32) + 0.5) / 2**32)) for word in bits]
        angle = [2 * math.pi * (word & 0xFFFFFFFF) / 2**32 for word in bits]
        expected = [r * math.cos(a) for r, a in zip(radius, angle, strict=True)]
        expected += [r * math.sin(a) for r, a in zip(radius, angle, strict=True)]
        drawn = standard_normal(torch.tensor(key), (count,))
        np.testing.assert_allclose(drawn.numpy(), expected[:count], rtol=0, atol=1e-5)


def test_no_two_of_a_million_seeds_steps_and_places_share_a_key():
    seeds, steps, places = (torch.arange(100).view(shape) for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)))
    keys = fold(fold(fold(torch.zeros(1, dtype=torch.int64), seeds), steps), places)
    assert keys.shape == (100, 100, 100)
    assert torch.equal(keys[5, 17], scene_keys(seed=5, step=17, places=torch.arange(100)))
    assert len(torch.unique(keys)) == 10**6


def test_streams_of_a_key_and_keys_of_streams_are_all_different():
    keys = scene_keys(seed=0, step=0, places=torch.arange(64))
    streams = torch.arange(-1, 30)
    first = fold(keys[:, None], streams)
    second = fold(first[:, :, None], streams)
    everything = torch.cat([keys, first.flatten(), second.flatten()])
    assert len(torch.unique(everything)) == len(everything)


def test_folding_is_not_commutative():
    zero = torch.zeros((), dtype=torch.int64)
    assert fold(fold(zero, 1), 2) != fold(fold(zero, 2), 1)


@pytest.fixture(scope="module")
def table():
    """[keys, counters] normal numbers of neighbouring keys."""
    return standard_normal(scene_keys(seed=0, step=0, places=torch.arange(1000)), (1000,)).double().numpy()


def test_moments_are_those_of_a_standard_normal(table):
    count = table.size
    assert abs(table.mean()) * np.sqrt(count) < LIMIT
    assert abs(table.var() - 1.0) / np.sqrt(2 / count) < LIMIT
    assert abs(stats.skew(table.ravel())) / np.sqrt(6 / count) < LIMIT
    assert abs(stats.kurtosis(table.ravel())) / np.sqrt(24 / count) < LIMIT


def test_distribution_is_normal_far_into_the_tails(table):
    assert stats.kstest(table.ravel(), "norm").pvalue > 1e-3
    edges = np.array([-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    observed = np.histogram(table, bins=np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    expected = np.diff(np.concatenate([[0.0], stats.norm.cdf(edges), [1.0]])) * table.size
    assert stats.chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize("power", [1, 2], ids=["values", "squares"])
def test_keys_and_counters_are_independent(table, power):
    values = table**power
    half = values.shape[1] // 2
    pairs = {
        "neighbouring keys": (values[:-1], values[1:]),
        "neighbouring counters": (values[:, :-1], values[:, 1:]),
        "cosine and sine of one radius": (values[:, :half], values[:, half:]),
    }
    for name, (one, other) in pairs.items():
        assert abs(correlation(one, other)) < LIMIT, name


@pytest.mark.parametrize("power", [1, 2], ids=["values", "squares"])
def test_seeds_steps_and_streams_are_independent(power):
    places = torch.arange(500)
    base = scene_keys(seed=0, step=0, places=places)
    keys = {
        "base": base,
        "seed": scene_keys(seed=1, step=0, places=places),
        "step": scene_keys(seed=0, step=1, places=places),
        "stream": fold(base, 0),
        "other stream": fold(base, 1),
    }
    drawn = {name: standard_normal(key, (200,)).double().numpy() ** power for name, key in keys.items()}
    names = list(drawn)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert abs(correlation(drawn[one], drawn[other])) < LIMIT, (one, other)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (7, 5), (2, 3, 4)])
def test_a_row_does_not_depend_on_the_rows_beside_it(shape):
    keys = scene_keys(seed=2, step=9, places=torch.arange(11))
    together = standard_normal(keys, shape)
    assert together.shape == (11, *shape)
    assert together.dtype == torch.float32
    for index in range(11):
        assert torch.equal(standard_normal(keys[index : index + 1], shape)[0], together[index])
    assert torch.equal(standard_normal(keys.flip(0), shape), together.flip(0))
    assert torch.equal(standard_normal(keys.view(11, 1), shape)[:, 0], together)


def test_torchs_generator_is_neither_used_nor_changed():
    keys = torch.arange(4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = standard_normal(keys, (8,))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(standard_normal(keys, (8,)), one)


@pytest.mark.parametrize("upper", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])
@pytest.mark.parametrize("lower", [0, 1, 0x80000000, 0xFFFFFFFF])
def test_every_pattern_of_bits_gives_a_finite_number(monkeypatch, upper, lower):
    bits = signed((upper << 32) | lower)
    monkeypatch.setattr(
        noise, "_mixed", lambda values: bits if isinstance(values, int) else torch.full_like(values, bits)
    )
    drawn = standard_normal(torch.arange(2), (4,))
    assert torch.isfinite(drawn).all()
    assert drawn.abs().max() < 6.8


def test_nothing_can_be_drawn():
    assert standard_normal(torch.arange(3), (0,)).shape == (3, 0)
    assert standard_normal(torch.arange(0), (2,)).shape == (0, 2)


def test_a_number_folds_in_as_it_does_in_a_tensor():
    key = torch.arange(5) * 7919
    for number in (0, 1, -1, -3, 2**40, 2**63 - 1, -(2**63)):
        assert torch.equal(fold(key, number), fold(key, torch.tensor(number)))


def test_keys_of_samples_stay_what_they_are():
    key = torch.tensor([5, 9])
    samples = scene_sample_keys(key, num_samples=4)
    assert samples.shape == (2, 4) and len(samples.unique()) == 8
    assert torch.equal(scene_sample_keys(samples, num_samples=4), samples)
    every = sample_keys(key, num_samples=4, num_queries=3)
    assert torch.equal(sample_keys(samples[:, 1:3], num_samples=2, num_queries=3), every[:, 1:3])
    assert torch.equal(sample_keys(every[:, 1:3, 2:], num_samples=2, num_queries=1), every[:, 1:3, 2:])


def test_frequencies_are_the_weights_and_the_rest_is_uniform_and_independent():
    shares = torch.tensor([0.2, 0.5, 0.05, 0.25])
    uniform = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    found = sample_categorical(shares.log().expand(100_000, 4), uniform)
    np.testing.assert_allclose(np.bincount(found.category, minlength=4) / 100_000, shares, atol=1e-5)
    for index in range(4):
        rest = found.uniform[found.category == index]
        assert stats.kstest(rest.numpy(), "uniform").statistic < 1e-3


def test_weights_need_not_be_normalised_and_weight_zero_is_never_sampled():
    weights = torch.tensor([-torch.inf, 3.0, -torch.inf, 3.0, -torch.inf])
    found = sample_categorical(weights.expand(5, 5), torch.tensor([1e-12, 0.25, 0.49, 0.51, 1.0 - 1e-12]))
    assert found.category.tolist() == [1, 1, 1, 3, 3]
    assert ((found.uniform > 0) & (found.uniform < 1)).all()
