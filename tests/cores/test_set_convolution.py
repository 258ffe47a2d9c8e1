"""Set convolutions equal sums over points."""

import math

import pytest
import torch

from zoo.cores.convolutional_cnp import ConvolutionalCnp, FromGrid, GridMaker, GridNetwork, ToGrid

SCENES, POINTS, CHANNELS = 2, 6, 2


def random(*shape, seed):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0


def maker(dimensions, anchor="context", reach=2.0, points_per_unit=3.0):
    config = ConvolutionalCnp.Config(anchor=anchor, reach=reach, points_per_unit=points_per_unit)
    return GridMaker(config, dimensions=dimensions)


def problem(dimensions):
    mask = torch.ones(SCENES, POINTS) > 0
    return random(SCENES, POINTS, CHANNELS, seed=0), random(SCENES, POINTS, dimensions, seed=1), mask


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def exactly(layer, length_scale):
    """The layer in float64, its length scale without the rounding of its start in float32."""
    layer = layer.double()
    layer.length_scale.logarithm.data.fill_(math.log(length_scale))
    return layer


def test_a_grid_is_centred_on_the_middle_of_the_contexts_range():
    _, inputs, mask = problem(2)
    grid = maker(2)(inputs, mask)
    assert maker(2).size == (13, 13) and grid.first.shape == grid.second.shape == (SCENES, 13)
    for dimension, cells in enumerate((grid.first, grid.second)):
        middle = 0.5 * (inputs[..., dimension].amin(1) + inputs[..., dimension].amax(1))
        close(cells[:, 6], middle)
        close(cells.diff(dim=1), torch.full_like(cells[:, 1:], 1 / 3))
    padded = maker(2)(torch.cat([inputs, inputs + 50.0], dim=1), torch.cat([mask, ~mask], dim=1))
    close(padded.first, grid.first)


@pytest.mark.parametrize("empty", ["no points", "padding", "origin"])
def test_without_a_context_and_by_choice_the_middle_is_zero(empty):
    _, inputs, mask = problem(1)
    if empty == "no points":
        grid = maker(1)(inputs[:, :0], mask[:, :0])
    elif empty == "padding":
        grid = maker(1)(inputs, ~mask)
    else:
        grid = maker(1, anchor="origin")(inputs, mask)
    assert grid.second is None and maker(1).size == (13, 1)
    close(grid.first, torch.linspace(-2.0, 2.0, 13, dtype=torch.float64).expand(SCENES, -1))


@pytest.mark.parametrize("dimensions", [0, 3, 7])
def test_inputs_of_other_widths_are_refused(dimensions):
    with pytest.raises(ValueError, match=f"inputs of {dimensions} numbers: a set convolution needs inputs of 1 or 2"):
        maker(dimensions)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_density_and_values_are_their_sums(dimensions):
    values, inputs, mask = problem(dimensions)
    mask = mask.clone()
    mask[1, 4:] = False
    grid = maker(dimensions)(inputs, mask)
    found = exactly(ToGrid(spacing=0.4), 0.4)(values, inputs, mask, grid)
    rows, columns = maker(dimensions).size
    assert found.shape == (SCENES, 1 + CHANNELS, rows, columns)
    for scene, row, column in ((0, 4, 0), (1, 7, columns - 1), (1, 0, columns // 2)):
        cell = torch.stack([grid.first[scene, row]] + ([grid.second[scene, column]] if dimensions == 2 else []))
        near = [i for i in range(POINTS) if mask[scene, i]]
        weights = torch.stack([torch.exp(-0.5 * (inputs[scene, i] - cell).square().sum() / 0.4**2) for i in near])
        close(found[scene, 0, row, column], weights.sum())
        mean = (weights[:, None] * values[scene, near]).sum(0) / (weights.sum() + 1e-8)
        close(found[scene, 1:, row, column], mean, tolerance=1e-6)


def test_no_points_give_zeros():
    values, inputs, mask = problem(1)
    grid = maker(1)(inputs[:, :0], mask[:, :0])
    assert (ToGrid(spacing=0.3)(values[:, :0], inputs[:, :0], mask[:, :0], grid) == 0).all()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_features_at_a_query_are_a_mean_of_those_of_the_cells(dimensions):
    _, inputs, mask = problem(dimensions)
    rows, columns = maker(dimensions).size
    grid, features = maker(dimensions)(inputs, mask), random(SCENES, 3, rows, columns, seed=5)
    layer, query = exactly(FromGrid(spacing=0.3), 0.3), random(SCENES, 4, dimensions, seed=6)
    found = layer(features, grid, query)
    assert found.shape == (SCENES, 4, 3)
    first = torch.softmax(-0.5 * (query[0, 1, 0] - grid.first[0]).square() / 0.3**2, 0)
    weights = first[:, None]
    if dimensions == 2:
        second = torch.softmax(-0.5 * (query[0, 1, 1] - grid.second[0]).square() / 0.3**2, 0)
        weights = first[:, None] * second[None]
    close(found[0, 1], (features[0] * weights).sum((1, 2)))
    ones = layer(torch.ones_like(features), grid, query)
    close(ones, torch.ones_like(ones))
    far = layer(features, grid, torch.full_like(query, 1e3))
    close(far[:, 0], features[:, :, -1, -1])


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_network_is_equivariant_to_shifts_away_from_the_edge(dimensions):
    torch.manual_seed(0)
    config = ConvolutionalCnp.Config(channels=4, layers=2, kernel_size=3)
    network = GridNetwork(config, dimensions=dimensions, channels=(2, 3)).double()
    signal = torch.zeros(1, 2, 21, 21 if dimensions == 2 else 1, dtype=torch.float64)
    signal[:, :, 8:12] = random(1, 2, 4, signal.shape[-1], seed=0)
    found, shifted = network(signal), network(signal.roll(3, dims=2))
    assert found.shape == (1, 3, *signal.shape[2:])
    close(shifted[:, :, 6:15], found.roll(3, dims=2)[:, :, 6:15])
    assert (found[:, :, 6:15] - shifted[:, :, 6:15]).abs().max() > 1e-3


def test_a_kernel_of_even_size_is_refused():
    with pytest.raises(ValueError, match="kernel_size 4: must be odd"):
        GridNetwork(ConvolutionalCnp.Config(kernel_size=4), dimensions=1, channels=(1, 1))


def test_length_scales_start_at_the_spacing_and_are_learned():
    layer = ToGrid(spacing=0.25)
    (parameter,) = layer.parameters()
    assert parameter.item() == pytest.approx(math.log(0.25))
