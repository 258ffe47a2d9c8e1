"""Multilayer perceptrons."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def mlp(*widths: int) -> nn.Sequential:
    """Returns linear maps [..., widths[0]] -> ... -> [..., widths[-1]] with a ReLU between each two.

    Weights in front of a ReLU start as He et al. 2015 have it, so that a signal neither fades nor grows from layer to layer;
    torch's own start shrinks it by half in each, and what a set tells would be small beside the biases.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    for layer in layers[:-2]:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    return nn.Sequential(*layers[:-1])
