"""The server of ``gqn-zoo view``: one page and one session for each visitor."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from zoo.errors import ConfigError
from zoo.viewer.library import ModelLibrary
from zoo.viewer.page import Page
from zoo.viewer.session import ViewerSession
from zoo.viewer.session_state import SessionState

if TYPE_CHECKING:
    import viser


def import_viser() -> ModuleType:
    """Imports viser; raises ConfigError, in one sentence, without the extra ``viewer``."""
    try:
        import viser
    except ImportError:
        raise ConfigError("view: needs the extra viewer: pip install 'gqn-zoo[viewer]'") from None
    return viser


def check_address(*, host: str, port: int) -> None:
    """Raises ConfigError if nothing can listen there, for example because the port is taken; port 0 is any free one."""
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--host {host} --port {port}: cannot listen there: {reason}") from None


def _without_output() -> AbstractContextManager[object]:
    """Keeps what viser prints, whatever its ``verbose``, off stdout."""
    return contextlib.redirect_stdout(io.StringIO())


class ViewerServer:
    """Pages on one address; every visitor starts from the same state and changes a copy of it."""

    def __init__(self, library: ModelLibrary, start: SessionState, *, state_file: Path, host: str, port: int) -> None:
        """Begins to listen; ``state_file`` is where pages save their state and load it from.

        Raises:
            ConfigError: without viser, or if the address cannot be used.
        """
        module = import_viser()
        check_address(host=host, port=port)
        self._library, self._start, self._state_file = library, start, state_file
        self._pages: dict[int, Page] = {}
        self._changing = threading.Lock()
        with _without_output():
            self._server: viser.ViserServer = module.ViserServer(host=host, port=port, label="GQN zoo", verbose=False)
        self._server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        self._server.gui.main_panel.dock_right()
        self.address = f"http://{host}:{self._server.get_port()}"
        self._server.on_client_connect(self._connected)
        self._server.on_client_disconnect(self._disconnected)

    @property
    def sessions(self) -> dict[int, ViewerSession]:
        """The sessions of the visitors that are connected, by viser's number of the client."""
        with self._changing:
            return {number: page.session for number, page in self._pages.items()}

    def stop(self) -> None:
        """Closes all pages and the address."""
        with self._changing:
            pages, self._pages = self._pages, {}
        for page in pages.values():
            page.close()
        with _without_output():
            self._server.stop()

    def _connected(self, client: viser.ClientHandle) -> None:
        page = Page(client, ViewerSession(self._library, self._start), state_file=self._state_file)
        with self._changing:
            self._pages[client.client_id] = page
        if client.client_id not in self._server.get_clients():  # it left while its page was made
            self._disconnected(client)

    def _disconnected(self, client: viser.ClientHandle) -> None:
        with self._changing:
            page = self._pages.pop(client.client_id, None)
        if page is not None:
            page.close()
