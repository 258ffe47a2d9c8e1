"""Completion in bash, driven as the shell drives it."""

import os
import subprocess
import sys

import pytest

from zoo.registry.registry import default_registry


def complete(words, folder):
    """Returns what bash is offered for the last of the words."""
    environment = {
        **os.environ,
        "_GQN_ZOO_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-m", "zoo"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("command", ["describe", "check", "train", "list"])
def test_variants_are_completed(command, tmp_path):
    (tmp_path / "registry.yaml").write_text("version: 1\nvariants:\n  gqn-mine: {base: vae, title: Mine}\n")
    expected = [*default_registry().names("gqn-m*"), "gqn-mine"]
    assert complete(["gqn-zoo", command, "gqn-m"], tmp_path) == sorted(expected)


def test_commands_and_options_are_completed(tmp_path):
    assert complete(["gqn-zoo", "doc"], tmp_path) == ["doctor"]
    assert complete(["gqn-zoo", "describe", "--reg"], tmp_path) == ["--registry"]
