"""What several states write on a canvas that nobody looks at in between: one transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.nn.gaussian import at_least_float32


def sum_of_writes(states: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """Returns sum_l write_l(h_l), [n, C', s * h, s * w], for writers whose kernels are as large as their strides.

    Writing is linear: what one writer makes of all states is what it makes of their sum, and what every state's own writer
    makes of it is one writer of all states beside each other.

    Args:
        states: L times [n, C, h, w].
        weight: [C, C', s, s] of one writer, or [L * C, C', s, s] of those of all states.
        bias: [C'] of all L writes together.
    """
    if len(weight) == states[0].shape[1]:
        # A sum over the steps, in float32 also where the states are not.
        together = at_least_float32(states[0])
        for state in states[1:]:
            together = together + state
    else:
        together = torch.cat(list(states), dim=1)
    return F.conv_transpose2d(together, weight, bias, stride=weight.shape[-1])
