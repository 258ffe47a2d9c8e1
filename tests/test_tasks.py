"""Where scenes are cut."""

import math

import numpy as np
import pytest
import torch

from zoo.data.loader import assemble
from zoo.data.plan import EvaluationPlan
from zoo.tasks import Render, cut, images_from_frames


@pytest.fixture
def batch(array_scenes):
    source = array_scenes(num_scenes=2, num_views=5, image_size=8)
    plan = EvaluationPlan(source, num_context=3, num_targets=2)
    return assemble(source, plan(np.arange(2)), seed=0, step=0)


@pytest.mark.parametrize("num_context", [0, 1, 3, 4])
def test_the_first_views_are_context_and_the_rest_targets(batch, num_context):
    episode = Render(Render.Config(), image_size=8)(batch, num_context=num_context)
    images = batch.frames.permute(0, 1, 4, 2, 3).float() / 255.0
    assert torch.equal(episode.context.what, images[:, :num_context])
    assert torch.equal(episode.target, images[:, num_context:])
    assert torch.equal(episode.evidence.what, episode.target)
    assert torch.equal(episode.evidence.where, episode.query)
    assert episode.context.mask.all()
    assert episode.context.mask.shape == (2, num_context)
    assert torch.equal(episode.key, batch.key)
    assert episode.query.shape == (2, 5 - num_context, 7)


def test_poses_are_cosines_before_sines_in_the_order_of_the_paper(batch):
    episode = Render(Render.Config(), image_size=8)(batch, num_context=3)
    for scene in range(2):
        for index in range(2):
            x, y, z, yaw, pitch = batch.cameras[scene, 3 + index].tolist()
            expected = [x, y, z, math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)]
            assert episode.query[scene, index].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_turn_of_the_camera_by_a_full_circle_changes_nothing(batch):
    task = Render(Render.Config(), image_size=8)
    exact = batch._replace(cameras=batch.cameras.double())
    turned = exact._replace(
        cameras=exact.cameras + torch.tensor([0, 0, 0, 2 * math.pi, -2 * math.pi], dtype=torch.float64)
    )
    torch.testing.assert_close(task(turned, num_context=3).query, task(exact, num_context=3).query, rtol=0, atol=1e-12)


def test_bytes_become_zero_to_one():
    frames = torch.arange(256, dtype=torch.uint8).view(1, 256, 1).expand(1, 256, 3)
    images = images_from_frames(frames)
    assert images.shape == (3, 1, 256)
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert torch.equal((images * 255.0).round().to(torch.uint8)[0, 0], torch.arange(256, dtype=torch.uint8))


def test_shapes_are_declared_as_cut(batch):
    task = Render(Render.Config(), image_size=8)
    episode = task(batch, num_context=3)
    assert episode.target.shape[2:] == task.target_shape
    assert episode.context.what.shape[2:] == task.view_shape[:3]
    assert episode.query.shape[-1] == task.query_shape[0] == task.view_shape.pose_width


def test_cutting_keeps_every_view_once(batch):
    episode = Render(Render.Config(), image_size=8)(batch, num_context=5)
    context, rest = cut(episode.context, at=2)
    assert torch.equal(torch.cat([context.what, rest.what], dim=1), episode.context.what)
    assert context.mask.shape == (2, 2)
