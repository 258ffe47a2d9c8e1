import math
from dataclasses import dataclass

import numpy as np
import pytest

from zoo.config.recipe import Range, TrainingRecipe
from zoo.data.plan import EvaluationPlan, TrainingPlan, check_views
from zoo.errors import ConfigError


@dataclass
class Shape:
    """As much of a source as a plan looks at."""

    num_scenes: int = 23
    num_views: int = 8
    name: str = "shapes"


def plan_of(source=None, *, seed=0, batch=5, minimum=1, maximum=4, targets=2):
    recipe = TrainingRecipe(
        batch_size=batch, contexts=Range(minimum=minimum, maximum=maximum), targets=targets, steps=10
    )
    return TrainingPlan(source or Shape(), recipe=recipe, seed=seed)


def scenes_of(plan, positions):
    """Returns the scenes at the given positions of the endless order."""
    size = plan.recipe.batch_size
    return [int(plan(position // size).scenes[position % size]) for position in positions]


@pytest.mark.parametrize("num_scenes", [1, 2, 5, 23, 40])
@pytest.mark.parametrize("batch", [1, 4, 5, 12])
def test_every_epoch_has_every_scene_once_also_where_a_batch_straddles_two(num_scenes, batch):
    plan = plan_of(Shape(num_scenes), batch=batch)
    for epoch in range(4):
        positions = range(epoch * num_scenes, (epoch + 1) * num_scenes)
        assert sorted(scenes_of(plan, positions)) == list(range(num_scenes))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {
        (seed, epoch): tuple(scenes_of(plan_of(seed=seed), range(23 * epoch, 23 * (epoch + 1))))
        for seed in (0, 1, 2)
        for epoch in (0, 1, 2)
    }
    assert len(set(orders.values())) == 9


def test_the_seed_decides_the_views_of_a_batch():
    views = [plan_of(seed=seed, minimum=3, maximum=3)(0).views.tolist() for seed in (0, 0, 1, 2)]
    assert views[0] == views[1] and len({str(each) for each in views}) == 3


def test_views_differ_between_epochs_for_the_same_scene():
    plan = plan_of(Shape(num_scenes=4, num_views=10), batch=4, minimum=3, maximum=3)
    seen = {tuple(plan(step).views[plan(step).scenes.tolist().index(0)]) for step in range(10)}
    assert len(seen) > 5


def test_the_views_of_an_episode_are_distinct_so_that_no_target_is_among_its_context():
    plan = plan_of(batch=7, minimum=0, maximum=6)
    for step in range(60):
        batch = plan(step)
        assert batch.views.shape == (7, batch.num_context + 2)
        assert batch.views.min() >= 0 and batch.views.max() < 8
        for views in batch.views:
            assert len(set(views.tolist())) == len(views)
            assert not set(views[: batch.num_context].tolist()) & set(views[batch.num_context :].tolist())


def test_context_sizes_are_uniform_with_both_ends():
    plan = plan_of(minimum=1, maximum=5)
    sizes = np.array([plan(step).num_context for step in range(3000)])
    assert sizes.min() == 1 and sizes.max() == 5
    counts = np.bincount(sizes, minlength=6)[1:]
    expected, probability = 3000 / 5, 1 / 5
    error = math.sqrt(3000 * probability * (1 - probability))
    assert (abs(counts - expected) < 4.5 * error).all(), counts
    # And a size does not tell the next one.
    pairs = np.corrcoef(sizes[:-1], sizes[1:])[0, 1]
    assert abs(pairs) < 4.5 / math.sqrt(3000)


def test_every_view_is_as_often_context_as_target_as_any_other():
    plan = plan_of(batch=50, minimum=3, maximum=3)
    steps, places = 40, 50 * 3
    counts = np.zeros((2, 8))
    for step in range(steps):
        views = plan(step).views
        counts[0] += np.bincount(views[:, :3].ravel(), minlength=8)
        counts[1] += np.bincount(views[:, 3:].ravel(), minlength=8)
    for kind, drawn in ((0, 3), (1, 2)):
        expected = steps * 50 * drawn / 8
        error = math.sqrt(steps * 50 * (drawn / 8) * (1 - drawn / 8))
        assert (abs(counts[kind] - expected) < 4.5 * error).all()
    assert places == 150


def test_any_step_may_be_asked_for_at_any_time():
    fresh = plan_of()(17)
    walked = plan_of()
    for step in (*range(20), 3, 500, 16):
        walked(step)
    again = walked(17)
    for one, other in zip(fresh, again, strict=True):
        assert np.array_equal(one, other)
    assert fresh.places.tolist() == [0, 1, 2, 3, 4]


def test_a_plan_cannot_be_spoilt_by_its_readers():
    plan = plan_of()
    before = plan(3).scenes.copy()
    plan(3).scenes[:] = -1
    plan(3).views[:] = -1
    assert np.array_equal(plan(3).scenes, before)


def test_steps_far_away_have_plans_too():
    batch = plan_of()(2_000_000)
    assert batch.scenes.shape == (5,) and batch.scenes.min() >= 0


@pytest.mark.parametrize(("maximum", "targets", "fits"), [(6, 2, True), (7, 1, True), (7, 2, False), (8, 1, False)])
def test_episodes_that_need_more_views_than_there_are_are_refused(maximum, targets, fits):
    if fits:
        plan_of(maximum=maximum, targets=targets)
        return
    with pytest.raises(ConfigError) as caught:
        plan_of(maximum=maximum, targets=targets)
    assert str(caught.value) == (
        f"shapes: {maximum} context views and {targets} target(s) need {maximum + targets} views, but a scene has 8"
    )


@pytest.mark.parametrize(("context", "targets"), [(-1, 1), (1, 0), (0, -1)])
def test_numbers_that_are_no_numbers_of_views_are_refused(context, targets):
    with pytest.raises(ConfigError, match="expected at least 0 and at least 1"):
        check_views(Shape(), num_context=context, num_targets=targets)


def evaluation(num_context=3, num_targets=2, *, source=None, **options):
    return EvaluationPlan(source or Shape(), num_context=num_context, num_targets=num_targets, **options)


def test_every_scene_is_evaluated_once_on_distinct_views():
    plan = evaluation(6)
    batch = plan(np.arange(23))
    assert plan.num_scenes == 23 and batch.views.shape == (23, 8) and batch.num_context == 6
    assert (np.sort(batch.views, axis=1) == np.arange(8)).all()
    assert batch.places.tolist() == batch.scenes.tolist() == list(range(23))


def test_a_smaller_context_is_part_of_a_larger_one_and_targets_stay_the_same():
    plans = [evaluation(number) for number in range(7)]
    scenes = np.arange(23)
    for number, plan in enumerate(plans):
        views = plan(scenes).views
        assert np.array_equal(views[:, number:], plans[0](scenes).views), "the targets"
        assert np.array_equal(views[:, :number], plans[6](scenes).views[:, :number]), "the context"


def test_fewer_scenes_are_the_first_of_all_and_keep_their_episodes():
    few, all_of_them = evaluation(max_scenes=4), evaluation()
    assert few.num_scenes == 4
    assert np.array_equal(few(np.arange(4)).views, all_of_them(np.arange(4)).views)
    assert evaluation(max_scenes=1000).num_scenes == 23


def test_the_digest_names_the_episodes():
    same = evaluation(seed=3).digest()
    assert same == evaluation(seed=3).digest() and len(same) == 16 and int(same, 16) >= 0
    others = {
        same,
        evaluation(seed=4).digest(),
        evaluation(2, seed=3).digest(),
        evaluation(3, 1, seed=3).digest(),
        evaluation(seed=3, max_scenes=4).digest(),
        evaluation(seed=3, source=Shape(num_views=9)).digest(),
    }
    assert len(others) == 6


@pytest.mark.parametrize("max_scenes", [0, -3])
def test_no_scenes_to_evaluate_are_refused(max_scenes):
    with pytest.raises(ConfigError, match=f"scenes to evaluate: found {max_scenes}, expected at least 1"):
        evaluation(max_scenes=max_scenes)


def test_evaluation_refuses_more_views_than_there_are():
    with pytest.raises(ConfigError, match="shapes: 9 context views"):
        evaluation(9)


def test_training_and_evaluation_draw_different_views():
    trained = plan_of(Shape(num_scenes=8), batch=8, minimum=6, maximum=6)(0)
    evaluated = evaluation(6, source=Shape(num_scenes=8))(trained.scenes)
    assert not np.array_equal(trained.views, evaluated.views)


def test_a_range_of_targets_is_drawn_for_every_batch():
    plan = plan_of(minimum=2, maximum=3, targets=Range(minimum=1, maximum=4))
    plans = [plan(step) for step in range(200)]
    counts = {(found.num_context, found.views.shape[1] - found.num_context) for found in plans}
    assert counts == {(context, targets) for context in (2, 3) for targets in (1, 2, 3, 4)}


def test_a_number_of_targets_draws_the_views_that_a_range_of_it_alone_draws_in_another_order():
    number, interval = plan_of(targets=2), plan_of(targets=Range(minimum=2, maximum=2))
    assert number(3).num_context == interval(3).num_context
    assert number(3).views.shape == interval(3).views.shape


def test_a_range_of_targets_needs_as_many_views_as_its_maximum():
    with pytest.raises(ConfigError, match="9"):
        plan_of(maximum=4, targets=Range(minimum=1, maximum=5))


def test_no_target_is_no_episode():
    with pytest.raises(ValueError, match=r"targets\.minimum"):
        TrainingRecipe(targets=Range(minimum=0, maximum=2))
