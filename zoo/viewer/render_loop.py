"""A thread that draws what was asked for last: quickly while the camera moves, in full when it rests."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Literal

Detail = Literal["draft", "full"]
REST_SECONDS = 0.3  # without a request, after which the camera rests
LONGEST_WAIT = 10.0  # seconds, for the frame that is drawn when the loop is closed


class RenderLoop:
    """Draws in a thread of its own; requests that arrive meanwhile are answered by one frame.

    An error of ``draw`` is printed, and the next request is answered all the same.
    """

    def __init__(self, draw: Callable[[Detail], None], *, rest_seconds: float = REST_SECONDS) -> None:
        self._draw = draw
        self._rest_seconds = rest_seconds
        self._asked = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="viewer frames", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Asks for a frame."""
        self._asked.set()

    def close(self) -> None:
        """Ends the thread after the frame that it draws, and waits for it, up to ten seconds."""
        self._closed = True
        self._asked.set()
        self._thread.join(timeout=LONGEST_WAIT)

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._closed:
                return
            try:
                self._draw("draft")
                if not self._asked.wait(self._rest_seconds):
                    self._draw("full")
            except Exception:  # without this thread the page would show nothing new
                traceback.print_exc()
