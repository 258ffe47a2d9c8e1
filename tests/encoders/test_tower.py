"""The tower network of GQN, layer by layer."""

import torch

from zoo.encoders.tower import TowerNetwork
from zoo.model.pose_inputs import PoseEncoding, PoseInputs


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_tower_is_that_of_figure_s1():
    """Quarter size, pose after the second halving, ReLU last; each layer by hand."""
    torch.manual_seed(0)
    tower = TowerNetwork(image_channels=3, encoding=PoseEncoding(PoseInputs(), pose_width=7), channels=6).double()
    images, poses = noise(2, 3, 8, 8), noise(2, 7, seed=1)
    relu = torch.relu
    half = relu(tower.halve(images))
    assert half.shape[-2:] == (4, 4)
    quarter = relu(tower.first_skip(half)) + relu(tower.first_widen(relu(tower.first_narrow(half))))
    joined = torch.cat([quarter, poses[:, :, None, None].expand(2, 7, 2, 2)], dim=1)
    features = relu(tower.second_skip(joined)) + relu(tower.second_widen(relu(tower.second_narrow(joined))))
    expected = relu(tower.last(features))
    found = tower(images, poses)
    assert found.shape == (2, 6, 2, 2)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert tower.first_narrow.out_channels == tower.second_narrow.out_channels == 3
