"""Winograd convolution F(4x4, 5x5): 5x5 convolutions with a sixth of the multiplications, for CPUs in float32.

Four outputs of a filter with five taps need 8 multiplications instead of 20 (Winograd 1980; Lavin and Gray 2016, "Fast
algorithms for convolutional neural networks"), in two dimensions 64 instead of 400. Filters and overlapping 8x8 tiles of
the inputs are transformed by constants, multiplied (64 matrix products over the channels) and transformed back. The
interpolation points are 0, 1, -1, 2, -2, 1/2, -1/2 and infinity. Rounding errors are about 5e-6 of the result, ten times
those of a direct convolution.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

KERNEL, OUTPUTS = 5, 4
TILE = KERNEL + OUTPUTS - 1
POINTS = tuple(Fraction(point) for point in ("0", "1", "-1", "2", "-2", "1/2", "-1/2"))
FEWEST_POSITIONS = 1024  # outputs per channel over all uses; below, transforming the filters costs more than it saves
FEWEST_CHANNELS = 16  # of the inputs; below, transforming the tiles costs more than it saves


def is_faster(weight: Tensor, *, positions: int) -> bool:
    """Returns whether Winograd's convolution is faster than a direct one, forward and backward (measured).

    ``positions`` are the outputs per channel over all uses of the filters [O, C, k, k]: images x pixels x steps.
    """
    return (
        weight.shape[2:] == (KERNEL, KERNEL)
        and weight.shape[1] >= FEWEST_CHANNELS
        and positions >= FEWEST_POSITIONS
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def convolve_once(inputs: Tensor, weight: Tensor) -> Tensor:
    """Convolves [n, C, h, w] with [O, C, k, k] and zero padding, by the faster algorithm."""
    if is_faster(weight, positions=len(inputs) * inputs.shape[-2] * inputs.shape[-1]):
        return convolve(inputs, transform_filters(weight))
    return F.conv2d(inputs, weight, padding=weight.shape[-1] // 2)


class Transforms(NamedTuple):
    """The constants of both dimensions: y = back @ ((filters @ w) * (tiles @ x))."""

    tiles: Tensor
    filters: Tensor
    back: Tensor


@cache
def transforms() -> Transforms:
    """Returns the constants: the Toom-Cook multiplication of polynomials, transposed (Tellegen) to a correlation."""

    def powers(width: int) -> Tensor:
        """Returns the matrix that evaluates polynomials of ``width`` coefficients at all points and infinity."""
        rows = [[float(point**power) for power in range(width)] for point in POINTS]
        return torch.tensor([*rows, [0.0] * (width - 1) + [1.0]], dtype=torch.float64)

    tiles, filters, back = torch.linalg.inv(powers(TILE)).T, powers(KERNEL), powers(OUTPUTS).T
    # Factors of similar size have the least rounding error.
    balance = torch.sqrt(tiles.abs().amax(1) / filters.abs().amax(1))[:, None]
    return Transforms(*(torch.kron(one, one).float() for one in (tiles / balance, filters * balance, back)))


def transform_filters(weight: Tensor) -> Tensor:
    """Transforms the filters [O, C, 5, 5] of a convolution: [64, O, C]."""
    channels_out, channels_in = weight.shape[:2]
    return (transforms().filters @ weight.flatten(0, 1).flatten(1).T).unflatten(1, (channels_out, channels_in))


def convolve(inputs: Tensor, filters: Tensor) -> Tensor:
    """Convolves [n, C, h, w] with transformed filters [64, O, C] and zero padding: [n, O, h, w]."""
    return _Convolve.apply(inputs, filters)


class _Convolve(torch.autograd.Function):
    """Inputs are transformed again in the backward pass, because transformed inputs are four times as large."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, filters: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, filters)
        number, _, height, width = inputs.shape
        down, across = _tiles_along(height), _tiles_along(width)
        product = torch.bmm(_transform_tiles(inputs), filters.transpose(1, 2))
        outputs = (transforms().back @ product.flatten(1)).view(OUTPUTS, OUTPUTS, number, down, across, -1)
        whole = outputs.permute(2, 5, 3, 0, 4, 1).reshape(number, -1, down * OUTPUTS, across * OUTPUTS)
        return whole[:, :, :height, :width]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        inputs, filters = ctx.saved_tensors
        number, channels, height, width = inputs.shape
        down, across = _tiles_along(height), _tiles_along(width)
        padded = F.pad(gradient, (0, across * OUTPUTS - width, 0, down * OUTPUTS - height))
        tiled = padded.view(number, -1, down, OUTPUTS, across, OUTPUTS).permute(3, 5, 0, 2, 4, 1)
        product = (transforms().back.T @ tiled.reshape(OUTPUTS**2, -1)).view(TILE**2, number * down * across, -1)
        of_inputs = of_filters = None
        if ctx.needs_input_grad[0]:
            tiles = transforms().tiles.T @ torch.bmm(product, filters).flatten(1)
            tiles = tiles.view(2, OUTPUTS, 2, OUTPUTS, number, down, across, channels)
            # A tile overlaps the next one by half of its width.
            whole = gradient.new_zeros(number, down + 1, OUTPUTS, across + 1, OUTPUTS, channels)
            for row in range(2):
                for column in range(2):
                    whole[:, row : row + down, :, column : column + across] += tiles[row, :, column].permute(
                        2, 3, 0, 4, 1, 5
                    )
            whole = whole.view(number, (down + 1) * OUTPUTS, (across + 1) * OUTPUTS, channels)
            edge = KERNEL // 2
            of_inputs = whole[:, edge : edge + height, edge : edge + width].permute(0, 3, 1, 2).contiguous()
        if ctx.needs_input_grad[1]:
            of_filters = torch.bmm(product.transpose(1, 2), _transform_tiles(inputs))
        return of_inputs, of_filters


def _tiles_along(size: int) -> int:
    return -(-size // OUTPUTS)


def _transform_tiles(inputs: Tensor) -> Tensor:
    """Splits [n, C, h, w] into overlapping tiles and transforms them: [64, n * tiles, C]."""
    number, channels, height, width = inputs.shape
    down, across = _tiles_along(height), _tiles_along(width)
    edge = KERNEL // 2
    right, below = across * OUTPUTS + edge - width, down * OUTPUTS + edge - height
    # Channels last: a tile is copied in contiguous rows of channels.
    padded = F.pad(inputs.permute(0, 2, 3, 1), (0, 0, edge, right, edge, below))
    tiles = padded.unfold(1, TILE, OUTPUTS).unfold(2, TILE, OUTPUTS).permute(4, 5, 0, 1, 2, 3)
    return (transforms().tiles @ tiles.reshape(TILE**2, -1)).view(TILE**2, number * down * across, channels)
