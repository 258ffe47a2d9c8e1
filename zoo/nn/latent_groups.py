"""Groups of latents, each conditioned on those before it: noise, samples and KL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, standard_normal

# The distribution from which the groups are drawn, or the given groups, L times [n, ...].
Source = Literal["posterior", "prior"] | Sequence[Tensor] | Tensor


class GroupTerms(NamedTuple):
    """KL and log-ratio of L groups of latents."""

    kl: Tensor  # [n, L]: analytic KL(q_l || p_l), given the groups before, nats
    log_ratio: Tensor  # [n]: log q(z) - log p(z) at the sampled z, all groups together, nats


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
        return group_terms(self.latents, posteriors=self.posteriors, priors=self.priors)


def group_noise(keys: Tensor, *, groups: int, shape: tuple[int, ...]) -> Tensor:
    """Draws the noise of L groups at once, [L, n, *shape], for keys [n]; that of group l is keyed by (key, l)."""
    return standard_normal(fold(keys, torch.arange(groups, device=keys.device)[:, None]), shape)


def given_groups(source: Source, keys: Tensor, *, groups: int, shape: tuple[int, ...]) -> Sequence[Tensor] | Tensor:
    """Returns what a rollout is given for each of its L groups, [n, *shape] each: the latents or the noise to draw them."""
    return group_noise(keys, groups=groups, shape=shape) if isinstance(source, str) else source


def draw_group(given: Tensor, parameters: Tensor | None, *, dim: int, temperature: Tensor | float = 1.0) -> Tensor:
    """Returns one group of latents z_l, [n, ...].

    Args:
        given: what ``given_groups`` gives for the group.
        parameters: mean and logarithm of the scale, beside each other along ``dim``, of the distribution that z_l is drawn
            from; None if ``given`` is z_l.
        dim: of the channels.
        temperature: scales the standard deviation; 1 for a posterior.
    """
    if parameters is None:
        return given
    return DiagonalGaussian.from_parameters(parameters, dim=dim).sample(given, temperature=temperature)


def group_terms(latents: Tensor, *, posteriors: DiagonalGaussian, priors: DiagonalGaussian) -> GroupTerms:
    """Returns the terms of L groups of latents with their posteriors and priors, all [L, n, ...]."""
    kl = kl_divergence(posteriors, priors).flatten(2).sum(2)
    ratio = (posteriors.log_prob(latents) - priors.log_prob(latents)).flatten(2).sum((0, 2))
    return GroupTerms(kl=kl.T, log_ratio=ratio)


def stacked(parameters: Sequence[Tensor], *, dim: int) -> DiagonalGaussian:
    """Makes one distribution [L, n, ...] of the parameters [n, ...] of L groups, mean and log scale along their ``dim``."""
    return DiagonalGaussian.from_parameters(torch.stack(list(parameters)), dim=dim + 1)
