"""Whether the answers of one sample agree, and how the questions are put."""

import math

import numpy as np
import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.data.camera import camera_axes
from zoo.data.plan import EvaluationPlan
from zoo.errors import ConfigError
from zoo.evaluation.consistency import disagreement, rotated, with_queries
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.throughput import random_batch
from zoo.model.scene_model import Prediction
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SCHEDULE = schedule_values(sigma=0.7)
TURNS = (0.0, 0.3)


def named(name):
    """A model whose latents show in its images."""
    model = build(default_registry().variant(name, size="smoke"), seed=0)
    eta_g = (model.core.renderer if name == "cgqn" else model.core.recurrence).eta_g
    with torch.no_grad():
        for parameter in model.core.parameters():
            parameter.mul_(2.0)
        for net in (model.core.prior, model.core.posterior) if name == "cgqn" else ():
            net.eta.bias.zero_()  # latents of scale 1
        eta_g.bias.fill_(0.5)  # images in the middle of the range, where nothing is cut off
    return model


def compared(model, source, *, num_samples=4, batch_size=3, turns=TURNS):
    plan = EvaluationPlan(source, num_context=2, num_targets=1)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=batch_size)
    return disagreement(model, evaluation, num_samples=num_samples, turns=turns)


def share(found):
    """0 for consistent samples, 1 for independent queries."""
    return found.within.mean(0) / found.between.mean(0)


class TestCameras:
    def test_rotating_cameras_and_scene_together_changes_nothing(self):
        cameras = torch.randn(5, 5, dtype=torch.float64)
        turn = 0.7
        rotation = torch.tensor(
            [[math.cos(turn), -math.sin(turn), 0.0], [math.sin(turn), math.cos(turn), 0.0], [0.0, 0.0, 1.0]],
            dtype=torch.float64,
        )
        after = rotated(cameras, turn)
        torch.testing.assert_close(after[:, :3], cameras[:, :3] @ rotation.T)
        for one, other in zip(camera_axes(after), camera_axes(cameras), strict=True):
            torch.testing.assert_close(one, other @ rotation.T)

    def test_opposite_and_full_rotations_change_nothing(self):
        cameras = torch.randn(4, 5, dtype=torch.float64)
        cameras[:, 3] = torch.remainder(cameras[:, 3], 2.0) - 1.0
        torch.testing.assert_close(rotated(rotated(cameras, 0.4), -0.4), cameras)
        torch.testing.assert_close(rotated(cameras, 2.0 * math.pi), cameras)
        assert (rotated(cameras, 3.0)[:, 3].abs() <= math.pi).all()

    def test_several_rotations_at_once(self):
        cameras, turns = torch.randn(2, 1, 5), torch.tensor([0.0, 0.1, 0.2])
        found = rotated(cameras, turns)
        assert found.shape == (2, 3, 5)
        for place, turn in enumerate(turns):
            torch.testing.assert_close(found[:, place], rotated(cameras[:, 0], turn))


def test_other_queries_keep_the_context_and_have_no_images():
    batch = random_batch(batch_size=2, num_views=5, image_size=16)
    cameras = torch.randn(2, 4, 5)
    found = with_queries(batch, num_context=3, cameras=cameras)
    assert torch.equal(found.frames[:, :3], batch.frames[:, :3])
    assert torch.equal(found.cameras[:, :3], batch.cameras[:, :3])
    assert torch.equal(found.cameras[:, 3:], cameras)
    assert found.frames.shape == (2, 7, 16, 16, 3)
    assert not found.frames[:, 3:].any()
    assert torch.equal(found.key, batch.key)


