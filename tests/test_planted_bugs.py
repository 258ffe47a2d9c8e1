"""The list of planted bugs fits the code; ``python -m tests.planted_bugs`` runs the tests against all of them."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.planted_bugs.catalogue import BUGS
from tests.planted_bugs.planting import Bug, StaleError, check, planted, try_bugs

ROOT = Path(__file__).resolve().parent.parent
LAYERS = (
    "data cameras encoders cores likelihoods bounds schedules trainer checkpoints distributed evaluation statistics comparison "
    "results cli registry analyses viewer"
)
HARMLESS = Bug(
    name="harmless",
    layer="likelihoods",
    reason="no defect",
    file="zoo/likelihoods/annealed_gaussian.py",
    before='"""The Gaussian likelihood of GQN with a scheduled standard deviation."""',
    after='"""The Gaussian likelihood of GQN."""',
    tests=("tests/likelihoods/test_annealed_gaussian.py::test_the_floor_of_the_paper_is_6909_nats",),
)


def test_there_are_bugs_of_every_layer_and_none_twice():
    assert len(BUGS) >= 40 and {bug.layer for bug in BUGS} == {*LAYERS.split(" ")}
    for field in ("name", "reason"):
        assert [value for value, count in Counter(getattr(bug, field) for bug in BUGS).items() if count > 1] == []
    assert all(bug.before != bug.after for bug in BUGS)


def test_every_text_matches_exactly_once():
    check(BUGS)


def names_in(file):
    """Returns the names of a file's tests: functions, and methods behind their class."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    found = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_named_tests_exist(bug):
    assert bug.tests
    for name in bug.tests:
        file, _, test = name.partition("[")[0].partition("::")
        assert not test or test in names_in(ROOT / file), name


@pytest.mark.parametrize("before", ["no such text", "schedule.sigma"])
def test_a_text_that_does_not_match_once_is_reported(before):
    text = (ROOT / HARMLESS.file).read_text()
    with pytest.raises(StaleError, match=f"harmless: {HARMLESS.file}: the text to change occurs [0-9]+ times"):
        planted(HARMLESS._replace(before=before), text)


@pytest.mark.slow
def test_a_bug_is_caught_and_a_harmless_change_is_not():
    bug = next(bug for bug in BUGS if bug.name == "normaliser-is-left-out")
    broken = bug._replace(name="broken", after="(")
    found = {finding.bug.name: finding.verdict for finding in try_bugs([bug, HARMLESS, broken], jobs=1)}
    assert found == {bug.name: "caught", "harmless": "survived", "broken": "not run"}
