"""Winograd's convolution equals the direct one in values and gradients, and is used where it is faster."""

import pytest
import torch
from torch.nn import functional as F

from zoo.nn import winograd
from zoo.nn.convlstm import ConvLSTMCell, LSTMState
from zoo.nn.winograd import convolve, convolve_once, is_faster, transform_filters

# Of the norm. The direct way is within 1e-6, this one within 1e-5 but where there are few channels to average over.
TOLERANCE = 5e-5


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative(one, other):
    return float((one.detach().double() - other.detach()).norm() / other.detach().norm())


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 8), (7, 10), (3, 5), (1, 1)])
@pytest.mark.parametrize(("number", "channels_in", "channels_out"), [(1, 1, 1), (2, 7, 5), (3, 64, 48)])
def test_it_equals_the_direct_convolution_and_its_gradients(height, width, number, channels_in, channels_out):
    inputs = random(number, channels_in, height, width, seed=1).requires_grad_()
    weight = random(channels_out, channels_in, 5, 5, seed=2).requires_grad_()
    found = convolve(inputs, transform_filters(weight))
    assert found.shape == (number, channels_out, height, width)
    exact = [inputs.detach().double().requires_grad_(), weight.detach().double().requires_grad_()]
    expected = F.conv2d(*exact, padding=2)

    assert relative(found, expected.detach()) < TOLERANCE
    incoming = random(*found.shape, seed=3)
    gradients = torch.autograd.grad(found, [inputs, weight], incoming)
    for one, other in zip(gradients, torch.autograd.grad(expected, exact, incoming.double()), strict=True):
        assert relative(one, other) < TOLERANCE


def test_gradients_add_up_over_uses_of_the_same_filters():
    weight = random(6, 4, 5, 5, seed=1).requires_grad_()
    one, other = random(2, 4, 8, 8, seed=2), random(3, 4, 8, 8, seed=3)
    filters = transform_filters(weight)
    (found,) = torch.autograd.grad(convolve(one, filters).sum() + convolve(other, filters).square().sum(), weight)
    direct = F.conv2d(one, weight, padding=2).sum() + F.conv2d(other, weight, padding=2).square().sum()
    (expected,) = torch.autograd.grad(direct, weight)
    assert relative(found, expected.double()) < TOLERANCE


def test_only_what_needs_a_gradient_gets_one():
    inputs, weight = random(1, 2, 8, 8, seed=1), random(3, 2, 5, 5, seed=2)
    convolve(inputs.requires_grad_(), transform_filters(weight)).sum().backward()
    assert inputs.grad is not None and weight.grad is None


@pytest.mark.parametrize(
    ("shape", "dtype", "positions", "expected"),
    [
        ((8, 16, 5, 5), torch.float32, 1024, True),
        ((8, 16, 5, 5), torch.float32, 1023, False),
        ((8, 15, 5, 5), torch.float32, 4096, False),
        ((8, 16, 3, 3), torch.float32, 4096, False),
        ((8, 16, 5, 5), torch.float64, 4096, False),
        ((8, 16, 5, 5), torch.bfloat16, 4096, False),
    ],
)
def test_it_is_used_where_it_is_faster_and_precise_enough(shape, dtype, positions, expected):
    assert is_faster(torch.zeros(shape, dtype=dtype), positions=positions) is expected


def test_half_precision_convolves_directly():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_faster(torch.zeros(8, 16, 5, 5), positions=4096)


def test_both_algorithms_are_used(monkeypatch):
    taken = []
    monkeypatch.setattr(winograd, "convolve", lambda *given: taken.append(len(given[0])) or convolve(*given))
    weight = random(4, 16, 5, 5, seed=1)
    for number in (3, 4):  # 16x16 outputs each
        inputs = random(number, 16, 16, 16, seed=2)
        torch.testing.assert_close(
            convolve_once(inputs, weight), F.conv2d(inputs, weight, padding=2), rtol=1e-4, atol=1e-3
        )
    assert taken == [4]


def test_a_cell_steps_alike_with_transformed_filters():
    torch.manual_seed(0)
    cell = ConvLSTMCell(scene_channels=0, query_channels=0, step_channels=12, hidden_channels=8, kernel_size=5)
    transformed, direct = cell.prepare(positions=2048), cell.prepare(positions=512)
    assert transformed.filters is not None and direct.filters is None
    state = LSTMState(random(2, 8, 8, 8, seed=1), random(2, 8, 8, 8, seed=2))
    inputs = [random(2, 12, 8, 8, seed=3)]
    found, expected = transformed.advance(inputs, state), direct.advance(inputs, state)
    torch.testing.assert_close(found.hidden, expected.hidden, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.cell, expected.cell, rtol=1e-4, atol=1e-5)
