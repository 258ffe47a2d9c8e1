"""Groups of latents: terms equal those of torch.distributions, and noise is keyed by group."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from zoo.nn.gaussian import DiagonalGaussian, Rollout, draw_group, given_groups, stacked
from zoo.nn.noise import fold, standard_normal

SHAPE = (4, 2, 3, 3)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_terms_equal_those_of_torch():
    posteriors, priors = (
        DiagonalGaussian(drawn(3, *SHAPE, seed=n), 0.3 * drawn(3, *SHAPE, seed=n + 1)) for n in (1, 3)
    )
    latents = drawn(3, *SHAPE)
    found = Rollout(prediction=latents, latents=latents, priors=priors, posteriors=posteriors).terms()
    q, p = (Normal(one.mean, one.log_scale.exp()) for one in (posteriors, priors))
    assert found.kl.shape == (4, 3)
    torch.testing.assert_close(found.kl, kl_divergence(q, p).sum(dim=(2, 3, 4)).T)
    ratio = (q.log_prob(latents) - p.log_prob(latents)).sum(dim=(0, 2, 3, 4))
    torch.testing.assert_close(found.log_ratio, ratio)


def test_the_noise_of_all_groups_is_that_of_each():
    keys = fold(torch.arange(5), 7)
    found = given_groups("prior", keys, groups=3, shape=(2, 3))
    assert torch.equal(found, torch.stack([standard_normal(fold(keys, index), (2, 3)) for index in range(3)]))
    assert torch.equal(given_groups("posterior", keys, groups=3, shape=(2, 3)), found)
    given = [found[0]]
    assert given_groups(given, keys, groups=1, shape=(2, 3)) is given


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_group_is_drawn_from_parameters_or_is_what_was_given(temperature):
    noise, parameters = drawn(*SHAPE), drawn(4, 4, 3, 3, seed=1)
    mean, log_scale = parameters.chunk(2, dim=1)
    found = draw_group(noise, parameters, dim=1, temperature=temperature)
    torch.testing.assert_close(found, mean + temperature * log_scale.exp() * noise)
    assert draw_group(noise, None, dim=1) is noise
    both = stacked([parameters, 2 * parameters], dim=1)
    assert torch.equal(both.mean, torch.stack([mean, 2 * mean]))
    assert torch.equal(both.log_scale, torch.stack([log_scale, 2 * log_scale]))
