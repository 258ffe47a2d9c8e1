"""The plan's geometry, and the thread that draws frames."""

import threading

import numpy as np
import pytest
import torch

import zoo
from zoo.data.camera import camera_axes
from zoo.errors import DataError
from zoo.viewer.plan_geometry import clicked_camera, plan_extent, plan_image
from zoo.viewer.render_loop import RenderLoop


@pytest.fixture(scope="module")
def scene():
    return zoo.Scene.load("rooms_ring_camera:0", image_size=32)


def test_the_plan_covers_the_cameras(scene):
    extent = plan_extent(scene)
    assert (np.abs(scene.cameras[:, :2] - extent.centre[:2]) < extent.half_width).all()
    assert extent.camera_height == pytest.approx(1.35)


def test_an_object_stands_in_the_image_of_the_plan_where_it_is(scene):
    image, extent = plan_image(scene), plan_extent(scene)
    assert image.shape == (256, 256, 3)
    shown = scene.factors.objects[0]
    x, y, _ = (np.array(shown.position) - extent.centre) / (2 * extent.half_width)
    pixel = image[round((0.5 - y) * 256), round((0.5 + x) * 256)] / 255  # +y is up, +x to the right
    assert np.argmin(pixel) == np.argmin(shown.colour)


def test_a_scene_without_factors_has_no_image_of_the_plan(scene):
    assert plan_image(zoo.Scene.from_images(scene.frames, scene.cameras)) is None


def test_a_click_puts_a_camera_that_looks_at_the_middle(scene):
    extent = plan_extent(scene)
    camera = clicked_camera(extent, origin=np.array([2.0, 1.0, 9.0]), direction=np.array([0.0, 0.0, -1.0]))
    np.testing.assert_allclose(camera[:3], [2.0, 1.0, 1.35], atol=1e-5)
    towards = extent.centre - camera[:3]
    forward = camera_axes(torch.from_numpy(camera.astype(np.float64))).forward.numpy()
    np.testing.assert_allclose(forward, towards / np.linalg.norm(towards), atol=1e-5)
    for direction in ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, -1e-5]):
        with pytest.raises(DataError, match="found no place on the plan"):
            clicked_camera(extent, origin=np.array([2.0, 1.0, 9.0]), direction=np.array(direction))


def details_drawn(in_each_frame=lambda loop, drawn: None):
    """Returns the details of the frames that a loop draws, up to the first full one."""
    drawn, ready = [], threading.Event()

    def draw(detail):
        drawn.append(detail)
        in_each_frame(loop, drawn)
        if detail == "full":
            ready.set()

    loop = RenderLoop(draw, rest_seconds=0.01)
    loop.request()
    assert ready.wait(30)
    loop.close()
    return drawn


def test_a_resting_camera_gets_a_draft_and_then_a_full_frame():
    assert details_drawn() == ["draft", "full"]


def test_after_a_frame_that_fails_the_next_one_is_drawn(capsys):
    def fail_once(loop, drawn):
        if len(drawn) == 1:
            loop.request()
            raise RuntimeError("out of memory")

    assert details_drawn(fail_once) == ["draft", "draft", "full"] and "out of memory" in capsys.readouterr().err


def test_while_the_camera_moves_there_are_drafts_alone():
    def move(loop, drawn):
        if len(drawn) < 5:
            loop.request()

    assert details_drawn(move) == ["draft"] * 5 + ["full"]
