"""The state of a visitor and what is rendered of it, without a browser."""

import itertools
import json
import math

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import ZooError
from zoo.viewer.panel import samples_of, spreads_of, truth_and_means
from zoo.viewer.probability_map import locate_view
from zoo.viewer.rendering import predicted_spread, render_frame, write_animation
from zoo.viewer.saved_page import pose_of
from zoo.viewer.session import ViewerSession

POSE = (3.0, 0.4, 1.35, -172.0, -18.0)


@pytest.fixture
def session(library):
    return ViewerSession.open(library, ["gqn-tower"], place="rooms_ring_camera:3", samples=2)


def test_a_frame_is_what_python_predicts(session):
    session.look_from_pose(POSE)
    state = session.state
    frame = render_frame(state)
    scene = zoo.Scene.load("rooms_ring_camera:3", image_size=32)
    context = [view.view for view in state.context]
    expected = zoo.load_run("gqn-tower").predict(scene, state.camera[None], context=context, samples=2)
    (model,) = frame.models
    np.testing.assert_array_equal(model.samples, (expected.samples[:, 0] * 255).round().astype(np.uint8))
    np.testing.assert_array_equal(frame.truth, scene.render(state.camera[None])[0])
    assert model.psnr > 10 and "2 sample(s); PSNR gqn-tower" in frame.caption
    assert render_frame(state, samples=1).models[0].samples.shape == (1, 32, 32, 3)


def test_camera_noise_and_context_change_the_prediction(session):
    def mean():
        return render_frame(session.state).models[0].mean

    first = mean()
    session.draw_noise()
    other_noise = mean()
    session.add_view_at(session.state.camera)
    more = mean()
    session.look_from_pose(POSE)
    images = [first, other_noise, more, mean()]
    assert all((one != other).any() for one, other in itertools.pairwise(images))


def test_context_views_are_added_moved_and_removed(session):
    count = len(session.state.context)
    session.add_own_view(count + 1)
    assert session.state.context[-1].view == count + 1
    camera = session.state.scene.cameras[count + 2]
    session.move_view(count, camera)
    moved = session.state.context[-1]
    assert moved.view is None
    np.testing.assert_array_equal(moved.image, session.state.scene.frames[count + 2])
    scene, given = session.state.given(session.state.context)
    assert given == [*range(count), session.state.scene.num_views] and scene.num_views == given[-1] + 1
    session.remove_view(0)
    assert [view.view for view in session.state.context] == [*range(1, count), None]
    session.clear_views()
    assert session.state.context == ()
    assert render_frame(session.state).models[0].mean.shape == (32, 32, 3)


def test_models_stand_side_by_side(session):
    session.add_model("cgqn-improved")
    frame = render_frame(session.state)
    assert [model.name for model in frame.models] == ["gqn-tower", "cgqn-improved"]
    assert truth_and_means(frame).shape == (128, 3 * 128 + 2 * 4, 3)
    assert samples_of(frame).shape == (2 * 128 + 4, 2 * 128 + 4, 3)
    assert spreads_of(frame).shape == (128, 2 * 128 + 4, 3)
    session.remove_model("gqn-tower")
    assert [model.name for model in session.state.models] == ["cgqn-improved"]


def test_two_visitors_share_weights_and_nothing_else(library, session):
    other = ViewerSession(library, session.state)
    before = render_frame(other.state).models[0].mean
    session.look_from_pose(POSE)
    session.clear_views()
    session.draw_noise()
    session.add_keyframe()
    assert len(other.state.context) > 0 and other.state.keyframes == () and other.state.seed == 0
    np.testing.assert_array_equal(render_frame(other.state).models[0].mean, before)
    assert other.state.models[0].trained is session.state.models[0].trained


