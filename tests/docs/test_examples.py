"""The examples run as they are, in an empty folder."""

import runpy
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_first_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(EXAMPLES / "first_steps.py"))
    assert (tmp_path / "first_steps.png").read_bytes().startswith(b"\x89PNG")
    assert names["errors"][5] < names["errors"][1]
    assert "(4, 3, 32, 32, 3)" in capsys.readouterr().out


@pytest.mark.docs
def test_a_core_of_your_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GQN_ZOO_REGISTRY", raising=False)
    names = runpy.run_path(str(EXAMPLES / "your_own_core.py"))
    shutil.rmtree(names["work"])
    printed = capsys.readouterr().out
    assert "pose-blend" in printed and "deterministic" in printed
    assert {result.status for result in names["results"]} == {"ok"}
