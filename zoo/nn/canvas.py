"""The canvas of GQN, u_l = sum_{k < l} Delta_k(h_{k+1}), never computed at image size.

Only linear maps use the canvas: inference reads it at the size of the states, and the image is read at the end. Writers
and readers have kernels as large as their strides, so that a writer followed by a reader is a 1x1 convolution of the states.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.gaussian import at_least_float32


class SharedCanvas:
    """The canvas of steps that share their weights: a function of the sum of the states.

    ``delta`` writes states to the canvas, inference reads it by ``read_canvas``, ``eta_g`` makes the image of it, 1x1.
    """

    def __init__(self, *, delta: nn.ConvTranspose2d, read_canvas: nn.Conv2d, eta_g: nn.Conv2d) -> None:
        self.delta, self.read_canvas, self.eta_g = delta, read_canvas, eta_g
        self.num_states = 0
        self.total: Tensor | None = None  # [n, hidden, h, w]: the sum of the states
        self._composed: tuple[Tensor, Tensor] | None = None

    def read(self) -> Tensor:
        """Returns what inference reads in this step, [n, C, h, w]; at least one state must have been written."""
        assert self.total is not None and self.read_canvas.bias is not None
        if self._composed is None:
            self._composed = composed_reading(stacked_reading([self.read_canvas]), self.delta)
        weight, bias = self._composed
        return F.conv2d(self.total, weight, self.read_canvas.bias + self.num_states * bias)

    def write(self, hidden: Tensor) -> None:
        """Writes the state of a step, [n, hidden, h, w]."""
        # A sum over the steps is float32, whatever the states are.
        self.total = at_least_float32(hidden) if self.total is None else self.total + hidden
        self.num_states += 1

    def image(self) -> Tensor:
        """Returns eta_g(u_L), [n, C', H, W]."""
        assert self.total is not None and self.eta_g.bias is not None
        weight, bias = composed_image([self.delta], self.eta_g)
        return sum_of_writes([self.total], weight, self.num_states * bias + self.eta_g.bias)


class PerStepCanvas:
    """The canvas of steps with separate weights: every state is read for all later steps when it is written.

    There is a reader of every step but the first, and none without inference.
    """

    def __init__(
        self, *, deltas: Sequence[nn.ConvTranspose2d], read_canvases: Sequence[nn.Conv2d], eta_g: nn.Conv2d
    ) -> None:
        self.deltas, self.read_canvases, self.eta_g = deltas, read_canvases, eta_g
        self.states: list[Tensor] = []
        self.pending: Tensor | None = None  # [n, later steps * C, h, w]: what they read from the states so far
        self._reading = stacked_reading(read_canvases) if read_canvases else None

    def read(self) -> Tensor:
        """Returns what inference reads in this step, [n, C, h, w]; at least one state must have been written."""
        reader = self.read_canvases[len(self.states) - 1]
        assert self.pending is not None and reader.bias is not None
        return self.pending[:, : reader.out_channels] + reader.bias[:, None, None]

    def write(self, hidden: Tensor) -> None:
        """Writes the state of a step, [n, hidden, h, w]."""
        index = len(self.states)
        self.states.append(hidden)
        if index >= len(self.read_canvases):
            return
        assert self._reading is not None
        channels = self.read_canvases[0].out_channels
        weight, bias = composed_reading(self._reading[index * channels :], self.deltas[index])
        found = F.conv2d(hidden, weight, bias)
        self.pending = found if self.pending is None else found + self.pending[:, channels:]

    def image(self) -> Tensor:
        """Returns eta_g(u_L), [n, C', H, W]."""
        weight, bias = composed_image(self.deltas, self.eta_g)
        assert self.eta_g.bias is not None
        return sum_of_writes(self.states, weight, bias + self.eta_g.bias)


def stacked_reading(readers: Sequence[nn.Conv2d]) -> Tensor:
    """Returns the weights of several readers as one matrix, [readers * C, canvas * s * s]."""
    return torch.cat([reader.weight for reader in readers]).flatten(1)


def composed_reading(reading: Tensor, delta: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Composes a writer with the readers of :func:`stacked_reading`, without the readers' biases.

    Returns:
        The weights [readers * C, hidden, 1, 1], and what is read from the writer's bias, [readers * C].
    """
    # Sums over the pixels and channels of the canvas: in full precision under autocast as well.
    with torch.autocast(delta.weight.device.type, enabled=False):
        assert delta.bias is not None
        bias = reading.unflatten(1, (len(delta.bias), -1)).sum(2) @ delta.bias
        return (reading @ delta.weight.flatten(1).T)[:, :, None, None], bias


def composed_image(deltas: Sequence[nn.ConvTranspose2d], eta_g: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Composes the writers of all steps with the image's 1x1 convolution, without the bias of the latter.

    Returns:
        The weights [steps * hidden, C', s, s] of one transposed convolution, and the image of the writers' biases [C'].
    """
    with torch.autocast(eta_g.weight.device.type, enabled=False):
        writing = torch.cat([delta.weight for delta in deltas])
        reading = eta_g.weight.flatten(1)  # [C', canvas]
        biases = torch.stack([delta.bias for delta in deltas if delta.bias is not None]).sum(0)
        return torch.einsum("hcij,pc->hpij", writing, reading), reading @ biases


def sum_of_writes(states: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """Returns sum_l write_l(h_l), [n, C', s * h, s * w], as one transposed convolution with stride s.

    A shared writer is applied to the sum of the states; separate writers are one writer of the concatenated states.

    Args:
        states: L times [n, C, h, w].
        weight: [C, C', s, s] of a shared writer, or [L * C, C', s, s] of separate ones.
        bias: [C'], the sum over the L writes.
    """
    if len(weight) == states[0].shape[1]:
        # A sum over the steps is float32, whatever the states are.
        together = at_least_float32(states[0])
        for state in states[1:]:
            together = together + state
    else:
        together = torch.cat(list(states), dim=1)
    return F.conv_transpose2d(together, weight, bias, stride=weight.shape[-1])
