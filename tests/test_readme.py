"""README.md names what there is, and what it names is there."""

import re
from pathlib import Path

import pytest

from zoo.analysis.catalogue import ANALYSES
from zoo.data.render.recipes import RECIPES
from zoo.registry.components import available
from zoo.registry.registry import default_registry

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = set(re.findall(r"`([a-z0-9][a-z0-9._-]*)`", README))


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("variant", [name for name in default_registry().names() if "/" not in name]),
        ("data set", list(RECIPES)),
        ("encoder", available("encoder")),
        ("demonstration", list(ANALYSES)),
    ],
)
def test_everything_is_named(kind, known):
    assert sorted(set(known) - CODE) == [], kind


def test_images_are_there():
    images = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(images) >= 5
    assert [name for name in images if not (ROOT / name).is_file()] == []


def test_linked_files_are_there():
    links = [link for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
