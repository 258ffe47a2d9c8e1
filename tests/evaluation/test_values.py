"""Log-likelihoods of values on predictions whose distribution is known, and the exact posterior beside them."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from torch import nn

from zoo.config.schedules import schedule_values
from zoo.data.make import make_dataset
from zoo.data.opening import open_scenes
from zoo.data.plan import EvaluationPlan
from zoo.episode import Episode, Views
from zoo.errors import DataError
from zoo.evaluation.gaussian_process import exact_predictions, score_exactly
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.values import NAMES, score_values
from zoo.likelihoods.learned_gaussian import LearnedGaussian
from zoo.model.objectives import Objective
from zoo.model.scene_model import Prediction
from zoo.nn.noise import standard_normal

SCHEDULE = schedule_values(sigma=1.0)
SHARED, OWN = 0.8, 0.5  # standard deviations of what all targets of a scene share and of each target's own


class Mixture(nn.Module):
    """y^q = z + noise with one z for a scene: the joint distribution of its targets is a Gaussian that is known."""

    def __init__(self, objective="elbo"):
        super().__init__()
        self.core, self.encoder = SimpleNamespace(latents="scene"), None
        self.objective = Objective(objective)
        self.likelihood = LearnedGaussian(LearnedGaussian.Config(scale="global", initial_scale=OWN))

    def episode(self, batch, *, num_context):
        values = batch.extras["values"]
        empty = Views(values[:, :0], values[:, :0], torch.ones(len(values), 0, dtype=torch.bool))
        return Episode(empty, values[:, num_context:], values[:, num_context:], empty, batch.key)

    def score(self, episode, schedule, *, encode):
        """The terms of one sample of q(z | y), the exact posterior with 1.1 times its standard deviation."""
        y = episode.target[..., 0]
        precision = 1 / SHARED**2 + y.shape[1] / OWN**2
        mean, scale = y.sum(1) / OWN**2 / precision, 1.1 * precision**-0.5
        noise = standard_normal(episode.key, ())
        z = mean + scale * noise
        ratio = -0.5 * noise**2 - math.log(scale) + 0.5 * (z / SHARED) ** 2 + math.log(SHARED)
        log_likelihood = (-0.5 * ((y - z[:, None]) / OWN) ** 2 - math.log(OWN * math.sqrt(2 * math.pi))).sum(1)
        return SimpleNamespace(log_likelihood=log_likelihood, log_ratio=ratio)

    def predict(self, batch, schedule, num_context, *, num_samples):
        assert not self.training
        target = batch.extras["values"][:, num_context:, :, None, None]
        z = torch.stack([SHARED * standard_normal(batch.key + 1000 * s, (1,)) for s in range(num_samples)])
        mean = z[:, :, :, None, None, None].expand(-1, *target.shape)
        return Prediction(parameters=mean, expected=mean, target=target)


@pytest.fixture
def source(array_scenes):
    values = np.random.default_rng(0).normal(0.3, 0.7, (5, 6, 1)).astype(np.float32)
    return replace(array_scenes(num_scenes=5, image_size=0), arrays={"inputs": 0.0 * values, "values": values})


def scored(source, *, num_samples=1500, batch_size=5, num_targets=3, objective="elbo"):
    plan = EvaluationPlan(source, num_context=2, num_targets=num_targets)
    evaluation = Evaluation(source, plan, schedule=SCHEDULE, batch_size=batch_size)
    scores = score_values(Mixture(objective), evaluation, num_samples=num_samples)
    targets = source.arrays["values"][np.arange(5)[:, None], plan.views[:, 2:], 0].astype(np.float64)
    return scores, targets


def test_the_joint_one_is_of_all_targets_together_and_the_marginal_one_of_each(source):
    scores, targets = scored(source)
    assert set(scores) == set(NAMES) and all(values.shape == (5,) for values in scores.values())
    covariance = SHARED**2 + OWN**2 * np.eye(3)
    joint = multivariate_normal(np.zeros(3), covariance).logpdf(targets) / 3
    np.testing.assert_allclose(scores["joint_log_likelihood"], joint, atol=0.01)
    marginal = norm(0.0, math.hypot(SHARED, OWN)).logpdf(targets).mean(1)
    np.testing.assert_allclose(scores["marginal_log_likelihood"], marginal, atol=0.08)
    assert np.abs(joint - marginal).max() > 0.1


def test_few_samples_of_the_posterior_suffice_where_those_of_the_prior_do_not(source):
    """The mixture over samples of the prior is a bound too, and much looser for many targets."""
    scores, targets = scored(source, num_samples=4, num_targets=4)
    exact = multivariate_normal(np.zeros(4), SHARED**2 + OWN**2 * np.eye(4)).logpdf(targets) / 4
    np.testing.assert_allclose(scores["joint_log_likelihood"], exact, atol=0.05)
    z = SHARED * np.random.default_rng(0).normal(size=(400, 5, 4, 1))
    of_prior = logsumexp(norm(z, OWN).logpdf(targets[:, None]).sum(-1), axis=2) - math.log(4)
    assert of_prior.mean() / 4 < scores["joint_log_likelihood"].mean() - 0.1


def test_a_model_trained_by_maximum_likelihood_has_samples_of_the_prior(source, monkeypatch):
    monkeypatch.setattr(Mixture, "score", None)  # its posterior may be anything
    scores, targets = scored(source, objective="maximum_likelihood")
    exact = multivariate_normal(np.zeros(3), SHARED**2 + OWN**2 * np.eye(3)).logpdf(targets) / 3
    np.testing.assert_allclose(scores["joint_log_likelihood"], exact, atol=0.05)


def test_the_error_is_of_the_mean_over_samples(source):
    scores, targets = scored(source)
    np.testing.assert_allclose(scores["rmse"], np.sqrt(np.square(targets).mean(1)), atol=0.06)


def test_with_one_target_the_two_agree(source):
    scores, _ = scored(source, num_targets=1)
    np.testing.assert_allclose(scores["joint_log_likelihood"], scores["marginal_log_likelihood"], atol=0.08)


def test_the_batch_size_changes_nothing_and_the_mode_of_the_model_is_left_as_it_was(source):
    one, other = scored(source, num_samples=3, batch_size=5)[0], scored(source, num_samples=3, batch_size=1)[0]
    for name in NAMES:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6)
    calls = []
    model, plan = Mixture().train(), EvaluationPlan(source, num_context=0, num_targets=2)
    evaluation = Evaluation(
        source, plan, schedule=SCHEDULE, batch_size=2, progress=lambda done, total: calls.append((done, total))
    )
    score_values(model, evaluation, num_samples=1)
    assert model.training and calls == [(2, 5), (4, 5), (5, 5)]


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions") / "store"
    make_dataset("functions_smooth", folder=folder, num_scenes={"test": 60}, num_views=12, workers=0)
    return open_scenes(folder, "test")


def test_the_exact_posterior_is_scored_jointly_and_marginally(functions):
    plan = EvaluationPlan(functions, num_context=4, num_targets=3)
    scores = score_exactly(functions, plan)
    assert set(scores) == {*NAMES, "spread"}
    for scene, (distribution, values) in enumerate(exact_predictions(functions, plan, scenes=np.arange(3))):
        exact = multivariate_normal(distribution.mean, distribution.covariance)
        assert scores["joint_log_likelihood"][scene] == pytest.approx(exact.logpdf(values) / 3)
        marginal = norm(distribution.mean, distribution.scale).logpdf(values).mean()
        assert scores["marginal_log_likelihood"][scene] == pytest.approx(marginal)
        assert scores["rmse"][scene] == pytest.approx(np.sqrt(np.mean((distribution.mean - values) ** 2)))


def test_the_exact_posterior_improves_with_context_and_is_calibrated(functions):
    scores = {
        number: score_exactly(functions, EvaluationPlan(functions, num_context=number, num_targets=3))
        for number in (0, 2, 8)
    }
    means = [scores[number]["joint_log_likelihood"].mean() for number in (0, 2, 8)]
    assert means[0] < means[1] < means[2]
    plan = EvaluationPlan(functions, num_context=4, num_targets=3)
    found = exact_predictions(functions, plan, scenes=np.arange(60))
    white = np.concatenate([(values - exact.mean) / exact.scale for exact, values in found])
    assert abs(np.square(white).mean() - 1.0) < 0.45


def test_without_kernels_there_is_no_exact_posterior(source):
    with pytest.raises(DataError, match="arrays: has no extra 'kernel'"):
        score_exactly(source, EvaluationPlan(source, num_context=1, num_targets=1))
