"""Perceptrons: their layers, and a start that neither fades nor grows."""

import torch
from torch import nn

from zoo.nn.mlp import mlp


def test_layers_have_the_widths_that_were_asked_for():
    kinds = [type(layer) for layer in mlp(3, 8, 9, 2)]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert [(layer.in_features, layer.out_features) for layer in mlp(3, 8, 9, 2)[::2]] == [
        (3, 8),
        (8, 9),
        (9, 2),
    ]
    assert len(mlp(3, 2)) == 1


def test_differences_between_inputs_survive_many_layers():
    torch.manual_seed(0)
    network = mlp(64, *[64] * 10)[:-1]  # up to the last ReLU
    found = network(torch.randn(500, 64))
    ratio = (found.std(0).square().mean() / found.square().mean()).item()
    assert 0.3 < found.square().mean() < 10.0
    assert ratio > 0.02
    plain = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(9)))
    faded = plain(torch.randn(500, 64))
    assert (faded.std(0).square().mean() / faded.square().mean()).item() < 0.1 * ratio
