"""A command line that is expected to succeed, for fixtures of a whole module."""

import pytest

from zoo.cli.main import main


def command(text):
    """Runs a command line in this process."""
    with pytest.raises(SystemExit) as leave:
        main(text.split())
    assert leave.value.code == 0
