"""Convolutions of broadcast vectors equal PyTorch's on the maps, in values and gradients, for every kernel and border."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.nn.blocks import broadcast_conv, concatenated_conv, expand_to_map

KERNELS = pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((5, 5), (1, 1), (2, 2)),
        ((3, 3), (1, 1), (1, 1)),
        ((2, 2), (2, 2), (0, 0)),
        ((3, 5), (1, 2), (0, 2)),
        ((3, 3), (2, 2), (1, 1)),
        ((1, 1), (1, 1), (0, 0)),
    ],
)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@KERNELS
@pytest.mark.parametrize("size", [(8, 6), (3, 4), (5, 5)])
def test_it_equals_the_convolution_of_broadcast_vectors(kernel, stride, padding, size):
    if any(side + 2 * border < taps for side, border, taps in zip(size, padding, kernel, strict=True)):
        pytest.skip("the kernel is larger than the map")
    vectors, weight = random(2, 3), random(4, 3, *kernel, seed=1)
    expected = F.conv2d(expand_to_map(vectors, height=size[0], width=size[1]), weight, stride=stride, padding=padding)
    found = broadcast_conv(vectors, weight, size=size, stride=stride, padding=padding).expand_as(expected)
    close(found, expected)
    weights = random(*expected.shape, seed=2).detach()
    for one, other in zip(
        torch.autograd.grad((weights * found).sum(), [vectors, weight]),
        torch.autograd.grad((weights * expected).sum(), [vectors, weight]),
        strict=True,
    ):
        close(one, other)


@KERNELS
@pytest.mark.parametrize("count", [0, 2])
def test_concatenated_conv_equals_the_convolution_of_concatenated_maps(kernel, stride, padding, count):
    torch.manual_seed(0)
    layer = nn.Conv2d(5 + 3, 4, kernel, stride=stride, padding=padding).double()
    maps, vectors = random(count, 5, 8, 6), random(count, 3, seed=1)
    expected = layer(torch.cat([maps, expand_to_map(vectors, height=8, width=6)], dim=1))
    found = concatenated_conv(layer, maps, vectors)
    close(found, expected)
    asked = [maps, vectors, *layer.parameters()]
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), asked),
        torch.autograd.grad(expected.square().sum(), asked),
        strict=True,
    ):
        close(one, other)