def test_a_page_is_the_same_after_it_was_saved_and_loaded(library, session, tmp_path):
    session.look_from_pose(POSE)
    session.add_view_at(session.state.camera)
    session.add_keyframe()
    session.draw_noise()
    session.save(tmp_path / "view.json")
    other = ViewerSession.open(library, ["cgqn-improved"])
    other.load(tmp_path / "view.json")
    ours, theirs = session.state, other.state
    assert (theirs.place, theirs.split, theirs.samples, theirs.seed) == ("rooms_ring_camera:3", "test", 2, 1)
    np.testing.assert_allclose(theirs.camera, ours.camera, atol=1e-6)
    np.testing.assert_allclose(theirs.keyframes, ours.keyframes, atol=1e-6)
    assert [view.view for view in theirs.context] == [view.view for view in ours.context]
    assert np.abs(render_frame(ours).models[0].mean.astype(int) - render_frame(theirs).models[0].mean).max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camara": [0] * 5}, "camara"),
        ({"camera": [0, 0, 0, 0]}, "camera"),
        ({"camera": [0, 0, 1, 0, 91]}, "pitch: found 91 degrees"),
        ({"models": []}, "models"),
        ({"models": ["gqn-twer"]}, "did you mean 'gqn-tower'"),
        ({"samples": 0}, "samples"),
        ({"samples": 2.5}, "samples"),
        ({"version": 2}, "version"),
        ({"scene": "rooms_ring_camera:x"}, "whole number"),
        ({"context": [{}]}, "either view or camera"),
        ({"context": [{"view": 99}]}, "view 99 is out of range"),
        ({"context": [{"camera": [99, 0, 1, 0, 0]}]}, "cameras"),
    ],
)
def test_a_file_that_is_not_valid_is_refused_and_changes_nothing(session, tmp_path, change, message):
    file = tmp_path / "view.json"
    session.save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    before = session.state
    with pytest.raises(ZooError) as caught:
        session.load(file)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert session.state is before


def test_mistakes_change_nothing(library, session, tmp_path):
    before = session.state
    for action, message in [
        (lambda: session.add_own_view(0), "view 0 is context already"),
        (lambda: session.add_own_view(99), "view 99 is out of range"),
        (lambda: session.remove_view(77), "found no view 77"),
        (lambda: session.add_view_at(np.array([50.0, 0, 1, 0, 0])), "expected"),
        (lambda: session.add_model("no/such/run"), "no/such/run"),
        (lambda: session.add_model("np-1d"), "expected images at cameras"),
        (lambda: session.add_model("gqn-tower"), "is shown already"),
        (lambda: session.remove_model("gqn-tower"), "cannot be removed"),
        (lambda: session.open_scene("nothing:0", split="test"), "neither a folder of scenes nor a built-in"),
        (lambda: session.set_samples(0), "expected 1 to 64"),
        (lambda: session.look_from_pose((0, 0, math.inf, 0, 0)), "expected a finite number"),
        (lambda: write_animation(tmp_path / "a.gif", session.state, num_frames=2, frames_per_second=1), "at least 2"),
        (lambda: locate_view(session.state, 9), "no localisation model is shown"),
    ]:
        with pytest.raises(ZooError) as caught:
            action()
        assert message in str(caught.value) and "\n" not in str(caught.value)
        assert session.state is before


def test_a_camera_outside_of_the_scene_has_no_truth(session):
    session.look_from_pose((50, 0, 1, 0, 0))
    frame = render_frame(session.state)
    assert frame.truth is None and "no truth" in frame.caption and frame.models[0].psnr is None
    assert (truth_and_means(frame)[:, :128] == 128).all()


def test_keyframes_become_an_animation(session, tmp_path):
    session.add_keyframe()
    session.look_from_pose(POSE)
    session.add_keyframe()
    write_animation(tmp_path / "flight.gif", session.state, num_frames=3, frames_per_second=12)
    with Image.open(tmp_path / "flight.gif") as image:
        assert image.n_frames == 3
    session.clear_keyframes()
    assert session.state.keyframes == ()


def test_the_spread_is_computed_around_the_scene(session):
    found = predicted_spread(session.state)
    assert found.cameras.shape == (16, 5) and found.values.shape == (16,) and (found.values > 0).all()


def test_a_localisation_model_shows_where_an_image_was_taken(library):
    session = ViewerSession.open(library, ["reversed-gqn-improved"])
    assert render_frame(session.state).models == []
    outside = next(view for view in range(10) if view not in [each.view for each in session.state.context])
    found = locate_view(session.state, outside)
    mass = found.located.floor_mass
    assert mass.shape == (24, 24) and mass.sum() == pytest.approx(1, abs=1e-3)
    assert found.image.shape == (24, 24, 3)
    with pytest.raises(ZooError, match="is context"):
        locate_view(session.state, 0)


def test_poses_are_in_degrees():
    assert pose_of(np.array([1, 2, 3, math.pi / 2, -math.pi / 2], np.float32)) == [1, 2, 3, pytest.approx(90), -90]
