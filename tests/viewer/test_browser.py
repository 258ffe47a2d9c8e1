"""The page in a real browser, without a network: gqn-zoo view as a visitor sees it.

One short test belongs to the default run; all are skipped without the extra viewer or without chromium on the path.
"""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from zoo.viewer.page import FRAMES
from zoo.viewer.session import ViewerSession

pytestmark = [
    pytest.mark.timeout(900),
    # The browser may leave while a frame is on its way.
    pytest.mark.filterwarnings("ignore:Queued a .* on a closed connection:UserWarning"),
]
ON_THE_PLAN = (300, 430)  # a point of the window, within the room


@pytest.fixture
def server(library, tmp_path):
    pytest.importorskip("viser", reason="the extra viewer is not installed")
    from zoo.viewer.server import ViewerServer

    session = ViewerSession.open(library, ["gqn-tower"], place="rooms_ring_camera:17", samples=2)
    server = ViewerServer(library, session.state, state_file=tmp_path / "view.json", host="127.0.0.1", port=0)
    yield server
    server.stop()


@pytest.fixture
def chromium(server, tmp_path):
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium on the path")
    from headless_chromium import Chromium

    browser = Chromium(program, tmp_path / "profile")
    yield browser
    browser.close()


def wait_for(condition):
    from headless_chromium import wait_for as wait

    return wait(condition)


def visit(server, page):
    """Opens the page and returns its session, once its first image is there."""
    known = set(server.sessions)
    page.open(server.address)
    wait_for(lambda: set(server.sessions) - known)
    wait_for(lambda: "PSNR gqn-tower" in page.text())
    (number,) = set(server.sessions) - known
    return server.sessions[number]


def image_after(page, before):
    return wait_for(lambda: (image := page.image()) != before and image)


def check_console(server, page):
    assert page.errors == []
    assert all(url.startswith((server.address, "data:", "blob:")) for url in page.requests if "://" in url)


def test_a_page_shows_predictions_and_follows_its_camera(server, chromium):
    (page,) = chromium.pages
    session = visit(server, page)
    at_rest = image_after(page, None)
    page.type("x, y, z", "1.5")
    wait_for(lambda: session.state.camera[0] == 1.5)
    image_after(page, at_rest)
    check_console(server, page)


@pytest.mark.browser
def test_a_visitor_looks_through_models(server, chromium):
    (page,) = chromium.pages
    session = visit(server, page)
    at_rest = image_after(page, None)

    # The camera moves by mouse when it flies.
    page.tick("fly")
    before = session.state.camera
    wait_for(lambda: page.drag((200, 500), (320, 520)) or np.abs(session.state.camera - before).max() > 0.05)
    image_after(page, at_rest)

    # Context views.
    count = len(session.state.context)
    page.click_button("Add this view")
    wait_for(lambda: len(session.state.context) == count + 1)
    page.click_button("Remove all views")
    wait_for(lambda: session.state.context == ())

    # Models side by side, and one that does not exist.
    page.type("run or shipped name", "cgqn-improved")
    page.click_button("Add model")
    wait_for(lambda: "truth, gqn-tower, cgqn-improved" in page.text())
    page.type("run or shipped name", "no/such/run")
    page.click_button("Add model")
    wait_for(lambda: "no/such/run" in page.text() and "That did not work" in page.text())
    last = page.image()
    page.click_button("New sample")
    image_after(page, last)
    check_console(server, page)


@pytest.mark.browser
def test_a_click_on_the_plan_adds_a_view_only_if_that_is_chosen(server, chromium):
    (page,) = chromium.pages
    session = visit(server, page)
    count = len(session.state.context)
    page.click(*ON_THE_PLAN)
    page.click_button("Add keyframe")
    wait_for(lambda: session.state.keyframes)
    assert len(session.state.context) == count
    page.tick("a click on the plan adds a view")
    wait_for(lambda: page.click(*ON_THE_PLAN) or len(session.state.context) > count)
    added = session.state.context[count]
    assert added.view is None and np.abs(added.camera[:2]).max() < 3.5
    check_console(server, page)


@pytest.mark.browser
def test_keyframes_are_played_and_downloaded_as_a_gif(server, chromium):
    (page,) = chromium.pages
    session = visit(server, page)
    page.click_button("Play")
    wait_for(lambda: "expected at least 2" in page.text())
    page.click_button("Add keyframe")
    page.type("x, y, z", "1.5")
    wait_for(lambda: session.state.camera[0] == 1.5)
    page.click_button("Add keyframe")
    wait_for(lambda: "2 keyframes" in page.text())
    first, last = session.state.keyframes
    page.click_button("Play")
    wait_for(lambda: min(first[0], last[0]) < session.state.camera[0] < max(first[0], last[0]))
    wait_for(lambda: np.allclose(session.state.camera, last))
    page.click_button("Export GIF")
    content = wait_for(lambda: page.download("flight.gif"))
    with Image.open(io.BytesIO(content)) as animation:
        assert (animation.format, animation.n_frames) == ("GIF", FRAMES)
    check_console(server, page)


@pytest.mark.browser
def test_two_visitors_have_states_of_their_own(server, chromium):
    pages = [*chromium.pages, chromium.new_page()]
    one, other = (visit(server, page) for page in pages)
    before = other.state
    pages[0].send("Page.bringToFront")
    pages[0].type("x, y, z", "1.5")
    wait_for(lambda: one.state.camera[0] == 1.5)
    pages[0].click_button("Remove all views")
    wait_for(lambda: one.state.context == ())
    pages[0].type("run or shipped name", "cgqn-improved")
    pages[0].click_button("Add model")
    wait_for(lambda: "truth, gqn-tower, cgqn-improved" in pages[0].text())
    assert other.state is before and "cgqn-improved" not in pages[1].text()
    pages[1].send("Page.bringToFront")
    pages[1].click_button("Add keyframe")
    wait_for(lambda: len(other.state.keyframes) == 1)
    assert one.state.keyframes == () and "0 keyframes" in pages[0].text()
    for page in pages:
        check_console(server, page)
