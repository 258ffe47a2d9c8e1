"""Convolutional neural processes, with and without latents: shifts, sets, and the latent function on the grid."""

import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.cores.convolutional_cnp import ConvolutionalCnp
from zoo.cores.convolutional_np import ConvolutionalNp
from zoo.cores.neural_process import concatenate_views
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, RepresentationShape
from zoo.nn.noise import fold

SCENES, CONTEXT, QUERIES = 2, 4, 3
SCHEDULE = schedule_values(sigma=1.0)
SMALL = {"reach": 2.0, "points_per_unit": 4.0, "channels": 6, "layers": 2, "kernel_size": 3}
CASES = [(part, width) for part in (ConvolutionalCnp, ConvolutionalNp) for width in (1, 2)]


def points(number, width, *, seed):
    generator = torch.Generator().manual_seed(seed)
    what = torch.randn(SCENES, number, 1, 1, 1, dtype=torch.float64, generator=generator)
    where = 2.0 * torch.rand(SCENES, number, width, dtype=torch.float64, generator=generator) - 1.0
    return Views(values=what, poses=where, mask=torch.ones(SCENES, number, dtype=torch.bool))


def problem(width=1, *, context=CONTEXT, queries=QUERIES):
    targets = points(queries, width, seed=1)
    return Episode(points(context, width, seed=0), targets.poses, targets.values, targets, torch.arange(SCENES))


def made(part, width=1, **changes):
    torch.manual_seed(0)
    shapes = CoreShapes(RepresentationShape(0, 1, 1), (width,), (1, 1, 1), prediction_channels=2, pose_width=width)
    more = {"z_channels": 2} if part is ConvolutionalNp else {}
    return part(part.Config(**SMALL | more | changes), shapes=shapes).double()


def predicted(core, given, *, samples=2):
    return core.predict(given.context, given.query, given.key, encode=None, schedule=SCHEDULE, num_samples=samples)


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("part", "width"), CASES)
class TestBoth:
    def test_a_shift_of_all_inputs_shifts_the_predictions(self, part, width):
        core, given = made(part, width), problem(width)
        shift = torch.tensor([7.37, -3.1])[:width].double()
        moved = given._replace(
            context=given.context._replace(poses=given.context.poses + shift), query=given.query + shift
        )
        before = predicted(core, given)
        close(predicted(core, moved), before)
        nudged = given._replace(query=given.query + 0.3)
        assert (predicted(core, nudged) - before).abs().max() > 1e-4
        fixed = made(part, width, anchor="origin")
        assert (predicted(fixed, moved) - predicted(fixed, given)).abs().max() > 1e-4

    def test_context_and_targets_are_sets(self, part, width):
        core, given = made(part, width), problem(width)
        before = core(given, None, SCHEDULE)
        context = Views(*(field[:, [2, 0, 3, 1]] for field in given.context))
        for one, other in zip(core(given._replace(context=context), None, SCHEDULE), before, strict=True):
            close(one, other)
        order = [1, 2, 0]
        targets = Views(*(field[:, order] for field in given.target_views))
        permuted = given._replace(query=targets.poses, target=targets.values, target_views=targets)
        after = core(permuted, None, SCHEDULE)
        close(after.prediction, before.prediction[:, order])
        close(after.kl, before.kl)

    def test_a_prediction_depends_on_no_other_query(self, part, width):
        core, given = made(part, width), problem(width)
        alone = predicted(core, given._replace(query=given.query[:, 1:2]))
        close(alone, predicted(core, given)[:, :, 1:2])

    def test_padding_changes_nothing_and_no_context_has_a_defined_value(self, part, width):
        core, given = made(part, width), problem(width)
        more = points(2, width, seed=9)
        padded = given._replace(context=concatenate_views(given.context, more._replace(mask=~more.mask)))
        close(predicted(core, padded), predicted(core, given))
        assert torch.isfinite(core(problem(width, context=0), None, SCHEDULE).prediction).all()

    def test_what_was_observed_matters_where_it_was_observed(self, part, width):
        """One residual convolution of three cells sees a quarter of a unit far: beyond, a value has no effect."""
        core, given = made(part, width, layers=1, reach=6.0), problem(width)
        given = given._replace(query=given.context.poses[:, :1] + torch.tensor([[[0.05]], [[30.0]]]))
        other = given.context.values.clone()
        other[:, 0] += 1.0
        changed = given._replace(context=given.context._replace(values=other))
        difference = (predicted(core, changed) - predicted(core, given)).abs().flatten(2).amax((0, 2))
        assert difference[0] > 1e-4
        assert difference[1] < 1e-9


