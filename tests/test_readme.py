"""README.md and docs name what there is, and what they name is there."""

import re
from pathlib import Path

import pytest

from zoo.analysis.catalogue import ANALYSES
from zoo.data.render.recipes import RECIPES
from zoo.registry.components import available
from zoo.registry.registry import default_registry

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md"]
CODE = {name for page in PAGES for name in re.findall(r"`([a-z0-9][a-z0-9._-]*)`", page.read_text(encoding="utf-8"))}
MOST_WORDS = 1500


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("variant", [name for name in default_registry().names() if "/" not in name]),
        ("data set", list(RECIPES)),
        ("encoder", available("encoder")),
        ("analysis", list(ANALYSES)),
    ],
)
def test_everything_is_named(kind, known):
    assert sorted(set(known) - CODE) == [], kind


def test_the_readme_shows_an_image():
    assert re.search(r"!\[[^\]]+\]\([^)]+\)", README.read_text(encoding="utf-8"))


def test_the_readme_can_be_read_in_three_minutes():
    assert len(README.read_text(encoding="utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_files_are_there(page):
    links = [
        link for link in re.findall(r"\[[^\]]*\]\(([^)#]+)\)", page.read_text(encoding="utf-8")) if "://" not in link
    ]
    assert [link for link in links if not (page.parent / link).exists()] == []
