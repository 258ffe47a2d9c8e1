"""Epipolar lines and rays equal points on rays, projected one by one by the camera of the data sets."""

import math

import pytest
import torch
from camera_projection import project, rays

from zoo.data.camera import FIELD_OF_VIEW_DEGREES, camera_axes, pose_vector
from zoo.nn.geometry import (
    cell_directions,
    epipolar_samples,
    half_width,
    ray_features,
    ray_width,
    view_axes,
)

SIDE, SAMPLES = 4, 7


def cameras(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def samples_of(queries, contexts, *, num_samples=SAMPLES, side=SIDE, field_of_view=FIELD_OF_VIEW_DEGREES):
    return epipolar_samples(
        pose_vector(queries),
        pose_vector(contexts),
        height=side,
        width=side,
        num_samples=num_samples,
        field_of_view=field_of_view,
    )


def projected(queries, contexts, distances, *, side=SIDE, field_of_view=FIELD_OF_VIEW_DEGREES):
    """Projects points of the queries' rays into the contexts: places in [-1, 1] and depths.

    ``distances`` broadcasts against [B, Q, N, h, w, S].
    """
    found = rays(queries, image_size=side, field_of_view=field_of_view)
    origins, directions = (part[:, :, None, :, :, None] for part in found)
    points = origins + distances[..., None] * directions
    seen = project(points, cameras=contexts[:, None, :, None, None, None], image_size=2, field_of_view=field_of_view)
    return seen.coordinates - 1.0, seen.depth


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_positions_stay_near_the_image_whatever_the_poses_are(value):
    queries, contexts = pose_vector(cameras(1, 2)).float(), pose_vector(cameras(1, 3, seed=1)).float()
    contexts[0, 0, 0], queries[0, 1, 4] = value, value
    found = epipolar_samples(queries, contexts, height=SIDE, width=SIDE, num_samples=SAMPLES, field_of_view=50.0)
    assert found.places.abs().max() <= 2.0


def test_axes_are_those_of_the_data_sets():
    given = cameras(6)
    expected = camera_axes(given)
    right, up, forward = view_axes(pose_vector(given)).unbind(-2)
    for one, other in ((right, expected.right), (up, expected.up), (forward, expected.forward)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-15)


@pytest.mark.parametrize("field_of_view", [21.0, FIELD_OF_VIEW_DEGREES])
def test_directions_are_those_of_the_rays_of_the_data_sets(field_of_view):
    given = cameras(3)
    expected = rays(given, image_size=SIDE, field_of_view=field_of_view).directions
    found = cell_directions(pose_vector(given), height=SIDE, width=SIDE, field_of_view=field_of_view)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


class TestEpipolarLines:
    """3 scenes of 2 queries and 8 contexts with cameras of any position, yaw and pitch."""

    queries, contexts = cameras(3, 2, seed=1), cameras(3, 8, seed=2)

    def test_samples_are_projections_of_points_of_their_ray(self):
        found = samples_of(self.queries, self.contexts)
        assert 0.1 < found.visible.double().mean() < 0.9
        places, depth = projected(self.queries, self.contexts, found.reach / (1.0 - found.reach))
        error = (places - found.places).abs().amax(-1)
        assert error[found.visible].max() < 1e-9
        assert depth[found.visible].min() > 0
        assert (found.places.abs() <= 1.0).all()

    def test_a_line_is_visible_where_points_of_its_ray_are_and_nowhere_else(self):
        s = torch.linspace(0.0, 1.0, 2001, dtype=torch.float64)[1:-1]
        places, depth = projected(self.queries, self.contexts, s / (1.0 - s))
        inside = (places.abs().amax(-1) <= 1.0) & (depth > 1e-3)
        found = samples_of(self.queries, self.contexts)
        assert torch.equal(inside.any(-1), found.visible)

    def test_lines_reach_from_end_to_end_of_what_is_visible_and_samples_are_evenly_spread(self):
        found = samples_of(self.queries, self.contexts, num_samples=400)
        s = torch.linspace(0.0, 1.0, 4001, dtype=torch.float64)[1:-1]
        places, depth = projected(self.queries, self.contexts, s / (1.0 - s))
        inside = (places.abs().amax(-1) <= 1.0) & (depth > 2e-3)
        # Every visible point of a ray has a sample nearby.
        line = found.places[..., -1, :] - found.places[..., 0, :]
        spacing = line.norm(dim=-1) / 399
        for index in inside.any(-1).nonzero()[::23]:
            where = tuple(index)
            seen = places[where][inside[where]]
            distance = torch.cdist(seen, found.places[where]).amin(1).max()
            assert distance <= 0.51 * spacing[where] + 1e-9
        steps = (found.places[..., 1:, :] - found.places[..., :-1, :]).norm(dim=-1)
        torch.testing.assert_close(steps, spacing[..., None].expand_as(steps), rtol=1e-9, atol=1e-9)

    def test_reach_grows_along_the_ray_or_falls_and_stays_between_the_camera_and_infinity(self):
        found = samples_of(self.queries, self.contexts)
        assert (found.reach[found.visible] >= 0).all() and (found.reach[found.visible] < 1).all()
        assert (found.reach.diff(dim=-1)[found.visible] >= 0).all()

    def test_what_is_not_visible_is_zero(self):
        found = samples_of(self.queries, self.contexts)
        assert (found.places[~found.visible] == 0).all()
        assert (found.reach[~found.visible] == 0).all()

    def test_the_field_of_view_is_that_of_all_cameras(self):
        found = samples_of(self.queries, self.contexts, field_of_view=80.0)
        places, _ = projected(self.queries, self.contexts, found.reach / (1.0 - found.reach), field_of_view=80.0)
        assert (places - found.places).abs().amax(-1)[found.visible].max() < 1e-9

    def test_gradients_of_poses_are_finite_and_equal_finite_differences(self):
        poses = [pose_vector(part).requires_grad_() for part in (self.queries, self.contexts)]
        options = {"height": SIDE, "width": SIDE, "num_samples": 3, "field_of_view": 50.0}
        found = epipolar_samples(*poses, **options)
        for gradient in torch.autograd.grad(found.places.sum() + found.reach.sum(), poses):
            assert torch.isfinite(gradient).all()
        near = [part[:1, :1].detach().requires_grad_() for part in poses]
        assert torch.autograd.gradcheck(
            lambda *given: epipolar_samples(*given, **options)[:2], tuple(near), atol=1e-4, rtol=1e-3
        )


def looking(*, x=0.0, y=0.0, z=0.0, yaw=0.0, pitch=0.0):
    return torch.tensor([[[x, y, z, yaw, pitch]]], dtype=torch.float64)


class TestSpecialCases:
    def test_cameras_at_the_same_place_see_every_ray_as_a_point(self):
        """A pure rotation: the ray of a cell is where that direction is, whatever the distance."""
        query, context = looking(yaw=0.1, pitch=0.05), looking()
        found = samples_of(query, context)
        places, _ = projected(query, context, torch.full((1, 1, 1, SIDE, SIDE, SAMPLES), 5.0, dtype=torch.float64))
        assert found.visible.any()
        assert torch.equal(found.visible, places.abs().amax(-1)[..., 0] <= 1.0)
        torch.testing.assert_close(found.places[found.visible], places[found.visible], rtol=0, atol=1e-12)

    def test_the_same_camera_sees_every_cell_where_it_is(self):
        found = samples_of(looking(x=1.0, yaw=0.7), looking(x=1.0, yaw=0.7))
        assert found.visible.all()
        centres = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
        expected = torch.stack([centres.expand(SIDE, SIDE), centres[:, None].expand(SIDE, SIDE)], dim=-1).double()
        torch.testing.assert_close(
            found.places[0, 0, 0], expected[:, :, None].expand(-1, -1, SAMPLES, -1), rtol=0, atol=1e-12
        )

    def test_a_camera_that_looks_away_sees_nothing(self):
        assert not samples_of(looking(), looking(x=-1.0, yaw=math.pi)).visible.any()

    def test_a_camera_behind_and_looking_along_sees_the_query_camera_and_beyond(self):
        found = samples_of(looking(), looking(x=-2.0))
        assert found.visible.all()
        # Lines run from the query camera itself, in the middle of the image, outwards to infinity.
        first = found.places[..., 0, :].norm(dim=-1)
        assert (first < found.places[..., -1, :].norm(dim=-1)).all()

    def test_a_camera_in_front_and_looking_along_sees_only_what_lies_beyond_it(self):
        query, context = looking(), looking(x=2.0)
        found = samples_of(query, context)
        _, depth = projected(query, context, found.reach / (1.0 - found.reach))
        assert found.visible.any()
        assert depth[found.visible].min() > 0
        assert (found.reach[found.visible] > 2.0 / 3.0).all()  # t > 2

    def test_parallel_cameras_side_by_side_have_horizontal_lines(self):
        found = samples_of(looking(), looking(y=-1.0))
        rows = found.places[..., 1][found.visible]
        torch.testing.assert_close(rows, rows[:, :1].expand_as(rows), rtol=0, atol=1e-12)
        assert found.visible.any()

    def test_rays_parallel_to_the_plane_of_the_image_are_followed(self):
        found = samples_of(looking(x=2.0, y=-5.0, yaw=math.pi / 2), looking(), side=1)
        assert found.visible.all()
        assert found.places[0, 0, 0, 0, 0, :, 0].diff().max() < 0  # +y is to the left
        assert found.places[0, 0, 0, 0, 0, :, 1].abs().max() < 1e-12

    @pytest.mark.parametrize("number", [0, 2])
    def test_no_views_and_no_queries_have_no_lines(self, number):
        found = samples_of(cameras(2, 2 - number), cameras(2, number))
        assert found.places.shape == (2, 2 - number, number, SIDE, SIDE, SAMPLES, 2)

    def test_gradients_are_numbers_in_all_of_them(self):
        queries = torch.cat([looking(), looking(x=2.0, y=-5.0, yaw=math.pi / 2)])
        contexts = torch.cat([looking(), looking(yaw=0.1), looking(x=-2.0), looking(x=2.0), looking(y=-1.0)], dim=1)
        poses = [pose_vector(part).requires_grad_() for part in (queries, contexts.expand(2, -1, -1))]
        found = epipolar_samples(*poses, height=3, width=3, num_samples=4, field_of_view=50.0)
        for field in (found.places, found.reach):
            for gradient in torch.autograd.grad(field.sum(), poses, retain_graph=True):
                assert torch.isfinite(gradient).all()


def test_ray_features_are_origin_and_direction_and_their_waves():
    given = pose_vector(cameras(2))
    options = {"height": 2, "width": 3, "field_of_view": 50.0}
    found = ray_features(given, octaves=4, **options)
    assert found.shape == (2, ray_width(4), 2, 3)
    directions = cell_directions(given, **options)
    torch.testing.assert_close(found[:, 3:6], directions.movedim(-1, 1))
    torch.testing.assert_close(found[:, :3], given[:, :3, None, None].expand(-1, -1, 2, 3))
    for number in range(6):
        for octave in range(4):
            phase = found[:, number] * 2.0 ** (octave - 2)
            torch.testing.assert_close(found[:, 6 + 4 * number + octave], phase.sin())
            torch.testing.assert_close(found[:, 30 + 4 * number + octave], phase.cos())


def test_half_the_image_is_as_wide_as_its_distance_at_90_degrees():
    assert half_width(90.0) == pytest.approx(1.0)