def test_kl_and_log_ratio_of_the_conditional_process_are_zero():
    core, given = made(ConvolutionalCnp), problem()
    output = core(given, None, SCHEDULE)
    assert (output.kl == 0).all() and output.kl.shape == (SCENES,) and (output.log_ratio == 0).all()
    for sample in predicted(core, given):
        close(sample, output.prediction)


class TestLatentFunction:
    def test_the_kl_counts_once_per_scene(self):
        core = made(ConvolutionalNp)
        shapes = {tuple(core(problem(queries=queries), None, SCHEDULE).kl.shape) for queries in (1, 5)}
        assert shapes == {(SCENES, 2, 17, 1)}

    def test_prior_and_posterior_are_one_network_on_one_grid(self):
        core, given = made(ConvolutionalNp), problem()
        none = Views(*(field[:, :0] for field in given.target_views))
        empty = given._replace(query=none.poses, target=none.values, target_views=none)
        assert core(empty, None, SCHEDULE).kl.abs().max() < 1e-12
        assert core(given, None, SCHEDULE).kl.sum() > 1e-4

    def test_the_posterior_is_given_context_and_targets_on_the_grid_of_the_context(self):
        core, given = made(ConvolutionalNp), problem()
        grid = core.grid(given.context.poses, given.context.mask)
        prior = core.distribution(given.context, grid)
        posterior = core.distribution(concatenate_views(given.context, given.target_views), grid)
        scale, other = posterior.log_scale.exp(), prior.log_scale.exp()
        by_hand = torch.log(other / scale) + (scale**2 + (posterior.mean - prior.mean) ** 2) / (2 * other**2) - 0.5
        close(core(given, None, SCHEDULE).kl, by_hand)

    def test_samples_differ_and_each_is_one_function(self):
        core, given = made(ConvolutionalNp), problem()
        twice = predicted(core, given._replace(query=given.query[:, [0, 0]]), samples=3)
        assert torch.equal(twice[:, :, 0], twice[:, :, 1])
        assert (twice[0] - twice[1]).abs().max() > 1e-4

    def test_a_target_reaches_its_prediction_through_the_latent_alone(self):
        core, given = made(ConvolutionalNp), problem()
        cold = [
            core.predict(
                given.context,
                given.query,
                given.key,
                encode=None,
                schedule=schedule_values(sigma=1.0, temperature=0.0),
                num_samples=1,
            )
            for given in (given, given._replace(target=given.target + 1.0))
        ]
        assert torch.equal(*cold)

    def test_mean_of_log_q_minus_log_p_is_the_kl(self):
        core, given = made(ConvolutionalNp, points_per_unit=2.0), problem()
        with torch.no_grad():
            outputs = [core(given._replace(key=fold(given.key, sample)), None, SCHEDULE) for sample in range(500)]
        difference = torch.stack([output.log_ratio - output.kl.flatten(1).sum(1) for output in outputs])
        assert (difference.mean(0).abs() < 4 * difference.std(0) / 500**0.5).all()
        assert (difference.std(0) > 1e-3).all()


@pytest.mark.parametrize("part", [ConvolutionalCnp, ConvolutionalNp])
def test_inputs_of_other_widths_are_refused_in_one_sentence(part):
    with pytest.raises(ValueError, match="inputs of 3 numbers: a set convolution needs inputs of 1 or 2 numbers"):
        made(part, 3)
