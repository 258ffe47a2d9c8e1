"""Sizes of files and functions, and the words of the project, read from the code itself."""

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "zoo").rglob("*.py"))
MOST_LINES_OF_A_FILE = 330
MOST_LINES_OF_A_FUNCTION = 80
MOST_LINES_OF_THE_MEDIAN_FILE = 130
PROSE = [
    *FILES,
    *sorted((ROOT / "zoo").rglob("*.py.txt")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "registry.yaml")),
]
# Standard terms stand for these: see CONTRIBUTING.md.
NOT_OUR_WORDS = re.compile(
    r"\b(is|are) told\b|leaves? with [0-9]|\bthan which\b|\bthe house\b|\bdoes the same\b|nothing to say|for ever after|"
    r"slips? of the pen|\bpictures?\b|\bfrontier\b|\bknobs?\b",
    re.IGNORECASE,
)


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    assert len(lines_of(path)) <= MOST_LINES_OF_A_FILE
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < MOST_LINES_OF_A_FUNCTION, f"{path}:{node.lineno}: {node.name}"


def test_most_files_fit_on_two_screens():
    assert statistics.median(len(lines_of(path)) for path in FILES) <= MOST_LINES_OF_THE_MEDIAN_FILE


def test_no_module_imports_under_two_names():
    """A public name is imported from the module that defines it, so a second module never lists it in ``__all__``."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zoo")
            for alias in node.names
        }
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
            ):
                assert not imported & set(ast.literal_eval(node.value)), f"{path}: re-exports names"


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_uses_the_terms_of_the_field(path):
    found = [f"{number}: {line.strip()}" for number, line in enumerate(lines_of(path), 1) if NOT_OUR_WORDS.search(line)]
    assert found == []


@pytest.mark.parametrize("text", ["The knob is told.", "a line than which no other is better", "two pictures"])
def test_words_of_our_own_are_found(text):
    assert NOT_OUR_WORDS.search(text)
