"""Blocks of networks: resizing, residual blocks, image encoder and decoder, MLP, convolutions of broadcast vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pair = tuple[int, int]  # vertical and horizontal

Pooling = Literal["sum", "mean", "root"]  # root: the sum divided by the square root of N


def divide_size(size: tuple[int, int], divisor: int, *, name: str, kind: str = "images") -> tuple[int, int]:
    """Divides a height and a width in pixels.

    Raises:
        ValueError: if the divisor, which is called ``name`` in the error, does not divide both.
    """
    height, width = size
    if height % divisor or width % divisor:
        raise ValueError(f"{kind} of {height}x{width} pixels: {name} {divisor} does not divide them")
    return height // divisor, width // divisor


def match_size(features: Tensor, *, height: int, width: int) -> Tensor:
    """Resizes [B, C, h, w] to [B, C, height, width]: 1x1 is broadcast, larger is averaged, smaller is repeated."""
    if features.shape[-2:] == (height, width):
        return features
    if features.shape[-2:] == (1, 1):
        return features.expand(-1, -1, height, width)
    if features.shape[-2] >= height and features.shape[-1] >= width:
        return F.adaptive_avg_pool2d(features, (height, width))
    return F.interpolate(features, size=(height, width), mode="nearest")


def expand_to_map(vectors: Tensor, *, height: int, width: int) -> Tensor:
    """Broadcasts vectors [B, P] to maps [B, P, height, width]."""
    return vectors[:, :, None, None].expand(-1, -1, height, width)


def set_bias(layer: nn.Conv2d | nn.ConvTranspose2d, values: Sequence[float], *, gain: float = 1.0) -> None:
    """Sets the bias of a layer to given values, one per channel, and scales its weights; no values leave it as it is."""
    assert layer.bias is not None
    if values:
        with torch.no_grad():
            layer.bias.copy_(torch.tensor(values))
            layer.weight.mul_(gain)


class Inputs(NamedTuple):
    """A group of input channels of a layer, with the mean and the scale of their values."""

    channels: int
    mean: float = 0.0
    scale: float = 1.0


def image_inputs(channels: int) -> Inputs:
    """Returns images in [0, 1] as inputs: their pixels lie about grey, and differ between images by about 0.2."""
    return Inputs(channels, mean=0.5, scale=0.2)


def initialise(layer: nn.Conv2d | nn.Linear, *groups: Inputs | int, gain: float = 1.0) -> None:
    """Initialises a layer before a ReLU so that every group of its inputs contributes the same variance.

    As He et al. 2015, for groups of different number and scale, such as an image beside the 7 numbers of a pose or the 78
    channels of rays. Torch's default divides the variance of a signal by six in every layer, and the image is invisible
    behind poses and biases. The bias cancels the mean of the inputs.

    Args:
        layer: weights [C, inputs, ...], with a bias.
        groups: the inputs in their order; a number is that of channels of mean 0 and scale 1. None: one group of all.
        gain: factor of the weights.
    """
    assert layer.bias is not None
    parts = [Inputs(group) if isinstance(group, int) else group for group in groups or [layer.weight.shape[1]]]
    with torch.no_grad():
        layer.bias.zero_()
        weights = layer.weight.split([part.channels for part in parts], dim=1)
        for weight, part in zip(weights, parts, strict=True):
            if part.channels:
                spread = gain * math.sqrt(2.0 / (len(parts) * weight[0].numel())) / part.scale
                weight.copy_(torch.randn_like(weight) * spread)
                layer.bias.sub_(part.mean * weight.flatten(1).sum(1))


def initialise_layers(network: Iterable[nn.Module], *first: Inputs | int) -> None:
    """Initialises all convolutions and linear maps of a network with ReLUs; ``first`` are the inputs of the first one."""
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.Linear)]
    initialise(layers[0], *first)
    for layer in layers[1:]:
        initialise(layer)


def scale_writer(layer: nn.ConvTranspose2d, *, writes: int) -> None:
    """Initialises a writer of patches from states in (-1, 1): ``writes`` of them add up to a deviation of at most 0.5."""
    with torch.no_grad():
        layer.weight.normal_(std=0.5 * layer.in_channels**-0.5 / writes)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a skip connection, with group normalisation, which keeps scenes independent."""

    def __init__(self, *, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.first_norm = nn.GroupNorm(math.gcd(8, channels_in), channels_in)
        self.second_norm = nn.GroupNorm(math.gcd(8, channels_out), channels_out)
        self.skip = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, channels_in, h, w] to [B, channels_out, h, w]."""
        hidden = self.first(F.silu(self.first_norm(features)))
        return self.skip(features) + self.second(F.silu(self.second_norm(hidden)))


class ImageReader(nn.Module):
    """Image encoder, [B, C, H, W] -> [B, width_out]: halvings with residual blocks down to 4x4, then one linear map."""

    def __init__(self, *, channels_in: int, image_size: int, channels: int, width_out: int) -> None:
        super().__init__()
        halvings = halvings_to(image_size, smallest=4)
        widths = [min(channels * 2**level, 4 * channels) for level in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels_in, widths[0], 3, padding=1)]
        for before, after in pairwise(widths):
            layers += [ResidualBlock(channels_in=before, channels_out=after), nn.Conv2d(after, after, 2, stride=2)]
        self.body = nn.Sequential(*layers, nn.SiLU(), nn.Flatten())
        side = image_size // 2**halvings
        self.head = nn.Linear(widths[-1] * side * side, width_out)

    def forward(self, images: Tensor) -> Tensor:
        """Maps [B, channels_in, H, W] to [B, width_out]."""
        return self.head(self.body(images))


class ImageWriter(nn.Module):
    """Image decoder, [B, width_in] -> [B, C, H, W]: one linear map to 4x4, then doublings with residual blocks."""

    def __init__(
        self,
        *,
        width_in: int,
        image_size: int,
        channels: int,
        channels_out: int,
        initial_prediction: Sequence[float] = (),
    ) -> None:
        super().__init__()
        doublings = halvings_to(image_size, smallest=4)
        widths = [min(channels * 2**level, 4 * channels) for level in range(doublings, -1, -1)]
        side = image_size // 2**doublings
        self.start_shape = (widths[0], side, side)
        self.start = nn.Linear(width_in, math.prod(self.start_shape))
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, before, 2, stride=2),
                ResidualBlock(channels_in=before, channels_out=after),
            ]
        last = nn.Conv2d(widths[-1], channels_out, 3, padding=1)
        set_bias(last, initial_prediction, gain=0.5)
        self.body = nn.Sequential(*layers, nn.SiLU(), last)

    def forward(self, vectors: Tensor) -> Tensor:
        """Maps [B, width_in] to [B, channels_out, H, W]."""
        return self.body(self.start(vectors).unflatten(1, self.start_shape))


def halvings_to(size: int, *, smallest: int) -> int:
    """Returns how often a size can be halved, without remainder and without falling below ``smallest``."""
    count = 0
    while size % 2 == 0 and size // 2 >= smallest:
        size //= 2
        count += 1
    return count


def pool_views(per_view: Tensor, mask: Tensor, *, pooling: Pooling) -> Tensor:
    """Pools [B, N, C, h, w] over the N views that ``mask`` [B, N] keeps; zeros without views."""
    pooled = torch.einsum("bnchw,bn->bchw", per_view, mask.to(per_view.dtype))
    if pooling == "sum":
        return pooled
    count = mask.sum(1).clamp(min=1).to(pooled.dtype)
    return pooled / (count if pooling == "mean" else count.sqrt())[:, None, None, None]


def mlp(*widths: int) -> nn.Sequential:
    """Returns a multilayer perceptron of linear maps [..., widths[0]] -> ... -> [..., widths[-1]] with ReLU between them.

    Layers before a ReLU have the initialisation of He et al. 2015, which keeps the scale of a signal; torch's default
    halves it in every layer, so that differences between sets would be small compared with the biases.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    for layer in layers[:-2]:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    return nn.Sequential(*layers[:-1])


def broadcast_conv(
    vectors: Tensor, weight: Tensor, *, size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Tensor:
    """Returns ``conv2d(expand_to_map(vectors), weight)`` for vectors [n, P], such as poses, without making the maps.

    The output is the product of the vector with every tap of the kernel, summed in every place over the taps within the
    map: at the border, the other taps meet the zeros of the padding.

    Weights are [C, P, k, l], ``size`` is that of the maps. Without padding all cells are equal, and one is returned.
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
