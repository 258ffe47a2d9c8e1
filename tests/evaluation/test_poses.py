"""Errors of cameras, and scores of reversed models."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.config.schedules import evaluation_schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.errors import ConfigError
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.poses import mixed_density, point_estimate, pose_density, pose_errors, score_poses
from zoo.likelihoods.pose_mixture import PoseMixture
from zoo.registry.registry import default_registry
from zoo.registry.variant import build


def smoke(name):
    variant = default_registry().variant(name, size="smoke")
    return build(variant, seed=0), evaluation_schedule_values(variant.training)


def test_errors_by_hand():
    truth = torch.tensor([[1.0, 2.0, 3.0, 0.1, 0.0], [0.0, 0.0, 0.0, math.pi - 0.05, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    estimate = torch.tensor(
        [[4.0, 6.0, 3.0, 0.1, 0.0], [0.0, 0.0, 0.0, -math.pi + 0.05, 0.0], [0.0, 0.0, 0.0, 1.0, 0.5]]
    )
    errors = pose_errors(estimate, truth)
    np.testing.assert_allclose(errors.position, [5.0, 0.0, 0.0], atol=1e-12)
    direction = math.degrees(math.acos(math.cos(0.5) * math.cos(1.0)))
    np.testing.assert_allclose(errors.angle, [0.0, math.degrees(0.1), direction], atol=1e-4)
    level = pose_errors(estimate, truth, coordinates=("x", "yaw"))
    np.testing.assert_allclose(level.position, [3.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(level.angle, [0.0, math.degrees(0.1), math.degrees(1.0)], atol=1e-4)


def test_the_angle_of_opposite_cameras_is_half_a_turn_and_small_ones_are_exact():
    truth = torch.zeros(2, 5, dtype=torch.float64)
    estimate = torch.tensor([[0, 0, 0, math.pi, 0], [0, 0, 0, 1e-7, 0]], dtype=torch.float64)
    np.testing.assert_allclose(pose_errors(estimate, truth).angle, [180.0, math.degrees(1e-7)], rtol=1e-9)


def unimodal(cameras):
    """Predictions [S, 1, 1, C', 1, 1] of a mixture of one component at (x, yaw)."""
    rows = [[0.0, x, -2.0, 4 * math.cos(yaw), 4 * math.sin(yaw)] for x, yaw in cameras]
    return torch.tensor(rows, dtype=torch.float64)[:, None, None, :, None, None]


def test_samples_are_mixed_and_the_estimate_is_one_of_them_not_their_average():
    density = PoseMixture(PoseMixture.Config(components=1, coordinates=["x", "yaw"]))
    parameters = unimodal([(-1.0, 0.0), (1.0, 3.0), (1.1, 3.0)])
    estimate = point_estimate(density, parameters)[0, 0]
    assert 1.0 <= estimate[0] <= 1.1 and estimate[3].item() == pytest.approx(3.0)
    cameras = torch.randn(1, 1, 6, 5, dtype=torch.float64)
    each = torch.stack([density.log_density(one, cameras) for one in parameters])
    expected = each.exp().mean(0).log()
    torch.testing.assert_close(mixed_density(density, parameters, cameras), expected)


@pytest.mark.parametrize("name", ["reversed-gqn", "reversed-gqn-attention", "reversed-gqn-latent"])
def test_scores_of_every_scene_whatever_the_batch(array_scenes, name):
    source = array_scenes(num_scenes=5)
    plan = EvaluationPlan(source, num_context=2, num_targets=2)
    model, schedule = smoke(name)
    model.train()
    calls = []
    evaluation = Evaluation(source, plan, schedule=schedule, batch_size=5, progress=lambda *step: calls.append(step))
    one, other = (score_poses(model, replace(evaluation, batch_size=size), num_samples=4) for size in (2, 5))
    assert model.training and calls[-1] == (5, 5)
    assert set(one) == {"position_error", "angle_error", "pose_log_density"}
    for column, values in one.items():
        assert values.shape == (5,) and np.isfinite(values).all()
        np.testing.assert_allclose(other[column], values, rtol=1e-4, err_msg=column)
    bound = -score_scenes(model, evaluation)["nelbo"]
    if model.core.latents == "none":
        np.testing.assert_allclose(one["pose_log_density"], bound, rtol=1e-5)


def test_errors_are_those_of_the_predictions(array_scenes, monkeypatch):
    source = array_scenes(num_scenes=4)
    plan = EvaluationPlan(source, num_context=1, num_targets=1)
    model, schedule = smoke("reversed-gqn-latent")
    monkeypatch.setattr(model.likelihood, "mean", lambda parameters: torch.zeros(*parameters.shape[:3], 5, 1, 1))
    found = score_poses(model, Evaluation(source, plan, schedule=schedule, batch_size=4), num_samples=2)
    truth = source.cameras[np.arange(4), plan.views[:, 1]]
    np.testing.assert_allclose(found["position_error"], np.linalg.norm(truth[:, :3], axis=1), rtol=1e-5)
    cosine = np.cos(truth[:, 3]) * np.cos(truth[:, 4])
    np.testing.assert_allclose(found["angle_error"], np.degrees(np.arccos(cosine)), rtol=1e-4)


def test_a_likelihood_of_images_is_no_density_of_cameras():
    with pytest.raises(ConfigError, match="density cannot be evaluated at other cameras"):
        pose_density(smoke("vae")[0])
