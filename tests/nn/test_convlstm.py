"""The ConvLSTM with grouped inputs equals one convolution over all inputs."""

import pytest
import torch
from torch.nn import functional as F

from zoo.nn.convlstm import ConvLSTMCell, LSTMState

SIZE, HIDDEN = 5, 4


def textbook(weight, bias, inputs, state):
    """Shi et al. 2015 without peepholes: one convolution, gates in the order input, candidate, output, forget."""
    gates = F.conv2d(torch.cat([*inputs, state.hidden], dim=1), weight, bias, padding=weight.shape[-1] // 2)
    enter, candidate, out, forget = gates.chunk(4, dim=1)
    cell = torch.sigmoid(forget) * state.cell + torch.sigmoid(enter) * torch.tanh(candidate)
    return LSTMState(hidden=torch.sigmoid(out) * torch.tanh(cell), cell=cell)


def whole_weight(cell):
    """The weights of all groups beside each other: scene, query, step, hidden state."""
    groups = [group.weight for group in (cell.from_scene, cell.from_query, cell.from_step) if group is not None]
    return torch.cat(groups, dim=1)


def made(scene, query, step, *, kernel_size=3, first=False, seed=0):
    torch.manual_seed(seed)
    return ConvLSTMCell(
        scene_channels=scene,
        query_channels=query,
        step_channels=step,
        hidden_channels=HIDDEN,
        kernel_size=kernel_size,
        first=first,
    ).double()


def maps(count, channels, *, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, SIZE, SIZE, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("num_queries", [1, 3])
@pytest.mark.parametrize(
    ("scene", "query", "step"), [(3, 2, 5), (0, 2, 5), (3, 0, 5), (0, 0, 5), (3, 2, 0)], ids=lambda value: str(value)
)
def test_groups_equal_one_convolution_over_everything(scene, query, step, num_queries, kernel_size):
    cell = made(scene, query, step, kernel_size=kernel_size)
    batch = 2
    count = batch * num_queries
    scene_maps = maps(batch, scene, seed=1)
    query_maps, step_maps = maps(count, query, seed=2), maps(count, step, seed=3)
    state = LSTMState(hidden=maps(count, HIDDEN, seed=4), cell=maps(count, HIDDEN, seed=5))
    prepared = cell.prepare(
        scene=scene_maps if scene else None, query=query_maps if query else None, num_queries=num_queries
    )
    every_scene = torch.stack([scene_maps[index // num_queries] for index in range(count)])
    for _ in range(3):
        found = prepared.advance([step_maps], state)
        expected = textbook(whole_weight(cell), cell.bias.flatten(), [every_scene, query_maps, step_maps], state)
        torch.testing.assert_close(found.hidden, expected.hidden, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.cell, expected.cell, rtol=1e-12, atol=1e-12)
        state = found


@pytest.mark.parametrize("step", [0, 2])
def test_the_first_cell_is_the_full_cell_at_the_zero_state(step):
    first = made(3, 2, step, first=True)
    weight = torch.zeros(4 * HIDDEN, 3 + 2 + step + HIDDEN, 3, 3, dtype=torch.float64)
    weight[: 3 * HIDDEN, : 3 + 2 + step] = whole_weight(first)
    weight[:, 3 + 2 + step :] = 7.0  # what the full cell thinks of the hidden state, which is zero
    weight[3 * HIDDEN :] = -3.0  # and its forget gate
    bias = torch.cat([first.bias.flatten(), torch.full((HIDDEN,), 2.0, dtype=torch.float64)])
    scene, query, own = maps(2, 3, seed=1), maps(2, 2, seed=2), maps(2, step, seed=3)
    zeros = torch.zeros(2, HIDDEN, SIZE, SIZE, dtype=torch.float64)
    found = first.prepare(scene=scene, query=query).advance([own] if step else [], None)
    expected = textbook(weight, bias, [scene, query, own], LSTMState(zeros, zeros))
    torch.testing.assert_close(found.hidden, expected.hidden, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.cell, expected.cell, rtol=1e-12, atol=1e-12)


def test_all_groups_are_initialised_as_the_one_convolution_that_they_are():
    cell = made(30, 2, 8, kernel_size=5)
    bound = (25 * (30 + 2 + 8 + HIDDEN)) ** -0.5
    for parameter in cell.parameters():
        assert parameter.abs().max() <= bound
    for group in (cell.from_scene, cell.from_query, cell.from_step):
        assert group.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("first", [False, True])
def test_gradients_equal_finite_differences(first):
    cell = made(2, 1, 2, first=first)
    scene, query, own = (maps(1, channels, seed=channels)[..., :3, :3] for channels in (2, 1, 2))
    hidden, memory = (maps(1, HIDDEN, seed=seed)[..., :3, :3] for seed in (8, 9))
    inputs = [tensor.requires_grad_() for tensor in (scene, query, own, hidden, memory)]

    def run(scene, query, own, hidden, memory):
        state = None if first else LSTMState(hidden, memory)
        return tuple(cell.prepare(scene=scene, query=query).advance([own], state))

    if first:
        run_inputs = tuple(inputs[:3])
        assert torch.autograd.gradcheck(lambda *given: run(*given, None, None), run_inputs)
    else:
        assert torch.autograd.gradcheck(run, tuple(inputs))
