"""Poses as inputs of convolutions: the vector in every cell, or every cell's ray."""

import math

import pytest
import torch
from torch import nn

from zoo.cores.transformer import Transformer as TransformerCore
from zoo.data.camera import pose_vector
from zoo.encoders.transformer import Transformer as TransformerEncoder
from zoo.model.pose_inputs import PoseEncoding, PoseInputs
from zoo.nn.geometry import ray_features

HEIGHT, WIDTH = 4, 6
KINDS = {"repeated": PoseInputs(), "rays": PoseInputs(pose="rays", octaves=3, field_of_view=60.0)}


def cameras(count=3, *, seed=0):
    return torch.randn(count, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def encoded(poses, *, kind="rays"):
    return PoseEncoding(KINDS[kind], pose_width=7)(poses, height=HEIGHT, width=WIDTH)


def together(features):
    """All features as maps [n, P, h, w]: cells first, as in ``PoseFeatures.after``."""
    vector = features.vector[:, :, None, None].expand(-1, -1, HEIGHT, WIDTH)
    return vector if features.maps is None else torch.cat([features.maps, vector], dim=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_layer_after_maps_and_pose_is_a_convolution_of_both(kind, stride):
    torch.manual_seed(0)
    features, maps = encoded(pose_vector(cameras()), kind=kind), torch.randn(3, 5, HEIGHT, WIDTH, dtype=torch.float64)
    width = PoseEncoding(KINDS[kind], pose_width=7).width
    layer = nn.Conv2d(5 + width, 4, 2, stride=stride, padding=0 if stride == 2 else 1).double()
    expected = layer(torch.cat([maps, together(features)], dim=1))
    torch.testing.assert_close(features.after(layer, maps), expected)


def test_the_pose_repeated_is_the_pose_and_rays_are_those_of_the_cells():
    poses = pose_vector(cameras())
    assert torch.equal(encoded(poses, kind="repeated").vector, poses)
    rays = ray_features(poses, height=HEIGHT, width=WIDTH, field_of_view=60.0, octaves=3)
    found = together(encoded(poses))
    assert found.shape == rays.shape
    torch.testing.assert_close(found.sum(1), rays.sum(1))
    torch.testing.assert_close(found.square().sum(1), rays.square().sum(1))


def test_a_camera_that_turns_turns_its_rays_and_leaves_their_origin():
    given, angle = cameras(), 0.7
    turned = given.clone()
    turned[:, 3] += angle
    before, after = encoded(pose_vector(given)), encoded(pose_vector(turned))
    c, s = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    expected = torch.einsum("ij,njhw->nihw", rotation, before.maps[:, :3])
    torch.testing.assert_close(after.maps[:, :3], expected)
    assert torch.equal(before.vector, after.vector)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_poses_have_equal_features_and_others_have_others(kind):
    poses = pose_vector(cameras(2))[[0, 1, 0]]
    one, other, again = together(encoded(poses, kind=kind))
    assert torch.equal(one, again)
    assert (one - other).abs().amax(dim=0).min() > 1e-3


def test_inputs_that_are_no_poses_have_no_rays():
    with pytest.raises(ValueError, match="needs poses of 7 numbers, and these inputs have 2"):
        PoseEncoding(KINDS["rays"], pose_width=2)


@pytest.mark.parametrize("config", [PoseInputs, TransformerCore.Config, TransformerEncoder.Config])
def test_octaves_beyond_the_range_of_float32_are_refused(config):
    """A frequency of 2^128 is infinite, and all features, losses and gradients were NaN."""
    most = config(octaves=16)
    features = ray_features(pose_vector(cameras()).float(), height=2, width=2, field_of_view=50.0, octaves=most.octaves)
    assert torch.isfinite(features).all()
    for octaves in (17, 200):
        with pytest.raises(ValueError, match="octaves"):
            config(octaves=octaves)
