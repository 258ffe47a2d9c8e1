"""Groups of latents, each conditioned on those before it: noise, samples and KL."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, standard_normal

# The distribution from which the groups are drawn, or the given groups, L times [n, ...].
LatentSource = Literal["posterior", "prior"] | Sequence[Tensor] | Tensor


class GroupTerms(NamedTuple):
    """KL and log-ratio of groups of latents."""

    kl: Tensor  # [n, L] of L groups, [n, ...] of one: analytic KL(q_l || p_l) given the groups before, nats
    log_ratio: Tensor  # [n]: log q(z) - log p(z) at the sampled z, summed over the groups, nats


def terms_of_group(z: Tensor, *, posterior: DiagonalGaussian, prior: DiagonalGaussian) -> GroupTerms:
    """Returns the terms of a single group z [n, ...]."""
    ratios = posterior.log_prob(z) - prior.log_prob(z)
    return GroupTerms(kl=kl_divergence(posterior, prior), log_ratio=ratios.flatten(1).sum(1))


class Rollout(NamedTuple):
    """L groups of latents for n queries or scenes, from posterior or prior, and the predictions that follow."""

    prediction: Tensor  # [n, C', H, W], or [n * Q, C', H, W] for latents of scenes
    latents: Tensor  # [L, n, ...]
    priors: DiagonalGaussian  # [L, n, ...]
    posteriors: DiagonalGaussian | None  # [L, n, ...]; None without targets
    canvases: Sequence[Tensor] = ()  # of DRAW, L times [n, C', H, W]: after every step

    def terms(self) -> GroupTerms:
        """Returns KL(q || p) of every group of latents and log q(z) - log p(z) at the latents."""
        assert self.posteriors is not None, "there is no posterior without a target"
        kl = kl_divergence(self.posteriors, self.priors).flatten(2).sum(2)
        ratios = self.posteriors.log_prob(self.latents) - self.priors.log_prob(self.latents)
        return GroupTerms(kl=kl.T, log_ratio=ratios.flatten(2).sum((0, 2)))


def given_groups(
    source: LatentSource, keys: Tensor, *, groups: int, shape: tuple[int, ...]
) -> Sequence[Tensor] | Tensor:
    """Returns the latents of L groups, or their noise, [L, n, *shape], for keys [n]; see :func:`draw_group`."""
    if not isinstance(source, str):
        return source
    # Group l has the key (key, l).
    return standard_normal(fold(keys, torch.arange(groups, device=keys.device)[:, None]), shape)


def draw_group(given: Tensor, parameters: Tensor | None, *, dim: int, temperature: Tensor | float = 1.0) -> Tensor:
    """Returns one group of latents z_l, [n, ...], from a group of :func:`given_groups`.

    ``parameters`` are mean and log scale of z_l, concatenated along ``dim``; None if ``given`` is z_l. The temperature
    scales the standard deviation; it is 1 for a posterior.
    """
    if parameters is None:
        return given
    return DiagonalGaussian.from_parameters(parameters, dim=dim).sample(given, temperature=temperature)


def stacked(parameters: Sequence[Tensor], *, dim: int) -> DiagonalGaussian:
    """Stacks the parameters [n, ...] of L groups, mean and log scale along ``dim``, to one distribution [L, n, ...]."""
    return DiagonalGaussian.from_parameters(torch.stack(list(parameters)), dim=dim + 1)
