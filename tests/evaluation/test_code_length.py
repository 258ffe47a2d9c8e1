"""A sigma fitted for a code of 8-bit values."""

import math

import pytest
import torch

from zoo.config.schedules import evaluation_schedule_values, schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.evaluation.bounds import Bounds, score_scenes
from zoo.evaluation.code_length import SMALLEST, best_sigma, code_schedule_values, supports_bits_per_dim
from zoo.evaluation.loop import Evaluation
from zoo.likelihoods.annealed_gaussian import AnnealedGaussian
from zoo.likelihoods.laplace import Laplace
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SCHEDULE = schedule_values(sigma=0.7)
GAUSSIAN = AnnealedGaussian(AnnealedGaussian.Config())


def images(errors):
    target = (0.5 + errors).mul(255).round().div(255)
    return torch.full_like(target, 0.5), target


def test_the_sigma_of_gaussian_errors_is_found():
    errors = 0.08 * torch.randn(40, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    prediction, target = images(errors)
    root = (target - prediction).square().mean().sqrt().item()
    assert best_sigma(GAUSSIAN, prediction, target, schedule=SCHEDULE) == pytest.approx(root, rel=2e-3)


def test_no_other_sigma_gives_a_shorter_code():
    errors = 0.3 * torch.rand(4, 2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) - 0.1
    prediction, target = images(errors)
    for likelihood in (GAUSSIAN, Laplace(Laplace.Config())):

        def mass(sigma, likelihood=likelihood):
            return likelihood.log_mass(prediction, target, schedule_values(sigma=sigma)).mean().item()

        best = best_sigma(likelihood, prediction, target, schedule=SCHEDULE)
        assert all(mass(best) >= mass(best * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))


def test_a_perfect_prediction_has_the_smallest_sigma_that_is_tried():
    prediction, target = images(torch.zeros(2, 1, 3, 8, 8))
    target = prediction = (target * 255).round() / 255
    assert best_sigma(GAUSSIAN, prediction, target, schedule=SCHEDULE) == pytest.approx(SMALLEST, rel=1e-3)


def test_bits_are_a_code_and_the_fitted_sigma_makes_it_shorter(array_scenes):
    source, calibration = array_scenes(num_scenes=6), array_scenes(num_scenes=5, seed=1)
    variant = default_registry().variant("gqn-tower", size="smoke")
    model, chosen = build(variant).train(), evaluation_schedule_values(variant.training)
    options = {"num_context": 2, "num_targets": 2}
    fitted = code_schedule_values(
        model, Evaluation(calibration, EvaluationPlan(calibration, **options), schedule=chosen, batch_size=2)
    )
    assert model.training and supports_bits_per_dim(model)
    evaluation = Evaluation(source, EvaluationPlan(source, **options), schedule=chosen, batch_size=4)

    def bits(code_schedule):
        scores = score_scenes(model, evaluation, bounds=Bounds(code_schedule=code_schedule))
        return scores["bits_per_dim"], scores

    best, scores = bits(fitted)
    assert best.mean() < bits(chosen)[0].mean()
    assert 8.0 < best.mean() < 9.0  # noise has 8 bits; the rest is what a Gaussian does not fit, and the latents
    # The ELBO is at the sigma of evaluation, whatever the code's.
    plain = score_scenes(model, evaluation)
    assert (plain["nelbo"] == scores["nelbo"]).all()


def test_a_likelihood_without_sigma_keeps_its_schedule_values(array_scenes):
    variant = default_registry().variant("gqn-pixel-sigma", size="smoke")
    source = array_scenes()
    plan = EvaluationPlan(source, num_context=1, num_targets=1)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=4)
    assert code_schedule_values(build(variant), evaluation) is SCHEDULE
    assert math.isclose(float(SCHEDULE.sigma), 0.7, rel_tol=1e-6)
