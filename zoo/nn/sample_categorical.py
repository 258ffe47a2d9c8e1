"""One of several by one uniform number, with what is left of the number."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Choice(NamedTuple):
    """Which one was chosen, and a number that is uniform again and independent of the choice."""

    chosen: Tensor  # [...] int64
    rest: Tensor  # [...] float64 in (0, 1)


def choose(log_weights: Tensor, uniform: Tensor) -> Choice:
    """Chooses index k with probability proportional to exp(log_weights[k]).

    A uniform number that falls into the share of k lies uniformly within it: measured from the share's start, in units
    of its length, it can be used once more.

    Args:
        log_weights: [..., K].
        uniform: [...] in (0, 1).
    """
    shares = torch.softmax(log_weights.double(), dim=-1)
    ends = shares.cumsum(-1)
    uniform = uniform.double().unsqueeze(-1)
    index = torch.searchsorted(ends, uniform * ends[..., -1:]).clamp(max=shares.shape[-1] - 1)
    share = shares.gather(-1, index)
    start = ends.gather(-1, index) - share
    rest = ((uniform * ends[..., -1:] - start) / share.clamp(min=torch.finfo(torch.float64).tiny)).clamp(
        1e-9, 1.0 - 1e-9
    )
    return Choice(chosen=index[..., 0], rest=rest[..., 0])
