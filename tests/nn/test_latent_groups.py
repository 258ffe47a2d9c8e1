"""Terms of latents in groups: those of torch's own distributions."""

import torch
from torch.distributions import Normal, kl_divergence

from zoo.nn.gaussian import DiagonalGaussian
from zoo.nn.latent_groups import group_terms


def test_terms_equal_those_of_torch():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    shape = (4, 2, 3, 3)
    posteriors, priors = ([DiagonalGaussian(draw(*shape), 0.3 * draw(*shape)) for _ in range(3)] for _ in range(2))
    latents = [draw(*shape) for _ in range(3)]
    found = group_terms(latents, posteriors=posteriors, priors=priors)
    q, p = ([Normal(one.mean, one.log_scale.exp()) for one in many] for many in (posteriors, priors))
    kl = [kl_divergence(*pair).sum(dim=(1, 2, 3)) for pair in zip(q, p, strict=True)]
    ratio = sum((a.log_prob(z) - b.log_prob(z)).sum(dim=(1, 2, 3)) for a, b, z in zip(q, p, latents, strict=True))
    assert found.kl.shape == (4, 3)
    torch.testing.assert_close(found.kl, torch.stack(kl, dim=1))
    torch.testing.assert_close(found.log_ratio, ratio)
