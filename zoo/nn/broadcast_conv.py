"""Convolutions of broadcast vectors, such as poses, without making the maps.

The output is the product of the vector with every tap of the kernel, summed in every place over the taps within the map:
at the border, the other taps meet the zeros of the padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pair = tuple[int, int]


def broadcast_conv(
    vectors: Tensor, weight: Tensor, *, size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Tensor:
    """Returns ``conv2d(expand_to_map(vectors), weight)`` for maps of a given height and width.

    Args:
        vectors: [n, P].
        weight: [C, P, k, l].
        size: height and width of the maps.
        stride: vertical and horizontal.
        padding: with zeros, vertical and horizontal.

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
    """Returns ``layer(cat([maps, expand_to_map(vectors)]))`` for maps [n, C, h, w] and vectors [n, P].

    Convolutions are fastest with a multiple of 8 channels, which C usually is and C + P is not.
    """
    of_maps, of_vectors = layer.weight.split([maps.shape[1], vectors.shape[1]], dim=1)
    assert isinstance(layer.padding, tuple), "padding is given in cells"
    height, width = maps.shape[-2:]
    constant = broadcast_conv(
        vectors.to(maps.dtype),
        of_vectors,
        size=(height, width),
        stride=(layer.stride[0], layer.stride[1]),
        padding=(layer.padding[0], layer.padding[1]),
    )
    return F.conv2d(maps, of_maps, layer.bias, layer.stride, layer.padding) + constant


def _within(size: int, kernel: int, stride: int, padding: int, *, like: Tensor) -> Tensor:
    """Returns 1 for every tap of a kernel that is within ``size`` cells, else 0, by place: [places, kernel]."""
    places = torch.arange((size + 2 * padding - kernel) // stride + 1, device=like.device)
    cells = places[:, None] * stride - padding + torch.arange(kernel, device=like.device)
    return ((cells >= 0) & (cells < size)).to(like.dtype)
