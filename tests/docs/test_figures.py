"""The committed figures are those that their scripts draw today."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from page_blocks import PAGES
from PIL import Image
from test_levels import LEVELS

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "figures"
NAMESPACE = "{http://www.w3.org/2000/svg}"


def draw(script, place):
    subprocess.run([sys.executable, FIGURES / script, place], check=True, cwd=ROOT, timeout=300)


def labels(file):
    return [
        "".join(each.itertext())
        for each in ElementTree.fromstring(file.read_text(encoding="utf-8")).iter(f"{NAMESPACE}text")
    ]


def test_the_architecture_is_that_of_the_imports(tmp_path):
    draw("architecture.py", tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text(encoding="utf-8")
    assert drawn == (FIGURES / "architecture.svg").read_text(encoding="utf-8"), "python docs/figures/architecture.py"
    found = labels(tmp_path / "drawn.svg")
    assert sorted(found, key=str) == sorted(
        [name for level in LEVELS for name in level if name != "__main__"]
        + [str(number) for number in range(1, len(LEVELS))]
    )


def test_levels_are_drawn_from_the_bottom_to_the_top():
    svg = ElementTree.fromstring((FIGURES / "architecture.svg").read_text(encoding="utf-8"))
    heights = {"".join(each.itertext()): float(each.get("y")) for each in svg.iter(f"{NAMESPACE}text")}
    rows = [{heights[name] for name in level} for level in LEVELS if level != ("__main__",)]
    assert all(len(row) == 1 for row in rows)
    assert [max(row) for row in rows] == sorted((max(row) for row in rows), reverse=True)


def test_the_factorisations_are_those_of_the_script(tmp_path):
    draw("factorisations.py", tmp_path)
    committed = sorted((FIGURES / "factorisations").glob("*.svg"))
    assert [path.name for path in committed] == sorted(path.name for path in tmp_path.iterdir())
    for path in committed:
        assert (tmp_path / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), path.name


def test_every_factorisation_is_shown():
    page = (ROOT / "docs" / "explanation" / "models.md").read_text(encoding="utf-8")
    for path in (FIGURES / "factorisations").glob("*.svg"):
        assert f"(../figures/factorisations/{path.name})" in page


def test_the_data_sets_are_those_of_the_script(tmp_path):
    draw("data_sets.py", tmp_path / "drawn.png")
    drawn, committed = (
        np.asarray(Image.open(path), dtype=float) for path in (tmp_path / "drawn.png", ROOT / "docs" / "datasets.png")
    )
    assert drawn.shape == committed.shape and abs(drawn - committed).mean() < 1.0, "rounding differs between machines"


def test_every_image_is_shown_and_its_command_is_named():
    commands = (ROOT / "docs" / "how-to" / "reproduce.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?m)^\| `docs/([a-z-]+\.png)` \| [^|]*\S", commands))
    assert named == {path.name for path in (ROOT / "docs").glob("*.png")}
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in named if not re.search(rf"[(/]{name}\)", pages)] == []


@pytest.mark.parametrize("script", ["architecture.py", "factorisations.py", "vector_drawing.py"])
def test_figures_are_drawn_without_the_package(script):
    """So that they can be drawn in any environment."""
    tree = ast.parse((FIGURES / script).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(str(module).startswith(("zoo", "torch", "numpy")) for module in modules)
