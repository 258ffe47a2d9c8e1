"""What anneals in training and what is fixed at evaluation."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.config.recipe import LearningRate, Point, Schedule, TrainingRecipe, Warmup
from zoo.config.schedules import evaluation_schedule_values, schedule_values, schedule_values_at, value_at
from zoo.registry.registry import default_registry

PAPER = default_registry().variant("gqn-tower")


def published(start, end, steps, step):
    """mu_s = max(mu_f + (mu_i - mu_f) (1 - s / n), mu_f), Eslami et al. 2018, supplement."""
    return max(end + (start - end) * (1 - step / steps), end)


@pytest.mark.parametrize("step", [0, 1, 99_999, 100_000, 199_999, 200_000, 200_001, 2_000_000])
def test_sigma_of_the_paper(step):
    found = value_at(PAPER.training.sigma, step)
    assert found == pytest.approx(published(2.0, 0.7, 200_000, step), rel=1e-12)


@pytest.mark.parametrize("step", [0, 1, 800_000, 1_599_999, 1_600_000, 1_999_999])
def test_learning_rate_of_the_paper(step):
    found = value_at(PAPER.training.learning_rate, step)
    assert found == pytest.approx(published(5e-4, 5e-5, 1_600_000, step), rel=1e-12)


def test_end_points_and_midpoints_of_the_paper():
    sigma, rate = PAPER.training.sigma, PAPER.training.learning_rate
    assert [value_at(sigma, step) for step in (0, 200_000, 10**9)] == [2.0, 0.7, 0.7]
    assert value_at(sigma, 100_000) == pytest.approx(1.35)
    assert [value_at(rate, step) for step in (0, 1_600_000, 10**9)] == [5e-4, 5e-5, 5e-5]
    assert value_at(rate, 800_000) == pytest.approx(2.75e-4)


def test_the_other_numbers_of_the_paper():
    training = PAPER.training
    assert (training.batch_size, training.steps, training.optimizer.betas) == (36, 2_000_000, [0.9, 0.999])
    assert training.optimizer.epsilon == 1e-8
    assert (training.beta.start, training.beta.end) == (1.0, 1.0)
    assert PAPER.core.settings["steps"] == 12
    assert PAPER.core.settings["z_channels"] == 3
    assert PAPER.image_size == 64


@pytest.mark.parametrize("schedule", [Schedule(start=3.0, end=0.5, steps=0), Warmup(start=0.0, end=0.5, steps=0)])
def test_no_steps_hold_the_end(schedule):
    assert value_at(schedule, 0) == value_at(schedule, 7) == 0.5


def test_a_stretched_schedule_keeps_its_shape():
    short = LearningRate(start=1.0, end=0.5, steps=40, middle=Point(step=10, value=3.0), shape="cosine", warm_up=8)
    long = short.stretched(2.5)
    assert long == LearningRate(
        start=1.0, end=0.5, steps=100, middle=Point(step=25, value=3.0), shape="cosine", warm_up=20
    )


@pytest.mark.parametrize("factor", [0.04, 0.025])
def test_a_middle_that_falls_on_an_end_is_left_out(factor):
    short = Schedule(start=1.0, end=0.5, steps=40, middle=Point(step=10, value=3.0)).stretched(factor)
    assert short.middle is None and short.steps == round(40 * factor)


def test_levels_are_held_until_the_next_one():
    schedule = Schedule(start=2.0, levels=[Point(step=10, value=0.2), Point(step=15, value=0.4)], end=0.9, steps=20)
    assert [value_at(schedule, step) for step in (0, 9, 10, 14, 15, 19, 20, 99)] == [2, 2, 0.2, 0.2, 0.4, 0.4, 0.9, 0.9]
    assert [level.step for level in schedule.stretched(0.5).levels] == [5, 8]
    for levels in ([15, 10], [10, 10], [25]):
        with pytest.raises(ValueError, match="levels at rising steps"):
            Schedule(start=1.0, levels=[Point(step=step, value=0.5) for step in levels], end=0.9, steps=20)


def test_cgqn_has_the_sigma_of_the_cube_with_digits():
    """Pixel variances 2.0, 0.2, 0.4 and 0.9 from steps 0, 1e5, 1.5e5 and 2e5 on, beside the sizes of that experiment."""
    variant = default_registry().variant("cgqn")
    variances = [value_at(variant.training.sigma, step) ** 2 for step in (0, 99_999, 100_000, 150_000, 200_000, 10**6)]
    assert variances == pytest.approx([2.0, 2.0, 0.2, 0.4, 0.9, 0.9], rel=1e-3)
    assert (variant.core.settings["steps"], variant.core.settings["hidden_channels"]) == (6, 128)


def test_a_warmup_rises_from_zero():
    warmup = Warmup(start=0.0, end=1.0, steps=4)
    assert [value_at(warmup, step) for step in range(7)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


numbers = st.floats(1e-6, 1e3)


@given(numbers, numbers, st.integers(1, 1000))
@settings(deadline=None)
def test_every_schedule_is_monotone_and_stays_between_its_ends(start, end, steps):
    schedule = Schedule(start=start, end=end, steps=steps)
    values = [value_at(schedule, step) for step in range(0, 2 * steps, max(1, steps // 50))]
    slack = 1e-12 * max(start, end)
    falling = start >= end
    for before, after in itertools.pairwise(values):
        assert before + slack >= after if falling else after + slack >= before
    assert values[0] == start
    assert all(min(start, end) - slack <= value <= max(start, end) + slack for value in values)


def test_knobs_of_training_follow_the_recipe():
    recipe = TrainingRecipe(
        sigma=Schedule(start=2.0, end=1.0, steps=10), beta=Warmup(start=0.0, end=1.0, steps=4), steps=20
    )
    found = schedule_values_at(recipe, 2)
    assert (found.sigma.item(), found.beta.item(), found.temperature.item()) == pytest.approx((1.8, 0.5, 1.0))
    assert all(knob.shape == () and knob.dtype == torch.float32 for knob in found)


@pytest.mark.parametrize("name", default_registry().names())
def test_evaluation_is_at_beta_one_and_the_last_sigma_for_every_variant(name):
    recipe = default_registry().variant(name).training
    found = evaluation_schedule_values(recipe)
    assert found.beta.item() == found.temperature.item() == 1.0
    assert found.sigma.item() == pytest.approx(recipe.sigma.end)
    assert evaluation_schedule_values(recipe, sigma=0.3).sigma.item() == pytest.approx(0.3)


def test_evaluation_ignores_a_warmup_that_ends_elsewhere():
    recipe = TrainingRecipe(beta=Warmup(start=0.0, end=0.25, steps=10))
    assert evaluation_schedule_values(recipe).beta.item() == 1.0
    assert schedule_values(sigma=1.0).beta.item() == 1.0


def test_a_schedule_passes_through_its_middle_point():
    sigma = Schedule(start=0.3, end=0.7, steps=10, middle=Point(step=4, value=0.1))
    assert [value_at(sigma, step) for step in (0, 2, 4, 7, 10, 11)] == pytest.approx([0.3, 0.2, 0.1, 0.4, 0.7, 0.7])


def test_a_middle_point_lies_before_the_end():
    with pytest.raises(ValueError, match=r"middle.step \(10\) below steps \(10\)"):
        Schedule(start=0.3, end=0.7, steps=10, middle=Point(step=10, value=0.1))


def test_a_cosine_is_half_a_wave():
    rate = Schedule(start=1.0, end=0.2, steps=8, shape="cosine")
    expected = [0.2 + 0.4 * (1 + math.cos(math.pi * step / 8)) for step in range(9)]
    assert [value_at(rate, step) for step in range(9)] == pytest.approx(expected)
    assert value_at(rate, 9) == 0.2


def test_a_warm_up_multiplies_the_schedule_and_never_starts_at_zero():
    plain = LearningRate(start=1.0, end=0.5, steps=10)
    warm = LearningRate(start=1.0, end=0.5, steps=10, warm_up=4)
    factors = [value_at(warm, step) / value_at(plain, step) for step in range(12)]
    assert factors == pytest.approx([0.25, 0.5, 0.75] + 9 * [1.0])


def test_sigma_has_no_warm_up():
    with pytest.raises(ValueError, match="warm_up"):
        Schedule(start=1.0, end=0.5, steps=10, warm_up=4)
