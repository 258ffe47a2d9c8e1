"""Measures of images on predictions whose error is known."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from zoo.config.schedules import evaluation_schedule_values, schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.errors import ConfigError
from zoo.evaluation.images import score_images, sheet_of, to_bytes
from zoo.evaluation.loop import Evaluation
from zoo.model.scene_model import Prediction
from zoo.model.tasks import images_from_frames
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SCHEDULE = schedule_values(sigma=0.7)


class Known(nn.Module):
    """Predicts the truth with a given change per sample."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def predict(self, batch, schedule, num_context, *, num_samples):
        assert not self.training
        target = images_from_frames(batch.frames[:, num_context:])
        images = torch.stack([self.change(target, sample) for sample in range(num_samples)]).clamp(0.0, 1.0)
        return Prediction(parameters=images, expected=images, target=target)


def scored(change, source, *, num_samples=2, batch_size=2, num_targets=2):
    plan = EvaluationPlan(source, num_context=2, num_targets=num_targets)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=batch_size)
    return score_images(Known(change), evaluation, num_samples=num_samples)


@pytest.fixture
def gray(array_scenes):
    """Scenes with values between 64 and 191, so that small errors are not clamped."""
    source = array_scenes(num_scenes=5, image_size=16)
    source.frames = (source.frames // 2 + 64).astype(np.uint8)
    return source


def test_a_perfect_prediction(gray):
    scores = scored(lambda target, sample: target, gray)
    assert {name: values.shape for name, values in scores.items()} == dict.fromkeys(scores, (5,))
    np.testing.assert_array_equal(scores["mse"], 0.0)
    np.testing.assert_allclose(scores["psnr"], 100.0, rtol=1e-6)
    np.testing.assert_allclose(scores["ssim"], 1.0, atol=1e-5)
    np.testing.assert_array_equal(scores["sample_variance"], 0.0)


def test_a_known_error(gray):
    scores = scored(lambda target, sample: target + 0.1, gray)
    np.testing.assert_allclose(scores["mse"], 0.01, rtol=1e-4)
    np.testing.assert_allclose(scores["psnr"], 20.0, rtol=1e-5)
    assert ((scores["ssim"] > 0.9) & (scores["ssim"] < 1.0)).all()


def test_errors_of_samples_are_averaged_before_they_are_squared(gray):
    scores = scored(lambda target, sample: target + (0.1 if sample % 2 else -0.1), gray)
    np.testing.assert_allclose(scores["mse"], 0.0, atol=1e-12)
    np.testing.assert_allclose(scores["sample_variance"], 0.01, rtol=1e-4)


def test_psnr_is_that_of_each_image_and_then_averaged(gray):
    def change(target, sample):
        moved = target.clone()
        moved[:, 0] += 0.1
        moved[:, 1] += 0.01
        return moved

    scores = scored(change, gray)
    np.testing.assert_allclose(scores["psnr"], (20.0 + 40.0) / 2, rtol=1e-4)
    np.testing.assert_allclose(scores["mse"], (0.01 + 0.0001) / 2, rtol=1e-3)


def test_ssim_equals_the_definition_of_wang():
    """Means, variances and covariance under an 11x11 Gaussian window of 1.5 pixels, images mirrored at their borders."""
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(0)
    truth = generator.integers(0, 256, (1, 2, 24, 24, 3), dtype=np.uint8)
    noise = generator.normal(0, 0.1, (3, 24, 24))

    class Source:
        name, split, revision, num_scenes, num_views, image_size = "one", "test", "0", 1, 2, 24
        extras: ClassVar = {}

        def read_extras(self, scenes, views):
            return {}

        def read(self, scenes, views):
            return truth[scenes[:, None], views], np.zeros((1, 2, 5), np.float32)

    plan = EvaluationPlan(Source(), num_context=1, num_targets=1)
    found = score_images(
        Known(lambda target, sample: target + torch.from_numpy(noise).float()),
        Evaluation(Source(), plan, schedule=SCHEDULE, batch_size=1),
        num_samples=1,
    )["ssim"][0]
    x = truth[0, plan.views[0, 1]].astype(np.float64).transpose(2, 0, 1) / 255
    y = np.clip(x + noise, 0, 1)

    def window(channel):
        return gaussian_filter(channel, 1.5, truncate=5 / 1.5, mode="mirror")

    values = []
    for a, b in zip(x, y, strict=True):
        ma, mb = window(a), window(b)
        va, vb, cov = window(a * a) - ma**2, window(b * b) - mb**2, window(a * b) - ma * mb
        c1, c2 = 0.01**2, 0.03**2
        values.append(((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert found == pytest.approx(np.mean(values), abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_numbers_do_not_depend_on_the_batch(gray, batch_size):
    def change(target, sample):
        return target * 0.9 + 0.02 * sample

    expected = scored(change, gray, batch_size=2)
    for name, values in scored(change, gray, batch_size=batch_size).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-9)


def test_predictions_do_not_look_at_the_targets(array_scenes):
    source = array_scenes(num_scenes=3)
    plan = EvaluationPlan(source, num_context=2, num_targets=1)
    variant = default_registry().variant("gqn-tower", size="smoke")
    model = build(variant, seed=0)
    evaluation = Evaluation(source, plan, schedule=evaluation_schedule_values(variant.training), batch_size=3)
    before = sheet_of(model, evaluation, num_samples=3, mean_samples=4)
    targets = plan.views[:, 2:]
    source.frames[np.arange(3)[:, None], targets] = 255 - source.frames[np.arange(3)[:, None], targets]
    after = sheet_of(model, evaluation, num_samples=3, mean_samples=4)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.samples, after.samples)
    np.testing.assert_array_equal(before.context, after.context)
    assert not np.array_equal(before.truth, after.truth)
    assert model.training


def test_a_sheet_shows_what_the_source_holds(array_scenes):
    source = array_scenes(num_scenes=4)
    plan = EvaluationPlan(source, num_context=2, num_targets=1)
    variant = default_registry().variant("vae", size="smoke")
    model = build(variant, seed=0)
    scenes = np.array([3, 1])
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=2, scenes=scenes)
    sheet = sheet_of(model, evaluation, num_samples=3, mean_samples=2)
    np.testing.assert_array_equal(sheet.context, source.frames[scenes[:, None], plan.views[scenes][:, :2]])
    np.testing.assert_array_equal(sheet.truth, source.frames[scenes, plan.views[scenes][:, 2]])
    assert sheet.samples.shape == (2, 3, 16, 16, 3)
    assert sheet.mean.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(sheet.mean, sheet.samples.astype(float).mean(1), atol=1.1)
    noisy = sheet_of(model, evaluation, num_samples=3, mean_samples=2, pixel_noise=True)
    np.testing.assert_array_equal(noisy.mean, sheet.mean)
    assert (noisy.samples != sheet.samples).mean() > 0.5


def test_images_below_the_window_of_ssim_are_refused(array_scenes):
    with pytest.raises(ConfigError, match="images of 4 pixels"):
        scored(lambda target, sample: target, array_scenes(image_size=4))
    assert np.isfinite(scored(lambda target, sample: target, array_scenes(image_size=8))["ssim"]).all()


def test_bytes_are_rounded_not_truncated():
    images = torch.tensor([0.0, 0.49 / 255, 0.51 / 255, 1.0]).view(1, 1, 4).expand(3, 1, 4)
    np.testing.assert_array_equal(to_bytes(images)[0, :, 0], [0, 0, 1, 255])


def test_one_sample_the_mean_and_the_best_differ(gray):
    """Errors +0.1, -0.1 and +0.02: the mean is 0.0067 off, one sample 0.1, the best 0.02."""
    errors = (0.1, -0.1, 0.02)
    scores = scored(lambda target, sample: target + errors[sample], gray, num_samples=3)
    mean = sum(errors) / 3
    for suffix, error in (("", mean), ("_one", 0.1), ("_best", 0.02)):
        np.testing.assert_allclose(scores[f"mse{suffix}"], error**2, rtol=1e-3)
        np.testing.assert_allclose(scores[f"mae_255{suffix}"], 255 * abs(error), rtol=1e-3)
        np.testing.assert_allclose(scores[f"rmse_255{suffix}"], 255 * abs(error), rtol=1e-3)
        np.testing.assert_allclose(scores[f"psnr{suffix}"], -20 * np.log10(abs(error)), rtol=1e-3)
    assert (scores["ssim"] > scores["ssim_best"]).all() and (scores["ssim_best"] > scores["ssim_one"]).all()


def test_the_best_sample_is_chosen_for_every_target_by_itself(gray):
    def change(target, sample):
        errors = torch.tensor([[0.2, 0.1], [0.1, 0.2]])[sample]  # of two targets
        return target + errors[None, :, None, None, None]

    scores = scored(change, gray)
    np.testing.assert_allclose(scores["mse_best"], 0.01, rtol=1e-3)
    np.testing.assert_allclose(scores["mse_one"], (0.04 + 0.01) / 2, rtol=1e-3)
