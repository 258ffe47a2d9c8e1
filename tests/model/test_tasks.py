"""Tasks split scenes into context, queries and targets."""

import math

import numpy as np
import pytest
import torch

from zoo.data.camera import pose_vector
from zoo.data.plan import EvaluationPlan, assemble
from zoo.episode import SceneBatch
from zoo.evaluation.throughput import random_batch
from zoo.model.tasks import Render, by_name, images_from_frames, split_views


@pytest.fixture
def batch(array_scenes):
    source = array_scenes(num_scenes=2, num_views=5, image_size=8)
    plan = EvaluationPlan(source, num_context=3, num_targets=2)
    return assemble(source, plan(np.arange(2)), seed=0, step=0)


@pytest.mark.parametrize("num_context", [0, 1, 3, 4])
def test_the_first_views_are_context_and_the_rest_targets(batch, num_context):
    episode = Render(Render.Config(), image_size=8)(batch, num_context=num_context)
    images = batch.frames.permute(0, 1, 4, 2, 3).float() / 255.0
    assert torch.equal(episode.context.values, images[:, :num_context])
    assert torch.equal(episode.target, images[:, num_context:])
    assert torch.equal(episode.target_views.values, episode.target)
    assert torch.equal(episode.target_views.poses, episode.query)
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


def test_episodes_have_the_declared_shapes(batch):
    task = Render(Render.Config(), image_size=8)
    episode = task(batch, num_context=3)
    assert episode.target.shape[2:] == task.target_shape
    assert episode.context.values.shape[2:] == task.view_shape[:3]
    assert episode.query.shape[-1] == task.query_shape[0] == task.view_shape.pose_width


def test_splitting_keeps_every_view_once(batch):
    episode = Render(Render.Config(), image_size=8)(batch, num_context=5)
    context, rest = split_views(episode.context, at=2)
    assert torch.equal(torch.cat([context.values, rest.values], dim=1), episode.context.values)
    assert context.mask.shape == (2, 2)


def scenes(**extras):
    generator = torch.Generator().manual_seed(0)
    return SceneBatch(
        frames=torch.randint(0, 256, (2, 5, 8, 8, 3), dtype=torch.uint8, generator=generator),
        cameras=torch.randn(2, 5, 5, generator=generator),
        scene=torch.arange(2),
        key=torch.arange(2),
        extras=extras,
    )


def made(name, **settings):
    task = by_name()[name]
    return task(task.Config(**settings), image_size=8 if task.has_images else 0)


def test_tasks_are_known_by_name():
    assert set(by_name()) == {"render", "caption_render", "localise", "unconditional", "regress"}


@pytest.mark.parametrize("name", by_name())
@pytest.mark.parametrize("num_context", [0, 2])
def test_an_episode_has_the_shapes_that_its_task_declares(name, num_context):
    task = made(name)
    batch = random_batch(batch_size=2, num_views=5, image_size=8 if task.has_images else 0, extras=task.extras, seed=1)
    episode = task(batch, num_context=num_context)
    queries = 5 - num_context
    assert episode.query.shape == (2, queries, *task.query_shape)
    assert episode.target.shape == (2, queries, *task.target_shape)
    assert episode.context.mask.shape == (2, 0 if name == "unconditional" else num_context)
    assert episode.context.values.shape[:2] == episode.context.poses.shape[:2] == episode.context.mask.shape
    assert episode.context.poses.shape[-1] == task.view_shape.pose_width
    assert episode.target_views.values.shape[:2] == episode.target_views.poses.shape[:2] == (2, queries)
    assert episode.target.is_floating_point()


def test_the_map_is_one_more_query_from_above():
    batch = scenes()
    overhead = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    camera = torch.tensor([[0.0, 0.0, 9.0, 0.0, -math.pi / 2]]).expand(2, 5)
    plain = made("render")(batch, num_context=3)
    episode = made("render", map=True)(batch._replace(extras={"map": overhead, "map_camera": camera}), num_context=3)
    assert episode.target.shape[1] == episode.query.shape[1] == plain.target.shape[1] + 1
    assert torch.equal(episode.target[:, :-1], plain.target)
    assert torch.equal(episode.target[:, -1], images_from_frames(overhead))
    assert torch.equal(episode.query[:, -1], pose_vector(camera))
    assert torch.equal(episode.target_views.values, episode.target)
    assert episode.context.values.shape[1] == 3


def test_captions_replace_the_images_of_the_context_only():
    captions = torch.randint(0, 256, (2, 5, 11), dtype=torch.uint8)
    batch = scenes(captions=captions)
    plain = made("render")(batch, num_context=3)
    episode = made("caption_render")(batch, num_context=3)
    assert torch.equal(episode.context.values, captions[:, :3])
    assert torch.equal(episode.context.poses, plain.context.poses)
    assert torch.equal(episode.target, plain.target)
    assert torch.equal(episode.target_views.values, plain.target_views.values)


def test_localisation_predicts_the_camera_of_an_image():
    batch = scenes()
    plain = made("render")(batch, num_context=3)
    episode = made("localise")(batch, num_context=3)
    assert torch.equal(episode.query, plain.target)
    assert torch.equal(episode.target[..., 0, 0], batch.cameras[:, 3:])
    assert torch.equal(episode.context.values, plain.context.values)


def test_images_by_themselves_come_with_nothing():
    episode = made("unconditional")(scenes(), num_context=0)
    assert episode.target.shape[1] == 5
    assert episode.query.numel() == episode.context.values.numel() == episode.context.poses.numel() == 0


def test_a_function_is_split_into_context_and_target_points():
    inputs, values = torch.randn(2, 5, 2), torch.randn(2, 5, 3)
    batch = scenes(inputs=inputs, values=values)
    episode = made("regress", input_width=2, value_width=3)(batch, num_context=2)
    assert torch.equal(episode.context.poses, inputs[:, :2])
    assert torch.equal(episode.context.values[..., 0, 0], values[:, :2])
    assert torch.equal(episode.query, inputs[:, 2:])
    assert torch.equal(episode.target[..., 0, 0], values[:, 2:])
