"""Predictions at inputs of one's own choice: mean, and the deviation over samples and noise together."""

import numpy as np
import pytest
import torch
from torch import nn

from zoo.config.schedules import schedule_values
from zoo.evaluation.values import predict_at
from zoo.likelihoods.learned_gaussian import LearnedGaussian
from zoo.model.scene_model import Prediction
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SCHEDULE = schedule_values(sigma=1.0)


class Known(nn.Module):
    """Sample s of the mean is x + s, the noise 0.5."""

    def __init__(self):
        super().__init__()
        self.likelihood = LearnedGaussian(LearnedGaussian.Config(scale="global", initial_scale=0.5))

    def predict(self, batch, schedule, num_context, *, num_samples):
        queries = batch.extras["inputs"][:, num_context:, :1, None, None]
        assert (batch.extras["values"][:, num_context:] == 0).all()
        parameters = torch.stack([queries + sample for sample in range(num_samples)])
        return Prediction(parameters=parameters, expected=parameters, target=queries)


def test_the_deviation_is_that_of_samples_and_noise():
    inputs, queries = np.zeros((2, 3, 1)), np.random.default_rng(0).normal(size=(2, 5, 1))
    found = predict_at(Known(), inputs, inputs, queries=queries, schedule=SCHEDULE, num_samples=3)
    assert found.samples.shape == (3, 2, 5)
    np.testing.assert_allclose(found.mean, queries[..., 0] + 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.scale, np.sqrt(2.0 / 3.0 + 0.25), rtol=1e-6)


def test_functions_are_moved_to_the_device_of_the_schedule():
    """The meta device stands for a GPU, on which analyses of functions ended with an error of torch."""
    seen = []

    class Elsewhere(Known):
        def predict(self, batch, schedule, num_context, *, num_samples):
            seen.extend(field.device.type for field in (*batch[:4], *batch.extras.values()))
            parameters = torch.zeros(num_samples, 2, 5, 1, 1, 1)
            return Prediction(parameters=parameters, expected=parameters, target=parameters[0])

    inputs, queries = np.zeros((2, 3, 1)), np.zeros((2, 5, 1))
    there = schedule_values(sigma=1.0, device="meta")
    assert predict_at(Elsewhere(), inputs, inputs, queries=queries, schedule=there, num_samples=3).mean.shape == (2, 5)
    assert set(seen) == {"meta"}


@pytest.mark.parametrize("name", ["np-1d", "convcnp-digits"])
def test_a_model_is_queried_with_the_given_context(name):
    model = build(default_registry().variant(name, size="smoke")).eval()
    rng, width = np.random.default_rng(0), model.task.config.input_width
    inputs, values, queries = rng.normal(size=(2, 4, width)), rng.normal(size=(2, 4, 1)), rng.normal(size=(2, 3, width))
    found = predict_at(model, inputs, values, queries=queries, schedule=SCHEDULE, num_samples=4)
    assert found.mean.shape == found.scale.shape == (2, 3) and (found.scale > 0).all()
    other = predict_at(model, inputs, values + 1.0, queries=queries, schedule=SCHEDULE, num_samples=4)
    assert np.abs(other.mean - found.mean).max() > 1e-6
    alone = predict_at(model, inputs, values, queries=queries[:, :1], schedule=SCHEDULE, num_samples=4)
    np.testing.assert_allclose(alone.mean, found.mean[:, :1], rtol=1e-4, atol=1e-6)
