"""A choice by one uniform number, and the number that is left."""

import numpy as np
import torch
from scipy import stats

from zoo.nn.sample_categorical import choose


def test_shares_are_those_of_the_weights_and_the_rest_is_uniform_and_independent():
    shares = torch.tensor([0.2, 0.5, 0.05, 0.25])
    uniform = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    found = choose(shares.log().expand(100_000, 4), uniform)
    np.testing.assert_allclose(np.bincount(found.chosen, minlength=4) / 100_000, shares, atol=1e-5)
    for index in range(4):
        rest = found.rest[found.chosen == index]
        assert stats.kstest(rest.numpy(), "uniform").statistic < 1e-3


def test_weights_need_not_be_normalised_and_nothing_is_never_chosen():
    weights = torch.tensor([-torch.inf, 3.0, -torch.inf, 3.0, -torch.inf])
    found = choose(weights.expand(5, 5), torch.tensor([1e-12, 0.25, 0.49, 0.51, 1.0 - 1e-12]))
    assert found.chosen.tolist() == [1, 1, 1, 3, 3]
    assert ((found.rest > 0) & (found.rest < 1)).all()
