"""The KL and the density ratio of latents that come in groups, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.nn.gaussian import DiagonalGaussian, kl_divergence


class GroupTerms(NamedTuple):
    """What L groups of latents cost."""

    kl: Tensor  # [n, L]: analytic KL(q_l || p_l), given the groups before, nats
    log_ratio: Tensor  # [n]: log q(z) - log p(z) at the sampled z, all groups together, nats


def group_terms(
    latents: Sequence[Tensor], *, posteriors: Sequence[DiagonalGaussian], priors: Sequence[DiagonalGaussian]
) -> GroupTerms:
    """Returns the terms of L groups of latents, each with its own posterior and prior, all [n, ...]."""
    pairs = list(zip(posteriors, priors, strict=True))
    kl = [kl_divergence(q, p).flatten(1).sum(1) for q, p in pairs]
    ratios = [(q.log_prob(z) - p.log_prob(z)).flatten(1).sum(1) for z, (q, p) in zip(latents, pairs, strict=True)]
    return GroupTerms(kl=torch.stack(kl, dim=1), log_ratio=torch.stack(ratios, dim=1).sum(1))
