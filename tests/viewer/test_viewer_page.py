"""The page and the server between a stand-in for viser and real sessions: threads, and visitors who leave."""

import threading
import time
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

import zoo.viewer.server
from zoo.viewer.page import Page
from zoo.viewer.server import ViewerServer
from zoo.viewer.session import ViewerSession


@pytest.fixture(scope="module")
def start(library):
    return ViewerSession.open(library, ["gqn-tower"], place="rooms_ring_camera:3", samples=1).state


@pytest.fixture
def page(library, start, tmp_path):
    client = MagicMock()
    for method in (client.gui.add_markdown, client.gui.add_text, client.gui.add_dropdown):
        method.side_effect = lambda *_, **__: MagicMock()  # a control of its own each time
    page = Page(client, ViewerSession(library, start), state_file=tmp_path / "view.json")
    yield page
    page.close()


def test_callbacks_in_several_threads_show_one_state_at_a_time(page, monkeypatch):
    inside, most = [], []

    def show_context(state, *, selected):
        inside.append(None)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()

    monkeypatch.setattr(page._plan, "show_context", show_context)
    threads = [threading.Thread(target=page._select, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_path_is_played_once_at_a_time(page):
    page.session.add_keyframe()
    page.session.look_from_pose((0.0, 0.0, 1.0, 0.0, 0.0))
    page.session.add_keyframe()
    before = page.session.state.camera
    with page._playing:
        page._play()
    assert page.session.state.camera is before


def test_a_path_ends_with_its_keyframes(page, monkeypatch):
    page.session.add_keyframe()
    page.session.add_keyframe()
    moved = []
    monkeypatch.setattr(page, "_moved", lambda camera: moved.append(camera) or page.session.clear_keyframes())
    page._play()
    assert len(moved) == 1


def test_marks_of_a_scene_that_was_left_are_not_shown(page):
    state = page.session.state
    page._mark(state, lambda: None, "of this scene")
    assert page._panel.marks.content == "of this scene"
    page.session.open_scene("rooms_ring_camera:4", split="test")
    page._mark(state, lambda: pytest.fail("shown"), "of the last scene")
    assert page._panel.marks.content == "of this scene"


def test_another_scene_has_frusta_of_its_own_size_and_no_marks_of_the_last(page):
    def sizes(name):
        calls = page._client.scene.add_camera_frustum.call_args_list
        return [call.kwargs["scale"] for call in calls if call.args[0] == name]

    page._panel.marks.content = "estimate"
    page._panel.place.value, page._panel.split.value = "rooms_free_camera_no_object_rotations:0", "test"
    page._open_scene()
    assert page.session.state.place == "rooms_free_camera_no_object_rotations:0"
    assert page._panel.marks.content == ""
    for name in ("/camera", "/context/0"):
        first, second = sizes(name)
        assert first != second


def test_a_visitor_who_left_while_the_page_was_made_is_forgotten(library, start, tmp_path, monkeypatch):
    made = []

    def make(client, session, *, state_file):
        page = SimpleNamespace(session=session, closed=False)
        page.close = lambda: setattr(page, "closed", True)
        made.append(page)
        return page

    there = {1: None}
    server = MagicMock(get_clients=lambda: there, get_port=lambda: 1)
    monkeypatch.setattr(zoo.viewer.server, "Page", make)
    monkeypatch.setattr(zoo.viewer.server, "import_viser", lambda: SimpleNamespace(ViserServer=lambda **_: server))
    pages = ViewerServer(library, start, state_file=tmp_path / "view.json", host="127.0.0.1", port=0)
    connected, disconnected = (
        method.call_args.args[0] for method in (server.on_client_connect, server.on_client_disconnect)
    )
    connected(SimpleNamespace(client_id=1))
    assert list(pages.sessions) == [1] and not made[0].closed
    disconnected(SimpleNamespace(client_id=2))
    connected(SimpleNamespace(client_id=2))
    assert list(pages.sessions) == [1] and made[1].closed
    pages.stop()
    assert made[0].closed and pages.sessions == {}
