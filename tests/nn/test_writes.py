"""Many writes in one: the sum of what one writer, or every state's own, writes."""

import pytest
import torch
from torch import nn

from zoo.nn.writes import sum_of_writes


@pytest.mark.parametrize("writers", [1, 3])
def test_it_is_the_sum_of_the_writes(writers):
    torch.manual_seed(0)
    layers = [nn.ConvTranspose2d(4, 3, 2, stride=2).double() for _ in range(writers)]
    states = [torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    expected = sum(layers[index % writers](state) for index, state in enumerate(states))
    bias = torch.stack([layer.bias for layer in layers]).sum(0) * (3 // writers)
    found = sum_of_writes(states, torch.cat([layer.weight for layer in layers]), bias)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    asked = [*states, *(parameter for layer in layers for parameter in layer.parameters())]
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), asked),
        torch.autograd.grad(expected.square().sum(), asked),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
