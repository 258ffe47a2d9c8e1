"""What the machine gives to a large convolution: the rate that the arithmetic of a network is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch.nn import functional as F

from benchmarks.speed.record import Size
from zoo.evaluation.timing import time_interleaved

KERNEL = 5
PASSES = 3  # a backward pass makes two convolutions of the size of the forward pass
Direction = Literal["forward", "forward and backward"]


class Convolution(NamedTuple):
    """A 5x5 convolution of as many channels as it makes, on square maps."""

    channels: int
    batch: int
    cells: int  # height and width of the maps
    direction: Direction
    dtype: torch.dtype = torch.float32

    @property
    def flops(self) -> int:
        """Multiplications and additions of one run."""
        forward = 2 * KERNEL**2 * self.channels**2 * self.cells**2 * self.batch
        return forward if self.direction == "forward" else PASSES * forward

    def __str__(self) -> str:
        maps = f"{self.batch} maps of {self.cells}x{self.cells}"
        kind = str(self.dtype).removeprefix("torch.")
        return f"{KERNEL}x{KERNEL}, {self.channels} channels, {maps}, {self.direction}, {kind}"

    def action(self, device: torch.device | str) -> Callable[[], None]:
        """Returns one run of it, on tensors that stay where they are."""
        # What GPUs are fastest with; CPUs reorder to their own layout, whichever they are given.
        layout = torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format
        maps = torch.randn(self.batch, self.channels, self.cells, self.cells, device=device, dtype=self.dtype)
        weight = torch.randn(self.channels, self.channels, KERNEL, KERNEL, device=device, dtype=self.dtype)
        maps, weight = (tensor.to(memory_format=layout) for tensor in (maps, weight))
        if self.direction == "forward":

            def run() -> None:
                with torch.no_grad():
                    F.conv2d(maps, weight, padding=KERNEL // 2)

            return run
        maps.requires_grad_()
        weight.requires_grad_()
        # The gradient arrives as a whole map; that of a sum would be one number spread out.
        arriving = torch.randn_like(maps)

        def run_both() -> None:
            made = F.conv2d(maps, weight, padding=KERNEL // 2)
            torch.autograd.grad(made, (maps, weight), arriving)

        return run_both


def candidates(*, size: Size, device: torch.device | str, dtype: torch.dtype = torch.float32) -> list[Convolution]:
    """Returns the convolutions among which the fastest is looked for; larger ones on a GPU."""
    if size == "quick":
        shapes = [(16, 4, 8)]
    elif torch.device(device).type == "cuda":
        shapes = [(128, 256, 16), (256, 128, 16), (512, 36, 16), (512, 128, 16), (1024, 64, 16)]
    else:
        shapes = [(128, 32, 16), (256, 16, 16), (256, 32, 16), (512, 8, 16)]
    directions: Sequence[Direction] = ("forward", "forward and backward")
    return [
        Convolution(channels=channels, batch=batch, cells=cells, direction=direction, dtype=dtype)
        for channels, batch, cells in shapes
        for direction in directions
    ]


def fastest(
    *, size: Size, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, repeats: int = 3
) -> Convolution:
    """Returns the convolution that does the most arithmetic a second here."""
    known = {str(convolution): convolution for convolution in candidates(size=size, device=device, dtype=dtype)}
    actions = {name: convolution.action(device) for name, convolution in known.items()}
    seconds = time_interleaved(actions, repeats=repeats, device=device)
    return max(known.values(), key=lambda convolution: convolution.flops / seconds[str(convolution)].min())
