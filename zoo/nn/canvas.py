"""The canvas of GQN, u_l = sum_{k < l} Delta_k(h_{k+1}), which nobody needs to see.

The canvas goes through linear maps only: inference reads it at the size of the states, the image is read off at the
end. Writing and reading have kernels as large as their strides, so that one after the other they are a linear map at
every place of the states; only these compositions are computed, and only maps of the states' size exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.gaussian import at_least_float32


class Canvas(Protocol):
    """What is written step by step; steps are told apart by the order of the calls."""

    def read(self) -> Tensor:
        """Returns what inference sees of the canvas in this step, [n, C, h, w]."""

    def write(self, hidden: Tensor) -> None:
        """Writes what a step makes of its state, [n, hidden, h, w]."""

    def image(self) -> Tensor:
        """Returns what is read off in the end, [n, C', H, W]."""


class OneWritersCanvas:
    """The canvas of steps that share their weights: it is that of the sum of the states.

    Args:
        delta: Delta, states to canvas.
        read_canvas: what inference reads with.
        eta_g: 1x1, canvas to image.
    """

    def __init__(self, *, delta: nn.ConvTranspose2d, read_canvas: nn.Conv2d, eta_g: nn.Conv2d) -> None:
        self.delta, self.read_canvas, self.eta_g = delta, read_canvas, eta_g
        self.written = 0
        self.total: Tensor | None = None  # [n, hidden, h, w]: the sum of the states
        self._maps: tuple[Tensor, Tensor] | None = None

    def read(self) -> Tensor:
        """Returns what inference sees; see :class:`Canvas`."""
        assert self.total is not None and self.read_canvas.bias is not None, "nothing was written yet"
        if self._maps is None:
            self._maps = composed_reading(stacked_reading([self.read_canvas]), self.delta)
        weight, bias = self._maps
        return F.conv2d(self.total, weight, self.read_canvas.bias + self.written * bias)

    def write(self, hidden: Tensor) -> None:
        """Adds a state; see :class:`Canvas`."""
        # A sum over the steps, in float32 also where the states are not.
        self.total = at_least_float32(hidden) if self.total is None else self.total + hidden
        self.written += 1

    def image(self) -> Tensor:
        """Returns eta_g(u_L); see :class:`Canvas`."""
        assert self.total is not None, "nothing was written yet"
        weight, bias = composed_image([self.delta], self.eta_g)
        assert self.eta_g.bias is not None
        return F.conv_transpose2d(self.total, weight, self.written * bias + self.eta_g.bias, stride=self.delta.stride)


class ManyWritersCanvas:
    """The canvas of steps with weights of their own: every state is read for all later steps as soon as it is there.

    Args:
        deltas: Delta_l of every step.
        read_canvases: what the inference of every step but the first reads with; empty if there is no inference.
        eta_g: 1x1, canvas to image.
    """

    def __init__(
        self, *, deltas: Sequence[nn.ConvTranspose2d], read_canvases: Sequence[nn.Conv2d], eta_g: nn.Conv2d
    ) -> None:
        self.deltas, self.read_canvases, self.eta_g = deltas, read_canvases, eta_g
        self.states: list[Tensor] = []
        # [n, steps to come * C, h, w]: what they will see of what was written so far.
        self.pending: Tensor | None = None
        self.reading = stacked_reading(read_canvases) if read_canvases else None

    def read(self) -> Tensor:
        """Returns what inference sees; see :class:`Canvas`."""
        assert self.pending is not None, "nothing was written yet"
        reader = self.read_canvases[len(self.states) - 1]
        assert reader.bias is not None
        return self.pending[:, : reader.out_channels] + reader.bias[:, None, None]

    def write(self, hidden: Tensor) -> None:
        """Reads a state for all later steps; see :class:`Canvas`."""
        index = len(self.states)
        self.states.append(hidden)
        if index >= len(self.read_canvases):
            return
        assert self.reading is not None
        channels = self.read_canvases[0].out_channels
        weight, bias = composed_reading(self.reading[index * channels :], self.deltas[index])
        seen = F.conv2d(hidden, weight, bias)
        if self.pending is not None:
            seen = seen + self.pending[:, channels:]
        self.pending = seen

    def image(self) -> Tensor:
        """Returns eta_g(u_L); see :class:`Canvas`."""
        weight, bias = composed_image(self.deltas, self.eta_g)
        assert self.eta_g.bias is not None
        return F.conv_transpose2d(
            torch.cat(self.states, dim=1), weight, bias + self.eta_g.bias, stride=self.deltas[0].stride
        )


def stacked_reading(readers: Sequence[nn.Conv2d]) -> Tensor:
    """Returns the weights of several readers below each other, [readers * C, canvas * s * s]."""
    return torch.cat([reader.weight for reader in readers]).flatten(1)


def composed_reading(reading: Tensor, delta: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Composes writing with reading, whose own bias is left out.

    Args:
        reading: see ``stacked_reading``.
        delta: what is written with.

    Returns:
        The weights [readers * C, hidden, 1, 1] and what is read of the bias of writing, [readers * C].
    """
    # Sums over the pixels and channels of the canvas: in full precision also under autocast.
    with torch.autocast(delta.weight.device.type, enabled=False):
        assert delta.bias is not None
        bias = reading.unflatten(1, (len(delta.bias), -1)).sum(2) @ delta.bias
        return (reading @ delta.weight.flatten(1).T)[:, :, None, None], bias


def composed_image(deltas: Sequence[nn.ConvTranspose2d], eta_g: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Composes the writing of all steps with the image, whose own bias is left out.

    Returns:
        The weights [steps * hidden, C', s, s] of one transposed convolution, and the image of the biases of writing
        [C'].
    """
    with torch.autocast(eta_g.weight.device.type, enabled=False):
        writing = torch.cat([delta.weight for delta in deltas])
        looking = eta_g.weight.flatten(1)  # [C', canvas]
        biases = torch.stack([delta.bias for delta in deltas if delta.bias is not None]).sum(0)
        return torch.einsum("hcij,pc->hpij", writing, looking), looking @ biases


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
