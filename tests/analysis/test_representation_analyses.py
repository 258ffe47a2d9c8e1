"""Analyses of r on models and scores whose answer is known: each claim holds where it should, and fails where not."""

from types import SimpleNamespace

import numpy as np
import pytest
from identity_model import identity_model

from zoo.analysis import composition
from zoo.analysis.algebra import (
    NEAREST,
    OBJECT,
    SUM,
    UNCHANGED,
    WHOLE,
    AnalogyViews,
    algebra_claims,
    draw_analogies,
    render_answers,
)
from zoo.analysis.composition import CompositionScores, composition_claims, gap_of
from zoo.analysis.factors import CHANGES, LABELS, change_effects, changed_views, mean_cosine_scores, probe, targets_of
from zoo.analysis.invariance import invariance_claims, measure
from zoo.analysis.single_objects import draw_single_object_rooms, render_rooms, solid_of, with_solid, without_object
from zoo.analysis.tsne import map_scenes, map_table, purity_claims
from zoo.analysis.view_sets import Systems
from zoo.comparison.statistics import paired_t_test
from zoo.config.schedules import schedule_values
from zoo.data.factors.hues import hue_of
from zoo.data.render.rooms import REACH
from zoo.errors import ConfigError, DataError
from zoo.evaluation.representations import mean_pixels

RNG = np.random.default_rng(0)
SCENES, SETS = 30, 3
OF_SCENE = np.repeat(RNG.normal(size=(SCENES, 1, 8)), SETS, axis=1)
NOISE = RNG.normal(size=(SCENES, SETS, 8))
SYSTEMS = Systems(describe={}, represented=["r"], others=["pixels"])
ROOMS = draw_single_object_rooms("rooms_ring_camera", num_scenes=20)


@pytest.mark.parametrize(("own", "other", "holds"), [(OF_SCENE, NOISE, True), (NOISE, OF_SCENE, False)])
def test_r_of_the_scene_alone_is_invariant_and_noise_is_not(own, other, holds):
    claims = invariance_claims({1: {"r": measure(own), "pixels": measure(other)}}, SYSTEMS)
    maps = {1: {"r": map_scenes(own), "pixels": map_scenes(other)}}
    claims += purity_claims(maps, SYSTEMS)
    assert [claim.holds for claim in claims] == [holds] * 3
    assert maps[1]["r" if holds else "pixels"].purity.mean() == 1.0
    assert len(map_table(maps)) == 2 * 28 * SETS


def analogies_of(images):
    """Analogies of images [4, n, 4, 4, 3], the same from every camera."""
    context = np.repeat(images[:, :, None], 2, axis=2)
    cameras = np.zeros((images.shape[1], 2, 5), np.float32)
    return AnalogyViews(context, cameras, images[:, :, None], cameras[:, :1], np.ones((images.shape[1], 1, 4, 4), bool))


def linear_images():
    """Images in which one factor is the left half and the other the right half: A - B + C = answer."""
    f, g = RNG.integers(256, size=(2, 2, 25, 4, 2, 3), dtype=np.uint8)
    pairs = ((f[0], g[0]), (f[0], g[1]), (f[1], g[1]), (f[1], g[0]))
    return np.stack([np.concatenate(pair, axis=2) for pair in pairs])


@pytest.mark.parametrize("noise", [False, True])
def test_algebra_is_exact_where_r_is_linear_in_the_factors_and_fails_where_it_is_noise(noise):
    views = analogies_of(linear_images())
    rendered = render_answers(identity_model(noise=noise), views, schedule=schedule_values(sigma=1.0), num_samples=1)
    errors = rendered.errors[OBJECT]
    assert (errors[SUM].max() < 1e-10) is not noise
    assert errors[UNCHANGED].min() > 1e-3 and errors[NEAREST].min() > 1e-3
    np.testing.assert_allclose(errors[SUM], rendered.errors[WHOLE][SUM], atol=1e-12)
    claims = algebra_claims({"model": {"colour": rendered}})
    assert [claim.holds for claim in claims] == [not noise] * 3


@pytest.mark.parametrize("factor", ["colour", "shape", "position"])
def test_analogies_differ_in_two_factors(factor):
    found = draw_analogies(ROOMS.factors, factor=factor)
    assert found == draw_analogies(ROOMS.factors, factor=factor)
    for room, analogy in zip(ROOMS.factors, found, strict=True):
        solids = [solid_of(each) for each in analogy]
        of_factor, of_other = (
            [(each.x, each.y) if name == "position" else getattr(each, name) for each in solids]
            for name in (factor, "shape" if factor == "colour" else "colour")
        )
        assert of_factor[0] == of_factor[1] != of_factor[2] == of_factor[3]
        assert of_other[0] == of_other[3] != of_other[1] == of_other[2]
        for each in analogy:
            each.check()
            assert each.room == room.room and each.light == room.light


def test_rooms_are_rendered_with_other_objects():
    (room, *_), cameras = ROOMS.factors, ROOMS.cameras[:1, :3]
    assert with_solid(room, solid_of(room)).objects[0].scale == pytest.approx(room.objects[0].scale)
    images, empty = (render_rooms([each], cameras, image_size=16) for each in (room, without_object(room)))
    share = (images != empty).any(-1).mean()
    assert 0.0 < share < 0.5
    with pytest.raises(DataError, match="not rooms with solid objects"):
        draw_single_object_rooms("shepard_metzler_5_parts", num_scenes=1)


