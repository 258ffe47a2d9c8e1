"""The composed canvas equals a canvas computed at image size."""

import pytest
import torch
from torch import nn

from zoo.nn.canvas import PerStepCanvas, SharedCanvas, sum_of_writes

STEPS, HIDDEN, CANVAS, READ, OUT, SCALE, SIDE = 4, 3, 5, 6, 2, 2, 3


def layers():
    torch.manual_seed(0)
    return (
        [nn.ConvTranspose2d(HIDDEN, CANVAS, SCALE, stride=SCALE).double() for _ in range(STEPS)],
        [nn.Conv2d(CANVAS, READ, SCALE, stride=SCALE).double() for _ in range(STEPS)],
        nn.Conv2d(CANVAS, OUT, 1).double(),
        [torch.randn(2, HIDDEN, SIDE, SIDE, dtype=torch.float64) for _ in range(STEPS)],
    )


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reads", [True, False])
def test_steps_with_weights_of_their_own(reads):
    deltas, readers, eta_g, states = layers()
    canvas = PerStepCanvas(deltas=deltas, read_canvases=readers[1:] if reads else [], eta_g=eta_g)
    painted = torch.zeros(2, CANVAS, SIDE * SCALE, SIDE * SCALE, dtype=torch.float64)
    for index, state in enumerate(states):
        if index and reads:
            close(canvas.read(), readers[index](painted))
        canvas.write(state)
        painted = painted + deltas[index](state)
    close(canvas.image(), eta_g(painted))


def test_steps_that_share_their_weights():
    deltas, readers, eta_g, states = layers()
    canvas = SharedCanvas(delta=deltas[0], read_canvas=readers[0], eta_g=eta_g)
    painted = torch.zeros(2, CANVAS, SIDE * SCALE, SIDE * SCALE, dtype=torch.float64)
    for index, state in enumerate(states):
        if index:
            close(canvas.read(), readers[0](painted))
        canvas.write(state)
        painted = painted + deltas[0](state)
    close(canvas.image(), eta_g(painted))


def test_gradients_reach_every_weight():
    deltas, readers, eta_g, states = layers()
    canvas = PerStepCanvas(deltas=deltas, read_canvases=readers[1:], eta_g=eta_g)
    total = 0.0
    for index, state in enumerate(states):
        total = total + (canvas.read().square().sum() if index else 0.0)
        canvas.write(state)
    (total + canvas.image().square().sum()).backward()
    for layer in [*deltas, *readers[1:], eta_g]:
        assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())


def test_sums_are_float32_where_the_states_are_not():
    deltas, readers, eta_g, _ = (
        [layer.float() for layer in group] if isinstance(group, list) and isinstance(group[0], nn.Module) else group
        for group in layers()
    )
    canvas = SharedCanvas(delta=deltas[0], read_canvas=readers[0], eta_g=eta_g.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(3):
            canvas.write(torch.ones(1, HIDDEN, SIDE, SIDE, dtype=torch.bfloat16) / 3)
        assert canvas.total.dtype == torch.float32
        assert canvas.read().dtype == torch.bfloat16


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