class TestDisagreement:
    def test_latents_of_the_scene_predict_the_same_image_for_the_same_query(self, array_scenes):
        found = compared(named("cgqn"), array_scenes(num_scenes=5))
        assert found.within.shape == found.between.shape == (5, 2)
        assert (found.within[:, 0] < 1e-12).all()
        assert (found.between[:, 0] > 1e-5).all()
        assert share(found)[0] < 1e-6

    def test_latents_of_a_query_predict_another_image_for_the_same_query(self, array_scenes):
        """Unbiased variances of independent draws, within a sample or between samples: equal but for chance."""
        found = compared(named("gqn-jump"), array_scenes(num_scenes=40), num_samples=8, batch_size=40, turns=(0.0,))
        assert (found.within > 1e-5).all()
        difference = (found.within - found.between)[:, 0]
        assert abs(difference.mean()) < 4 * difference.std(ddof=1) / len(difference) ** 0.5
        assert share(found)[0] == pytest.approx(1.0, abs=0.2)

    def test_the_numbers_are_means_over_pairs_of_samples(self, array_scenes, monkeypatch):
        source, model = array_scenes(num_scenes=3), named("gqn-jump")
        found = compared(model, source, num_samples=3)
        plan = EvaluationPlan(source, num_context=2, num_targets=1)
        (whole,) = Evaluation(source, plan, schedule=SCHEDULE, batch_size=3).batches()
        cameras = rotated(whole.batch.cameras[:, 2:3], torch.tensor([0.0, *TURNS]))
        questions = with_queries(whole.batch, num_context=2, cameras=cameras)
        images = model.predict(questions, SCHEDULE, 2, num_samples=3).expected.double().flatten(3)
        for scene in range(3):
            for place in range(2):
                pairs = {
                    (s, t): 0.5 * (images[s, scene, 0] - images[t, scene, 1 + place]).square().mean().item()
                    for s in range(3)
                    for t in range(3)
                }
                same = [value for (s, t), value in pairs.items() if s == t]
                other = [value for (s, t), value in pairs.items() if s != t]
                assert found.within[scene, place] == pytest.approx(np.mean(same), rel=1e-9)
                assert found.between[scene, place] == pytest.approx(np.mean(other), rel=1e-9)

    @pytest.mark.parametrize("name", ["cgqn", "gqn-jump"])
    def test_they_do_not_depend_on_the_batch_size_and_leave_the_mode_alone(self, array_scenes, name):
        source, model = array_scenes(num_scenes=5), named(name).train()
        one, other = (compared(model, source, batch_size=size) for size in (2, 5))
        assert model.training
        np.testing.assert_allclose(one.within, other.within, rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(one.between, other.between, rtol=1e-4, atol=1e-9)

    def test_the_images_at_the_queries_are_never_read(self, array_scenes, monkeypatch):
        source, model = array_scenes(num_scenes=3), named("cgqn")
        before = compared(model, source)
        plan = EvaluationPlan(source, num_context=2, num_targets=1)
        source.frames[np.arange(3), plan.views[:, 2]] = 0
        after = compared(model, source)
        np.testing.assert_array_equal(before.between, after.between)

    def test_one_sample_cannot_be_compared(self, array_scenes):
        with pytest.raises(ConfigError, match="found 1, expected 2"):
            compared(named("cgqn"), array_scenes(num_scenes=2), num_samples=1)

    def test_a_model_without_camera_queries_is_refused(self, array_scenes):
        model = build(default_registry().variant("vae", size="smoke"))
        model.task = type("Silent", (), {"query_kind": "nothing", "target_kind": "images", "extras": {}})()
        with pytest.raises(ConfigError, match="Silent predicts images at nothing"):
            compared(model, array_scenes(num_scenes=2))


def test_a_partly_consistent_model_is_in_between(array_scenes, monkeypatch):
    """Images made of a draw of the scene and a draw of the query, each of variance 1e-2: share 1/2."""
    model, generator = named("cgqn"), torch.Generator().manual_seed(0)

    def predict(batch, schedule, num_context, *, num_samples):
        shape = (num_samples, len(batch.key), batch.cameras.shape[1] - num_context, 3, 4, 4)
        own = 0.1 * torch.randn(shape, generator=generator)
        shared = 0.1 * torch.randn((*shape[:2], 1, *shape[3:]), generator=generator)
        return Prediction(parameters=own, expected=own + shared, target=own[0])

    monkeypatch.setattr(model, "predict", predict)
    found = compared(model, array_scenes(num_scenes=60), num_samples=8, batch_size=60)
    np.testing.assert_allclose(found.within.mean(0), 0.01, rtol=0.05)
    np.testing.assert_allclose(found.between.mean(0), 0.02, rtol=0.05)
    np.testing.assert_allclose(share(found), 0.5, atol=0.05)
