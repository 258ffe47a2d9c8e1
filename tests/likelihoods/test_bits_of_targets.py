"""Bits per dimension of whole evaluations: 8 for a model that knows nothing, however many targets a scene has."""

import math

import pytest
import torch

from zoo.bench.measurement import evaluate
from zoo.bench.protocol import Protocol
from zoo.likelihoods.annealed_gaussian import AnnealedGaussian
from zoo.model.interfaces import Likelihood
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.training.trained_model import TrainedModel, TrainingCost


class EveryByteAlike(AnnealedGaussian):
    """P(x) = 256^-D."""

    discrete = has_mass = True
    uses_sigma = False

    def log_mass(self, prediction, target, schedule):
        return self.log_prob(prediction, target, schedule)

    def log_prob(self, prediction, target, schedule):
        return -torch.full(target.shape[:2], math.prod(target.shape[2:]) * math.log(256.0), dtype=torch.float64)

    def floor(self, target_dims, schedule):
        return torch.zeros(())


def measured(array_scenes, tmp_path, name, *, targets, likelihood: type[Likelihood] | None = None, calibration=True):
    variant = default_registry().variant(name, size="smoke")
    model = build(variant).eval()
    if likelihood is not None:
        model.likelihood = likelihood(likelihood.Config())
    config = {**variant.config(), "seed": 0}
    spent = TrainingCost(1, 1.0)
    trained = TrainedModel(model=model, variant=variant, run=tmp_path, config=config, step=1, seconds=1.0, spent=spent)
    protocol = Protocol(repeats=0, prediction_samples=1, num_context=1, num_targets=targets, metrics=("bits-per-dim",))
    scenes = array_scenes(num_scenes=4)
    others = array_scenes(num_scenes=4, seed=1) if calibration else None
    return evaluate(trained, scenes, protocol=protocol, calibration=others)


@pytest.mark.parametrize("targets", [1, 3])
def test_a_uniform_model_costs_eight_bits(array_scenes, tmp_path, targets):
    row = measured(array_scenes, tmp_path, "deterministic", targets=targets, likelihood=EveryByteAlike)
    assert row.metrics["bits_per_dim"].value == pytest.approx(8.0, rel=1e-6)
    assert row.metrics["nelbo"].value == pytest.approx(768 * math.log(256.0), rel=1e-6)


def test_the_bits_of_latents_are_counted(array_scenes, tmp_path):
    """The code of an image is that of its latents and that of its pixels given them."""
    row = measured(array_scenes, tmp_path, "gqn-tower", targets=2, likelihood=EveryByteAlike)
    latents = row.metrics["kl"].value / 768 / math.log(2.0)
    assert latents > 0
    assert row.metrics["bits_per_dim"].value == pytest.approx(8.0 + latents, rel=1e-6)


@pytest.mark.parametrize("targets", [1, 3])
def test_the_bits_of_a_mixture_are_those_of_its_probabilities(array_scenes, tmp_path, targets):
    row = measured(array_scenes, tmp_path, "gqn-mixture", targets=targets)
    assert row.key.sigma is None
    nats = row.metrics["kl"].value - row.metrics["log_likelihood"].value
    assert row.metrics["bits_per_dim"].value == pytest.approx(nats / 768 / math.log(2.0), rel=1e-6)
    assert 8.0 < row.metrics["bits_per_dim"].value < 12.0  # noise cannot be told in less than its 8 bits


@pytest.mark.parametrize("name", ["gqn-learned-sigma", "gqn-pixel-sigma", "gqn-laplace", "gqn-tower"])
def test_densities_are_turned_into_masses(array_scenes, tmp_path, name):
    row = measured(array_scenes, tmp_path, name, targets=2)
    assert 8.0 < row.metrics["bits_per_dim"].value < 12.0
    assert len(row.per_scene["bits_per_dim"]) == 4 and row.metrics["bits_per_dim"].unit == "bits/dim"
    has_sigma = name in ("gqn-laplace", "gqn-tower")
    assert row.key.sigma == (0.7 if has_sigma else None)
    assert ("code_sigma" in row.metrics) is has_sigma
    if has_sigma:
        assert row.metrics["code_sigma"].n == 4 and row.metrics["code_sigma"].value != pytest.approx(0.7, rel=0.05)


def test_no_sigma_is_fitted_without_other_scenes(array_scenes, tmp_path):
    assert "bits_per_dim" not in measured(array_scenes, tmp_path, "gqn-tower", targets=1, calibration=False).metrics
    assert "bits_per_dim" in measured(array_scenes, tmp_path, "gqn-pixel-sigma", targets=1, calibration=False).metrics
