"""The file of claims is checked key by key; every mistake names the file, the key, what was found and what was expected."""

from pathlib import Path

import pytest

from zoo.comparison.claim_file import KINDS, Below, ContextHelps, load_claims
from zoo.errors import ConfigError

COMMITTED = Path(__file__).resolve().parents[2] / "results" / "claims.yaml"
GOOD = """
version: 1
title: What we claim
data:
  rooms: {dataset: rooms_ring_camera, image_size: 16}
claims:
  - {text: a is better than b, kind: below, data: rooms, contexts: 4, lower: [a], higher: ["b*"], across: [task]}
  - {text: views help, kind: context_helps, data: rooms, fewer: 1, more: 4, variants: [a], sigma: 0.7}
  - {text: alike, kind: same, data: rooms, contexts: 4, variants: [a, b], within: 1}
  - {text: past the mean, kind: passes, data: rooms, contexts: 4, variants: [a], references: [mean-image]}
  - {text: the context matters, kind: below_own, data: rooms, contexts: 4, variants: [a], than: wrong}
"""


@pytest.fixture
def load(tmp_path):
    def read(text):
        path = tmp_path / "claims.yaml"
        path.write_text(text, encoding="utf-8")
        return load_claims(path)

    return read


def test_every_kind_is_read(load):
    claims = load(GOOD)
    assert [type(statement) for statement in claims.statements] == list(KINDS.values())
    below, helps = claims.statements[:2]
    assert isinstance(below, Below) and (below.lower, below.higher, below.any) == (["a"], ["b*"], False)
    assert below.metric == "nelbo_excess" and below.across == ["task"]
    assert isinstance(helps, ContextHelps) and (helps.fewer, helps.more, helps.sigma) == (1, 4, 0.7)
    assert claims.data["rooms"].dataset == "rooms_ring_camera" and claims.data["rooms"].split == "test"
    assert claims.place(2).endswith("claims.yaml: claim 2 ('views help')")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("version: 1", "version: 2", "version: found 2 (int), expected 1"),
        ("version: 1\n", "", "version: this key is missing"),
        ("title:", "titel:", "titel: unknown key 'titel'; did you mean 'title'?"),
        ("kind: below,", "kind: belw,", "claims.0.kind: there is no kind 'belw'; did you mean 'below'"),
        ("kind: below, ", "", "claims.0.kind: this key is missing; known are below, context_helps"),
        ("kind: same,", "kind: [same],", "claims.2.kind: there is no kind ['same']"),
        ("lower: [a]", "lwer: [a]", "claims.0.lwer: unknown key 'lwer'; did you mean 'lower'"),
        ("lower: [a]", "lower: a", "claims.0.lower: found 'a' (str), expected a valid list"),
        ("lower: [a]", "lower: []", "claims.0.lower: found [] (list), expected"),
        ("across: [task]", "across: [sigma]", "claims.0.across.0: found 'sigma' (str), expected 'task'"),
        ("fewer: 1, more: 4", "fewer: 4, more: 4", "expected fewer < more, found 4 and 4"),
        ("fewer: 1", "fewer: -1", "claims.1.fewer: found -1 (int), expected greater than or equal to 0"),
        ("sigma: 0.7", "sigma: 0", "claims.1.sigma: found 0 (int), expected greater than 0"),
        ("within: 1", "within: yes", "claims.2.within: found 'yes' (str), expected a valid number"),
        ("than: wrong", "than: nelbo_excess", "expected another metric than 'nelbo_excess' as 'than'"),
        (", than: wrong", "", "claims.4.than: this key is missing"),
        (
            "data: rooms, contexts: 4, lower",
            "data: romos, contexts: 4, lower",
            "there are no data 'romos'; did you mean",
        ),
        ("dataset:", "datset:", "data.rooms.datset: unknown key 'datset'; did you mean 'dataset'"),
        ("text: views help", "text: alike", "claims.2.text: 'alike' stands twice"),
        ("text: views help", "text: ''", "claims.1.text: found '' (str), expected"),
    ],
)
def test_mistakes_are_named(load, old, new, sentence):
    assert GOOD.count(old) >= 1
    with pytest.raises(ConfigError) as error:
        load(GOOD.replace(old, new, 1))
    assert "claims.yaml: " in str(error.value) and sentence in str(error.value)


def test_a_file_that_is_not_there_or_empty_is_a_mistake(load, tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_claims(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="top level: found NoneType"):
        load("")


def test_the_committed_claims_name_data_of_the_suite():
    """The patterns of the committed file are variants that the suite trains, so that no claim waits for ever."""
    from fnmatch import fnmatchcase

    from zoo.bench.suite.settings import load_suite

    suite = load_suite("cpu")
    recipes = {(scenes.recipe, scenes.image_size) for scenes in suite.data.values()}
    claims = load_claims(COMMITTED)
    for choice in claims.data.values():
        assert any(name == choice.dataset and choice.image_size in (None, size) for name, size in recipes), choice
    planned = [(name, part) for part in suite.parts for name in part.data]
    for statement in claims.statements:
        choice = claims.data[statement.data]
        names = {
            name
            for name, scenes in suite.data.items()
            if scenes.recipe == choice.dataset and choice.image_size in (None, scenes.image_size)
        }
        parts = [part for name, part in planned if name in names]
        assert parts, statement.text
        wanted = [getattr(statement, name) for name in ("contexts", "fewer", "more") if hasattr(statement, name)]
        for side in ("variants", "lower", "higher"):
            for pattern in getattr(statement, side, ()):
                fits = [
                    part
                    for part in parts
                    for name in part.variants
                    if (fnmatchcase(name, pattern) or fnmatchcase(pattern, name))
                    and set(wanted) <= set(part.contexts)
                    and statement.targets in (None, part.targets)
                ]
                assert fits, (statement.text, pattern)
