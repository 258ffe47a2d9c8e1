"""A convolutional LSTM whose inputs are told apart by how often they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.broadcast_conv import broadcast_conv
from zoo.nn.gaussian import at_least_float32
from zoo.nn.winograd import convolve, convolve_once, is_faster, transform_filters


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
        """Any of the three groups may have no channels.

        Raises:
            ValueError: if the kernel size is even.
        """
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {kernel_size}: must be odd, so that the states keep their size")
        self.first = first
        self.num_gates = 3 if first else 4
        self.padding = (kernel_size // 2, kernel_size // 2)
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

    def constant(
        self,
        *,
        scene: Tensor | None,
        query: Tensor | None,
        num_queries: int,
        pose: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Convolves what does not change over the steps.

        Args:
            scene: [B, C, h, w], or None if the cell has no such inputs; [B, C, 1, 1] is the same in all pixels.
            query: [B * Q, C, h, w], or None if the cell has no such inputs.
            num_queries: Q.
            pose: [B * Q, P], the first of the query's channels, if they are the same in all pixels; ``query`` holds the
                others then.
            size: (h, w), needed with a pose or a scene that is the same in all pixels.

        Returns:
            The constant part of the gates, [B * Q, gates * hidden, h, w] or broadcastable to it.
        """
        total: Tensor = self.bias
        if self.from_scene is not None:
            assert scene is not None
            if scene.shape[-2:] == (1, 1) and size is not None:
                of_scene = broadcast_conv(scene[:, :, 0, 0], self.from_scene.weight, size=size, padding=self.padding)
            else:
                of_scene = convolve_once(scene, self.from_scene.weight)
            total = total + of_scene.repeat_interleave(num_queries, dim=0)
        if self.from_query is None:
            return total
        if pose is None:
            assert query is not None
            return total + convolve_once(query, self.from_query.weight)
        assert size is not None
        of_pose, of_query = self.from_query.weight.split(
            [pose.shape[1], self.from_query.in_channels - pose.shape[1]], 1
        )
        total = total + broadcast_conv(pose.to(of_pose.dtype), of_pose, size=size, padding=self.padding)
        return total if query is None else total + convolve_once(query, of_query)

    def step_filters(self, *, positions: int) -> Tensor | None:
        """Transforms the filters of the step's inputs, if convolving is faster so; ``forward`` takes them.

        Args:
            positions: images x height x width x steps for which they are used.
        """
        if self.from_step is None or not is_faster(self.from_step.weight, positions=positions):
            return None
        return transform_filters(self.from_step.weight)

    def forward(
        self, inputs: Sequence[Tensor], state: LSTMState | None, constant: Tensor, filters: Tensor | None = None
    ) -> LSTMState:
        """Advances the state by one step.

        Args:
            inputs: the step's own, each [B * Q, C, h, w]. Without a state they may stop short: the others are zero.
            state: None is the zero state, of which nothing is convolved.
            constant: see ``constant``.
            filters: see ``step_filters``.
        """
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
        hidden, cell = advance_state(gates, None if self.first or state is None else state.cell, gates=self.num_gates)
        return LSTMState(hidden=hidden, cell=cell)


def advance_state(raw: Tensor, before: Tensor | None, *, gates: int) -> tuple[Tensor, Tensor]:
    """Makes the next state of an LSTM of its gates before their nonlinearities: c' = f * c + i * g, h' = o * tanh(c').

    Args:
        raw: [n, gates * C, h, w], in the order i, g, o, f; f is missing where there are three gates.
        before: the cell state c, [n, C, h, w] float32; None is zero.
        gates: 3 or 4.

    Returns:
        The hidden state in the type of ``raw``, and the cell state, a sum over the steps, in float32 or better.
    """
    return _AdvanceState.apply(raw, before, gates)


class _AdvanceState(torch.autograd.Function):
    """What the nonlinearities give is computed again in the backward pass: keeping it takes more than all their inputs."""

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
