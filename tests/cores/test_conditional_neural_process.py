"""Conditional neural processes: no latent, every target by itself."""

import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.cores.conditional_neural_process import ConditionalNeuralProcess
from zoo.encoders.pairs import Pairs
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, RepresentationShape, ViewShape

SCENES, CONTEXT, QUERIES, CHANNELS = 2, 4, 3, 6
SCHEDULE = schedule_values(sigma=1.0)


def points(number, *, seed):
    generator = torch.Generator().manual_seed(seed)
    what = torch.randn(SCENES, number, 1, 1, 1, dtype=torch.float64, generator=generator)
    where = torch.randn(SCENES, number, 1, dtype=torch.float64, generator=generator)
    return Views(values=what, poses=where, mask=torch.ones(SCENES, number, dtype=torch.bool))


def problem(*, context=CONTEXT, queries=QUERIES):
    targets = points(queries, seed=1)
    return Episode(points(context, seed=0), targets.poses, targets.values, targets, torch.arange(SCENES))


def make_pair(aggregation, *, width=1, octaves=0):
    """A core and its encoder for inputs of ``width`` numbers."""
    torch.manual_seed(0)
    shapes = CoreShapes(
        RepresentationShape(CHANNELS, 1, 1), (width,), (1, 1, 1), prediction_channels=2, pose_width=width
    )
    config = ConditionalNeuralProcess.Config(aggregation=aggregation, hidden_channels=8, heads=2, octaves=octaves)
    encoder = Pairs(Pairs.Config(channels=CHANNELS, octaves=octaves), view=ViewShape(1, 1, 1, pose_width=width))
    return ConditionalNeuralProcess(config, shapes=shapes).double(), encoder.double()


@pytest.fixture(params=["mean", "attention"])
def pair(request):
    return make_pair(request.param)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_kl_and_log_ratio_are_zero(pair):
    core, encode = pair
    given = problem()
    output = core(given, encode, SCHEDULE)
    assert output.kl.shape == (SCENES,) and (output.kl == 0).all()
    assert output.log_ratio.shape == (SCENES,) and (output.log_ratio == 0).all()
    found = core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=3)
    assert found.shape == (3, SCENES, QUERIES, 2, 1, 1)
    for sample in found:
        close(sample, output.prediction)


@pytest.mark.parametrize("aggregation", ["mean", "attention"])
def test_octaves_replace_inputs_by_their_waves(aggregation):
    """Inputs x, sin(x/4), sin(x/2), sin x, cos(x/4), ...: a model of 1 + 2 * 3 numbers with the same weights."""
    (core, encode), (other, other_encode) = make_pair(aggregation, octaves=3), make_pair(aggregation, width=7)
    given = problem()

    def waves(inputs):
        phases = inputs * torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64)
        return torch.cat([inputs, phases.sin(), phases.cos()], dim=-1)

    context = given.context._replace(poses=waves(given.context.poses))
    expected = other(given._replace(context=context, query=waves(given.query)), other_encode, SCHEDULE).prediction
    close(core(given, encode, SCHEDULE).prediction, expected)


def test_predictions_do_not_depend_on_the_targets(pair):
    core, encode = pair
    given = problem()
    other = given._replace(
        target=given.target + 1.0, target_views=given.target_views._replace(values=given.target + 1.0)
    )
    assert torch.equal(core(other, encode, SCHEDULE).prediction, core(given, encode, SCHEDULE).prediction)


def test_each_target_is_predicted_as_if_it_were_alone(pair):
    core, encode = pair
    given = problem()
    whole = core(given, encode, SCHEDULE).prediction
    alone = core.predict(given.context, given.query[:, 1:2], given.key, encode=encode, schedule=SCHEDULE, num_samples=1)
    close(alone[0], whole[:, 1:2])


def test_the_context_is_a_set_of_pairs(pair):
    core, encode = pair
    given = problem()
    before = core(given, encode, SCHEDULE).prediction
    order = [2, 0, 3, 1]
    permuted = given._replace(context=Views(*(field[:, order] for field in given.context)))
    close(core(permuted, encode, SCHEDULE).prediction, before)
    swapped = given._replace(context=given.context._replace(values=given.context.values[:, order]))
    assert (core(swapped, encode, SCHEDULE).prediction - before).abs().max() > 1e-6
    assert torch.isfinite(core(problem(context=0), encode, SCHEDULE).prediction).all()
