"""The mean image and the nearest view, against sums by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.errors import ConfigError
from zoo.evaluation.baselines import (
    MEAN_IMAGE,
    NEAREST_VIEW,
    baseline_predictor,
    mean_image,
    nearest_view,
    score_baseline,
)
from zoo.evaluation.loop import Evaluation

SCHEDULE = schedule_values(sigma=0.7)
FLOOR = 768 * (0.5 * math.log(2 * math.pi) + math.log(0.7))


def test_the_mean_image_is_the_mean_over_scenes_and_views(array_scenes):
    source = array_scenes(num_scenes=7)
    expected = source.frames.astype(np.float64).mean((0, 1)) / 255.0
    np.testing.assert_allclose(mean_image(source).permute(1, 2, 0).numpy(), expected, rtol=1e-6)


def test_the_nearest_view_is_nearest_in_place_and_direction(array_scenes):
    source = array_scenes(num_scenes=3)
    source.cameras = np.zeros_like(source.cameras)
    source.cameras[:, :, 3] = [0.0, 0.5, 3.1, -3.1, 1.0, 2.0]  # yaw: 3.1 and -3.1 are neighbours
    source.cameras[1, 4, 0] = 50.0
    plan = EvaluationPlan(source, num_context=5, num_targets=1)
    ((_, batch, number),) = Evaluation(source, plan, schedule=SCHEDULE, batch_size=3).batches()
    found = nearest_view(batch, number)
    for scene in range(3):
        yaw, x = source.cameras[scene, plan.views[scene], 3], source.cameras[scene, plan.views[scene], 0]
        chord = (2 * np.sin((yaw[:5] - yaw[5]) / 2)) ** 2 + (x[:5] - x[5]) ** 2
        expected = source.frames[scene, plan.views[scene, np.argmin(chord)]] / 255.0
        np.testing.assert_allclose(found[scene, 0].permute(1, 2, 0).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [MEAN_IMAGE, NEAREST_VIEW])
@pytest.mark.parametrize("batch_size", [2, 5])
def test_scores_are_those_of_the_gaussian_of_fixed_sigma(array_scenes, name, batch_size):
    source, train = array_scenes(num_scenes=5), array_scenes(num_scenes=4, seed=1)
    plan = EvaluationPlan(source, num_context=3, num_targets=2)
    guess = baseline_predictor(name, train=train)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=batch_size)
    found = score_baseline(guess, evaluation)
    ((_, batch, number),) = replace(evaluation, batch_size=5).batches()
    truth = source.frames[np.arange(5)[:, None], plan.views[:, 3:]].transpose(0, 1, 4, 2, 3) / 255.0
    error = (truth - guess(batch, number).double().numpy()) ** 2
    scores = found.per_scene
    assert scores["scene"].tolist() == [0, 1, 2, 3, 4] and found.code_sigma is None
    np.testing.assert_allclose(scores["nelbo_excess"], error.sum((2, 3, 4)).mean(1) / 2 / 0.49, rtol=1e-5)
    np.testing.assert_allclose(scores["floor"], FLOOR, rtol=1e-6)
    np.testing.assert_allclose(scores["mse"], error.mean((1, 2, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(scores["rmse_255"], 255 * np.sqrt(error.mean((2, 3, 4))).mean(1), rtol=1e-5)
    assert not scores["kl"].any() and "bits_per_dim" not in scores


def test_a_sigma_is_fitted_on_other_scenes(array_scenes):
    source, other = array_scenes(num_scenes=5), array_scenes(num_scenes=4, seed=1)
    reported, calibration = (
        Evaluation(scenes, EvaluationPlan(scenes, num_context=1, num_targets=1), schedule=SCHEDULE, batch_size=3)
        for scenes in (source, other)
    )
    guess = baseline_predictor(MEAN_IMAGE, train=other)
    found = score_baseline(guess, reported, calibration=calibration)
    assert found.code_sigma == pytest.approx(math.sqrt(1 / 12), rel=0.2)  # of uniform noise
    assert 8.0 < found.per_scene["bits_per_dim"].mean() < 8.5


def test_images_too_small_for_ssim_are_refused(array_scenes):
    source = array_scenes(image_size=4)
    plan = EvaluationPlan(source, num_context=1, num_targets=1)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=3)
    with pytest.raises(ConfigError, match="SSIM needs at least 6"):
        score_baseline(lambda batch, number: torch.zeros(()), evaluation)
