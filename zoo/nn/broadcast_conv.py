"""Convolutions of inputs of which some are the same in every place: a pose, or a vector that says what a scene is.

Where the input is the same everywhere, so is the output of a convolution, but for the border, where the kernel hangs over
the zeros of the padding. What is left of the convolution are one product of the vector with all taps of the kernel, and
one sum, in every place, over the taps that are within the map: the work of a few places instead of all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pair = tuple[int, int]


def broadcast_conv(
    vectors: Tensor, weight: Tensor, *, size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Tensor:
    """Convolves maps of equal cells, ``conv2d(expand_to_map(vectors), weight)``, without making them.

    Args:
        vectors: [n, P].
        weight: [C, P, k, l], the kernel.
        size: height and width of the maps that are meant.
        stride: of the convolution, downwards and across.
        padding: with zeros, likewise.

    Returns:
        [n, C, h, w]; without padding [n, C, 1, 1], since all cells are equal.
    """
    if padding == (0, 0):
        return F.linear(vectors, weight.sum(dim=(2, 3)))[:, :, None, None]
    channels, width_in, *kernel = weight.shape
    taps = vectors @ weight.movedim(1, 0).reshape(width_in, -1)
    down, across = (_within(*sizes, like=taps) for sizes in zip(size, kernel, stride, padding, strict=True))
    places = torch.einsum("ik,jl->klij", down, across).flatten(2).flatten(0, 1)
    count = len(vectors)
    summed = taps.view(count * channels, len(places)) @ places
    return summed.view(count, channels, len(down), len(across))


def concatenated_conv(layer: nn.Conv2d, maps: Tensor, vectors: Tensor) -> Tensor:
    """Convolves maps with vectors beside them, ``layer(cat([maps, expand_to_map(vectors)]))``, without spreading the vectors.

    The channels of maps are mostly a multiple of 8, as convolutions on all devices like them, and with a pose not.

    Args:
        layer: a convolution of C + P channels with zeros as padding.
        maps: [n, C, h, w].
        vectors: [n, P].
    """
    of_maps, of_vectors = layer.weight.split([maps.shape[1], vectors.shape[1]], dim=1)
    assert isinstance(layer.padding, tuple), "padding is given in cells"
    height, width = maps.shape[-2:]
    spread = broadcast_conv(
        vectors.to(maps.dtype),
        of_vectors,
        size=(height, width),
        stride=(layer.stride[0], layer.stride[1]),
        padding=(layer.padding[0], layer.padding[1]),
    )
    return F.conv2d(maps, of_maps, layer.bias, layer.stride, layer.padding) + spread


def _within(size: int, kernel: int, stride: int, padding: int, *, like: Tensor) -> Tensor:
    """Returns which taps of a kernel are within a line of ``size`` cells, 1 or 0, for every place: [places, kernel]."""
    places = torch.arange((size + 2 * padding - kernel) // stride + 1, device=like.device)
    cells = places[:, None] * stride - padding + torch.arange(kernel, device=like.device)
    return ((cells >= 0) & (cells < size)).to(like.dtype)
