"""``gqn-zoo view`` until it listens; the page itself: tests/viewer."""

import socket
import sys
import time
import types

import pytest

import zoo.viewer.server


@pytest.fixture
def with_viser(monkeypatch):
    """The mistakes are found whether or not the extra is installed."""
    monkeypatch.setitem(sys.modules, "viser", types.ModuleType("viser"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("view no/such/run", "no/such/run"),
        ("view gqn-twer", "did you mean 'gqn-tower'"),
        ("view np-1d", "expected images at cameras"),
        ("view gqn-tower --scene nothing:1", "neither a folder of scenes nor a built-in data set"),
        ("view gqn-tower --samples 0", "Invalid value for '-S' / '--samples'"),
        ("view gqn-tower --host 203.0.113.1", "--host 203.0.113.1 --port 0: cannot listen there"),
    ],
)
def test_mistakes(gqn_zoo, with_viser, words, message):
    done = gqn_zoo(f"{words} --cpu --port 0")
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1


def test_images_of_another_size_are_refused(gqn_zoo, with_viser, scenes):
    done = gqn_zoo("view", "gqn-tower", "--scene", f"{scenes}:0", "--port", "0")
    assert done.code == 2 and "have 16 pixels, but gqn-tower reads and predicts 32 x 32" in done.err


def test_a_port_that_is_taken_is_refused(gqn_zoo, with_viser):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gqn_zoo("view", "--port", port)
    assert done.code == 2 and f"--port {port}: cannot listen there: Address already in use" in done.err
    assert done.err.count("\n") == 1


def test_without_the_extra_the_message_names_it(gqn_zoo, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    done = gqn_zoo("view")
    assert (done.code, done.out) == (2, "")
    assert done.err == "gqn-zoo: view: needs the extra viewer: pip install 'gqn-zoo[viewer]'\n"


def test_it_serves_shipped_weights_until_ctrl_c(gqn_zoo, with_viser, monkeypatch):
    events = []

    class Server:
        def __init__(self, library, start, *, state_file, host, port):
            self.address = f"http://{host}:{port}"
            events.append([model.name for model in start.models])

        def stop(self):
            events.append("stopped")

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo.viewer.server, "ViewerServer", Server)
    monkeypatch.setattr(time, "sleep", interrupt)
    done = gqn_zoo("view", "--port", "0")
    assert done.code == 130 and "open http://127.0.0.1:0 in a browser" in done.err
    assert events == [["gqn-epipolar-improved"], "stopped"]
