"""A convolutional LSTM whose inputs are told apart by how often they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class LSTMState(NamedTuple):
    """Hidden and cell state, both [n, C, h, w]."""

    hidden: Tensor
    cell: Tensor


class ConvLSTMCell(nn.Module):
    """ConvLSTM (Shi et al. 2015): gates = conv([inputs, hidden]); c' = f * c + i * g; h' = o * tanh(c').

    One convolution over all inputs equals a sum of convolutions over groups of them. The groups here are the scene's
    (the same for all queries and steps), the query's (the same for all steps) and the step's, so that with weights
    shared over the steps the first two are convolved once for a whole rollout, and the first once for all queries.
    All groups are initialised as the one convolution that they are together.

    A cell that is only ever used for the first step (``first=True``) has no weights for the hidden state and no forget
    gate: the state before it is zero, so that those would never be trained.
    """

    def __init__(
        self,
        *,
        scene_channels: int,
        query_channels: int,
        step_channels: int,
        hidden_channels: int,
        kernel_size: int,
        first: bool = False,
    ) -> None:
        """Any of the three groups may have no channels."""
        super().__init__()
        self.first = first
        self.num_gates = 3 if first else 4
        if not first:
            step_channels += hidden_channels
        fan_in = kernel_size**2 * (scene_channels + query_channels + step_channels)
        bound = 1.0 / math.sqrt(fan_in)

        def convolution(channels: int) -> nn.Conv2d | None:
            if channels == 0:
                return None
            layer = nn.Conv2d(
                channels, self.num_gates * hidden_channels, kernel_size, padding=kernel_size // 2, bias=False
            )
            nn.init.uniform_(layer.weight, -bound, bound)
            return layer

        self.from_scene = convolution(scene_channels)
        self.from_query = convolution(query_channels)
        self.from_step = convolution(step_channels)
        self.bias = nn.Parameter(torch.empty(self.num_gates * hidden_channels, 1, 1).uniform_(-bound, bound))

    def constant(self, *, scene: Tensor | None, query: Tensor | None, num_queries: int) -> Tensor:
        """Convolves what does not change over the steps.

        Args:
            scene: [B, C, h, w], or None if the cell has no such inputs.
            query: [B * Q, C, h, w], or None if the cell has no such inputs.
            num_queries: Q.

        Returns:
            The constant part of the gates, [B * Q, gates * hidden, h, w] or broadcastable to it.
        """
        total: Tensor = self.bias
        if self.from_scene is not None:
            assert scene is not None
            total = total + self.from_scene(scene).repeat_interleave(num_queries, dim=0)
        if self.from_query is not None:
            assert query is not None
            total = total + self.from_query(query)
        return total

    def forward(self, inputs: Sequence[Tensor], state: LSTMState | None, constant: Tensor) -> LSTMState:
        """Advances the state by one step on the step's own inputs, each [B * Q, C, h, w]; None is the zero state."""
        gates = constant
        if self.from_step is not None:
            parts = list(inputs)
            if not self.first:
                assert state is not None
                parts.append(state.hidden)
            gates = gates + self.from_step(torch.cat(parts, dim=1))
        enter, candidate, out, *forget = gates.chunk(self.num_gates, dim=1)
        cell = torch.sigmoid(enter) * torch.tanh(candidate)
        if forget:
            assert state is not None
            cell = cell + torch.sigmoid(forget[0]) * state.cell
        return LSTMState(hidden=torch.sigmoid(out) * torch.tanh(cell), cell=cell)
