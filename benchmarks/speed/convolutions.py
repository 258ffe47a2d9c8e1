"""The fastest large convolution of a machine: the rate with which the arithmetic of a network is compared."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch.nn import functional as F

from benchmarks.speed.record import Size
from zoo.evaluation.timing import Action, time_interleaved

KERNEL = 5
PASSES = 3  # a backward pass makes two convolutions of the size of the forward pass
Direction = Literal["forward", "forward and backward"]
# Channels, batch, height and width of the maps.
QUICK = [(16, 4, 8)]
CPU = [(128, 32, 16), (256, 16, 16), (256, 32, 16), (512, 8, 16)]
GPU = [(128, 256, 16), (256, 128, 16), (512, 36, 16), (512, 128, 16), (1024, 64, 16)]


class Convolution(NamedTuple):
    """A 5x5 convolution with the same number of input and output channels on square maps."""

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

    def action(self, device: torch.device | str) -> Action:
        """Returns one run, on tensors that stay on the device."""
        # The fastest layout of GPUs; CPUs reorder to their own layout.
        layout = torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format
        sizes = [(self.batch, self.channels, self.cells, self.cells), (self.channels, self.channels, KERNEL, KERNEL)]
        backward = self.direction != "forward"
        maps, weight = (
            torch.randn(size, device=device, dtype=self.dtype).to(memory_format=layout).requires_grad_(backward)
            for size in sizes
        )
        gradient = torch.randn_like(maps)

        def run() -> None:
            output = F.conv2d(maps, weight, padding=KERNEL // 2)
            if backward:
                torch.autograd.grad(output, (maps, weight), gradient)

        return run


def candidates(*, size: Size, device: torch.device | str, dtype: torch.dtype = torch.float32) -> list[Convolution]:
    """Returns the convolutions among which :func:`fastest` chooses."""
    shapes = QUICK if size == "quick" else GPU if torch.device(device).type == "cuda" else CPU
    return [Convolution(*shape, direction, dtype) for shape in shapes for direction in get_args(Direction)]


def fastest(
    *, size: Size, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, repeats: int = 3
) -> Convolution:
    """Returns the convolution with the most operations per second on a device."""
    known = {str(convolution): convolution for convolution in candidates(size=size, device=device, dtype=dtype)}
    actions = {name: convolution.action(device) for name, convolution in known.items()}
    seconds = time_interleaved(actions, repeats=repeats, device=device)
    return max(known.values(), key=lambda convolution: convolution.flops / seconds[str(convolution)].min())
