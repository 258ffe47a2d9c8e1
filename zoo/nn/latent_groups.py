"""Latents that come in groups, one after the other: what they are drawn with, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.nn.gaussian import DiagonalGaussian, kl_divergence
from zoo.nn.noise import fold, standard_normal

# Where the groups come from: the posterior, the prior, or they are given, L times [n, ...].
Source = Literal["posterior", "prior"] | Sequence[Tensor] | Tensor


class GroupTerms(NamedTuple):
    """What L groups of latents cost."""

    kl: Tensor  # [n, L]: analytic KL(q_l || p_l), given the groups before, nats
    log_ratio: Tensor  # [n]: log q(z) - log p(z) at the sampled z, all groups together, nats


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
