"""Blocks of convolutional networks: resizing, broadcasting, image encoders and decoders, masked sums, MLP."""

import pytest
import torch
from torch import nn

from zoo.nn.blocks import (
    ImageReader,
    ImageWriter,
    ResidualBlock,
    expand_to_map,
    halvings_to,
    match_size,
    mlp,
    pool_views,
)


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_sizes_are_matched_by_broadcasting_averaging_and_repeating():
    one = noise(2, 3, 1, 1)
    assert torch.equal(match_size(one, height=4, width=5), one.expand(2, 3, 4, 5))
    large = noise(2, 3, 4, 4)
    assert match_size(large, height=4, width=4) is large
    averages = large.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(match_size(large, height=2, width=2), averages)
    torch.testing.assert_close(match_size(large, height=1, width=1), large.mean(dim=(2, 3), keepdim=True))
    repeated = large.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(match_size(large, height=8, width=8), repeated)


def test_vectors_are_broadcast_to_all_pixels():
    maps = expand_to_map(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), height=2, width=3)
    assert maps.shape == (2, 2, 2, 3)
    assert torch.equal(maps[1, 0], torch.full((2, 3), 3.0))


@pytest.mark.parametrize(
    ("size", "smallest", "expected"), [(64, 4, 4), (16, 4, 2), (4, 4, 0), (20, 4, 2), (6, 4, 0), (12, 4, 1), (7, 4, 0)]
)
def test_halvings(size, smallest, expected):
    assert halvings_to(size, smallest=smallest) == expected


def test_sums_under_a_mask():
    per_view = noise(2, 3, 4, 2, 2)
    mask = torch.tensor([[True, False, True], [False, False, False]])
    found = pool_views(per_view, mask, pooling="sum")
    torch.testing.assert_close(found[0], per_view[0, 0] + per_view[0, 2])
    assert torch.equal(found[1], torch.zeros(4, 2, 2, dtype=torch.float64))
    nothing = pool_views(per_view[:, :0], mask[:, :0], pooling="sum")
    assert torch.equal(nothing, torch.zeros(2, 4, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("size", [4, 12, 16, 20])
def test_image_encoders_and_decoders_fit_any_size(size):
    torch.manual_seed(0)
    reader = ImageReader(channels_in=3, image_size=size, channels=4, width_out=5).double()
    writer = ImageWriter(width_in=5, image_size=size, channels=4, channels_out=6).double()
    images = noise(2, 3, size, size)
    vectors = reader(images)
    assert vectors.shape == (2, 5)
    assert writer(vectors).shape == (2, 6, size, size)
    torch.testing.assert_close(reader(images[1:]), vectors[1:], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(writer(vectors[1:]), writer(vectors)[1:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("channels_in", "channels_out"), [(3, 3), (3, 5), (8, 16)])
def test_a_residual_block_with_silent_convolutions_is_its_skip(channels_in, channels_out):
    torch.manual_seed(0)
    block = ResidualBlock(channels_in=channels_in, channels_out=channels_out).double()
    torch.nn.init.zeros_(block.second.weight)
    torch.nn.init.zeros_(block.second.bias)
    features = noise(2, channels_in, 4, 4)
    torch.testing.assert_close(block(features), block.skip(features))


def test_gradients_of_the_blocks_equal_finite_differences():
    torch.manual_seed(0)
    reader = ImageReader(channels_in=1, image_size=4, channels=2, width_out=3).double()
    writer = ImageWriter(width_in=3, image_size=4, channels=2, channels_out=1).double()
    block = ResidualBlock(channels_in=2, channels_out=4).double()
    assert torch.autograd.gradcheck(reader, (noise(1, 1, 4, 4).requires_grad_(),))
    assert torch.autograd.gradcheck(writer, (noise(1, 3).requires_grad_(),))
    assert torch.autograd.gradcheck(block, (noise(1, 2, 4, 4).requires_grad_(),))


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
