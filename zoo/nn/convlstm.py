"""Convolutional LSTM with inputs grouped by how often they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.blocks import broadcast_conv
from zoo.nn.gaussian import at_least_float32
from zoo.nn.winograd import convolve, convolve_once, is_faster, transform_filters


class LSTMState(NamedTuple):
    """Hidden and cell state, both [n, C, h, w]."""

    hidden: Tensor
    cell: Tensor


class ConvLSTMCell(nn.Module):
    """ConvLSTM (Shi et al. 2015): gates = conv([inputs, hidden]); c' = f * c + i * g; h' = o * tanh(c').

    A convolution over all inputs is the sum of convolutions over groups of them. The groups are the scene's inputs (the
    same for all queries and steps), the query's (the same for all steps) and the step's: with shared weights, the first
    two are convolved once per rollout, and the first once for all queries. The initialisation is that of one convolution.

    A cell of the first step only (``first=True``) has neither weights for the hidden state nor a forget gate, because the
    state before it is zero. Any group may have no channels.

    Raises:
        ValueError: if the kernel size is even.
    """

    def __init__(
        self,
        *,
        scene_channels: int = 0,
        query_channels: int = 0,
        step_channels: int = 0,
        hidden_channels: int,
        kernel_size: int,
        first: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size}: must be odd, so that the states keep their size")
        self.first = first
        self.num_gates = 3 if first else 4
        self.padding = (kernel_size // 2, kernel_size // 2)
        if not first:
            step_channels += hidden_channels
        bound = 1.0 / math.sqrt(kernel_size**2 * (scene_channels + query_channels + step_channels))

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

    def prepare(
        self,
        *,
        scene: Tensor | None = None,
        query: Tensor | None = None,
        pose: Tensor | None = None,
        num_queries: int = 1,
        size: tuple[int, int] | None = None,
        positions: int = 0,
    ) -> PreparedCell:
        """Convolves the inputs of the scene and of the query, once for all steps.

        Args:
            scene: [B, C, h, w], or [B, C, 1, 1] for a constant map; None if the cell has no such inputs.
            query: [B * Q, C, h, w], or None if the cell has no such inputs.
            pose: [B * Q, P], broadcast to the first of the query's channels; ``query`` has the others.
            num_queries: Q.
            size: (h, w), needed with a pose or a constant map.
            positions: of the maps of all queries in all steps, which decides about :func:`zoo.nn.winograd.is_faster`.
        """
        total: Tensor = self.bias
        if self.from_scene is not None:
            assert scene is not None
            weight = self.from_scene.weight
            if scene.shape[-2:] == (1, 1) and size is not None:
                convolved = broadcast_conv(scene[:, :, 0, 0], weight, size=size, padding=self.padding)
            else:
                convolved = convolve_once(scene, weight)
            total = total + convolved.repeat_interleave(num_queries, dim=0)
        if self.from_query is not None:
            weight = self.from_query.weight
            if pose is not None:
                assert size is not None
                pose_weight, weight = weight.tensor_split([pose.shape[1]], dim=1)
                total = total + broadcast_conv(pose.to(weight.dtype), pose_weight, size=size, padding=self.padding)
            if query is not None:
                total = total + convolve_once(query, weight)
        filters = None
        if self.from_step is not None and is_faster(self.from_step.weight, positions=positions):
            filters = transform_filters(self.from_step.weight)
        return PreparedCell(self, constant=total, filters=filters)

    def forward(
        self, inputs: Sequence[Tensor], state: LSTMState | None, constant: Tensor, filters: Tensor | None = None
    ) -> LSTMState:
        """Advances the state by one step; see ``PreparedCell``."""
        gates = constant
        parts = list(inputs) if state is None or self.first else [*inputs, state.hidden]
        if parts:
            assert self.from_step is not None
            together = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
            weight = self.from_step.weight
            if together.shape[1] < weight.shape[1]:
                gates = gates + F.conv2d(together, weight[:, : together.shape[1]], padding=self.padding)
            elif filters is not None:
                gates = gates + convolve(together, filters)
            else:
                gates = gates + self.from_step(together)
        before = None if self.first or state is None else state.cell
        return LSTMState(*_AdvanceState.apply(gates, before, self.num_gates))


class PreparedCell(NamedTuple):
    """A cell with everything that is the same in all steps."""

    cell: ConvLSTMCell
    constant: Tensor  # part of the gates, [B * Q, gates * hidden, h, w] or broadcastable to it
    filters: Tensor | None  # transformed, of the step's inputs; None where a direct convolution is faster

    def advance(self, inputs: Sequence[Tensor], state: LSTMState | None) -> LSTMState:
        """Advances the state by one step.

        Args:
            inputs: the step's, each [B * Q, C, h, w]. Without a state, the last may be left out: they are zero then.
            state: None is the zero state, which is not convolved.
        """
        return self.cell(inputs, state, self.constant, self.filters)


class _AdvanceState(torch.autograd.Function):
    """The next hidden and cell state of an LSTM: c' = f * c + i * g, h' = o * tanh(c').

    ``raw`` are 3 or 4 gates before their nonlinearities, [n, gates * C, h, w], in the order i, g, o, f; three lack f.
    The hidden state has its type; cell states, [n, C, h, w], are sums over the steps in float32 or better, None is zero.
    The nonlinearities are recomputed in the backward pass: their outputs take more memory than their inputs.
    """

    @staticmethod
    def forward(ctx: Any, raw: Tensor, before: Tensor | None, gates: int) -> tuple[Tensor, Tensor]:
        ctx.gates = gates
        ctx.save_for_backward(raw, before)
        enter, candidate, out, forget = _nonlinear(raw, gates)
        cell = at_least_float32(enter * candidate)
        if before is not None and forget is not None:
            cell = cell + forget * before
        return out * torch.tanh(cell).to(out.dtype), cell

    @staticmethod
    def backward(ctx: Any, of_hidden: Tensor, of_cell: Tensor) -> tuple[Tensor, Tensor | None, None]:
        raw, before = ctx.saved_tensors
        enter, candidate, out, forget = _nonlinear(raw, ctx.gates)
        product = at_least_float32(enter * candidate)
        squashed = torch.tanh(product if before is None or forget is None else product + forget * before)
        of_cell = of_cell + of_hidden * out * (1.0 - squashed * squashed)
        parts = [
            of_cell * candidate * enter * (1.0 - enter),
            of_cell * enter * (1.0 - candidate * candidate),
            of_hidden * squashed * out * (1.0 - out),
        ]
        if forget is not None:
            parts.append(of_cell * before * forget * (1.0 - forget) if before is not None else torch.zeros_like(forget))
        of_before = of_cell * forget if before is not None and forget is not None else None
        return torch.cat([part.to(raw.dtype) for part in parts], dim=1), of_before, None


def _nonlinear(raw: Tensor, gates: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    enter, candidate, out, *forget = raw.chunk(gates, dim=1)
    return (
        torch.sigmoid(enter),
        torch.tanh(candidate),
        torch.sigmoid(out),
        torch.sigmoid(forget[0]) if forget else None,
    )