def test_rooms_that_never_have_a_single_object_are_refused():
    with pytest.raises(DataError, match="captioned_rooms: 0 of 50 scenes have a single object, expected 1"):
        draw_single_object_rooms("captioned_rooms", num_scenes=1)


@pytest.mark.parametrize("factor", list(CHANGES))
def test_changes_are_of_one_factor(factor):
    for room in ROOMS.factors:
        before, after = CHANGES[factor](room)
        before.check(), after.check()
        found = [
            {**solid_of(each)._asdict(), "wall": each.room.wall, "floor": each.room.floor} for each in (before, after)
        ]
        changed = {name for name in found[0] if found[0][name] != pytest.approx(found[1][name])} - {"y"}
        assert changed == {"x" if factor == "position" else factor}


def test_objects_are_moved_within_the_reach_of_drawn_ones():
    room = with_solid(ROOMS.factors[0], solid_of(ROOMS.factors[0])._replace(x=0.0, y=-REACH))
    for each in map(solid_of, CHANGES["position"](room)):
        assert np.hypot(each.x, each.y) <= REACH + 1e-9 and each.y < -1.0


def test_a_wall_moves_pixels_the_same_way_and_constant_features_do_not_move():
    views = changed_views(ROOMS, CHANGES["wall"], num_views=2, image_size=8)
    effects = change_effects(views, mean_pixels)
    assert effects.agreement.mean() > 0.9 and effects.movement.mean() > 1.0
    still = change_effects(views, lambda frames, cameras: np.ones((len(frames), 3)))
    assert not still.movement.any() and not still.agreement.any()


def test_cosines_of_equal_opposite_and_random_movements():
    assert mean_cosine_scores(np.ones((5, 3))) == pytest.approx(1.0)
    assert mean_cosine_scores(np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])).mean() == pytest.approx(-1.0 / 3.0)
    assert abs(mean_cosine_scores(RNG.normal(size=(200, 50))).mean()) < 0.02


def test_intervals_of_the_mean_cosine_cover_it_as_often_as_they_say():
    rng = np.random.default_rng(3)
    tests = [paired_t_test(mean_cosine_scores(rng.normal(size=(60, 8)) + 0.35)) for _ in range(400)]
    expected = np.mean([test.mean for test in tests])
    assert 0.92 < np.mean([test.low <= expected <= test.high for test in tests]) < 0.98


def test_probes_of_the_factors_themselves_are_perfect_and_of_noise_at_chance():
    rooms = draw_single_object_rooms("rooms_ring_camera", num_scenes=120)
    targets = targets_of(rooms.factors)
    assert targets["colour"][0] == hue_of(rooms.factors[0].objects[0].colour)
    known = [targets[name] for name in ("size", "position")]
    known += [(targets[name][:, None] == np.unique(targets[name])).astype(float) for name in LABELS]
    perfect, chance = probe(np.concatenate(known, axis=1), targets), probe(RNG.normal(size=(120, 20)), targets)
    for factor in targets:
        assert perfect[factor].mean() > 0.99
        assert chance[factor].mean() < 0.5


def held_out_scores(*, gap, context=5.0):
    excess = 50.0 + RNG.normal(size=200)
    excess[::2] += gap
    return CompositionScores({"nelbo_excess": excess, "mse": excess / 1e3}, excess + context)


def test_gaps_are_measured_with_their_intervals():
    gap = gap_of(held_out_scores(gap=10.0).own["nelbo_excess"])
    assert gap.low < 10.0 < gap.high and gap.high - gap.low < 1.0 and gap.seen == pytest.approx(50.0, abs=0.5)
    for size, context, expected in ((0.0, 5.0, [True] * 3), (10.0, 0.0, [False] * 3)):
        claims = composition_claims({"run": held_out_scores(gap=size, context=context)}, unseen_by=["run"])
        assert [claim.holds for claim in claims] == expected


def test_a_gap_that_another_model_has_as_well_is_not_of_the_held_out_combinations():
    found = {"run": held_out_scores(gap=10.0), "other": held_out_scores(gap=10.0)}
    claims = composition_claims(found, unseen_by=["run"])
    assert [claim.holds for claim in claims] == [False, True, False, True, True]
    assert "beyond the gap of other" in claims[1].text


def test_held_out_combinations_in_too_few_scenes_are_refused():
    with pytest.raises(ConfigError, match="composition: found 3 scenes, expected 4 or more for intervals"):
        composition.run(SimpleNamespace(num_scenes=3))


def test_claims_beyond_other_models_are_in_the_order_of_the_models():
    others = list("hgfedcba")
    found = {name: held_out_scores(gap=0.0) for name in ("run", *others)}
    claims = composition_claims(found, unseen_by=["run"])
    beyond = [claim.text for claim in claims if "beyond" in claim.text and "NELBO" in claim.text]
    assert [text.partition("gap of ")[2][0] for text in beyond] == others
