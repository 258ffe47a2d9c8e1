"""The page in a real browser, without a network: gqn-zoo view as a visitor sees it."""

import shutil

import numpy as np
import pytest

from zoo.viewer.session import ViewerSession

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(900),
    # The browser may leave while a frame is on its way.
    pytest.mark.filterwarnings("ignore:Queued a .* on a closed connection:UserWarning"),
]


@pytest.fixture
def server(library, tmp_path):
    pytest.importorskip("viser", reason="the extra viewer is not installed")
    from zoo.viewer.server import ViewerServer

    session = ViewerSession.open(library, ["gqn-tower"], place="rooms_ring_camera:17", samples=2)
    server = ViewerServer(library, session.state, state_file=tmp_path / "view.json", host="127.0.0.1", port=0)
    yield server
    server.stop()


@pytest.fixture
def browser(server, tmp_path):
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium on the path")
    from headless_chromium import Chromium

    browser = Chromium(program, tmp_path / "profile")
    yield browser
    browser.close()


def test_a_visitor_looks_through_models(server, browser):
    from headless_chromium import wait_for

    def image_after(before):
        return wait_for(lambda: (image := browser.image()) != before and image)

    browser.open(server.address)
    wait_for(lambda: server.sessions)
    ((_, session),) = server.sessions.items()
    wait_for(lambda: "PSNR gqn-tower" in browser.text())
    at_rest = image_after(None)

    # The camera moves by number, and by mouse when it flies.
    browser.type("x, y, z", "1.5")
    wait_for(lambda: session.state.camera[0] == 1.5)
    moved = image_after(at_rest)
    browser.tick("fly")
    before = session.state.camera
    wait_for(lambda: browser.drag((200, 500), (320, 520)) or np.abs(session.state.camera - before).max() > 0.05)
    image_after(moved)

    # Context views.
    count = len(session.state.context)
    browser.click_button("Add this view")
    wait_for(lambda: len(session.state.context) == count + 1)
    browser.click_button("Remove all views")
    wait_for(lambda: session.state.context == ())

    # Models side by side, and one that does not exist.
    browser.type("run or shipped name", "cgqn-improved")
    browser.click_button("Add model")
    wait_for(lambda: "truth, gqn-tower, cgqn-improved" in browser.text())
    browser.type("run or shipped name", "no/such/run")
    browser.click_button("Add model")
    wait_for(lambda: "no/such/run" in browser.text() and "That did not work" in browser.text())
    last = browser.image()
    browser.click_button("New sample")
    image_after(last)

    assert browser.errors == []
    assert all(url.startswith((server.address, "data:", "blob:")) for url in browser.requests if "://" in url)
