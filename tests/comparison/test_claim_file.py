"""The file of claims is checked key by key; every mistake names the file, the key, what was found and what was expected."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from zoo.comparison.claim_file import load_claims
from zoo.errors import ConfigError

COMMITTED = Path(__file__).resolve().parents[2] / "results" / "claims.yaml"
GOOD = """
version: 2
title: What we claim
data:
  rooms: {dataset: rooms_ring_camera, image_size: 16, sigma: 0.7}
claims:
  - {text: a beats b, data: rooms, contexts: 4, variants: [a], better_than: {variants: ["b*"], across_tasks: true}}
  - {text: views help, data: rooms, contexts: 4, variants: [a], better_than: {contexts: 1}}
  - {text: alike, data: rooms, contexts: 4, variants: [a], same_as: [b]}
  - {text: past the mean, data: rooms, contexts: 4, variants: [a], better_than: {baselines: [mean-image]}}
  - {text: the context matters, data: rooms, contexts: 4, variants: [a], better_than: {metric: wrong}}
"""


@pytest.fixture
def load(tmp_path):
    def read(text):
        path = tmp_path / "claims.yaml"
        path.write_text(text, encoding="utf-8")
        return load_claims(path)

    return read


def test_every_comparison_is_read(load):
    claims = load(GOOD)
    first, views, same, baseline, metric = claims.claims
    assert (first.variants, first.better_than.variants, first.better_than.across_tasks) == (["a"], ["b*"], True)
    assert first.metric == "nelbo_excess" and first.same_as is None and same.same_as == ["b"]
    assert (views.contexts, views.better_than.contexts) == (4, 1)
    assert baseline.better_than.baselines == ["mean-image"] and metric.better_than.metric == "wrong"
    rooms = claims.data["rooms"]
    assert (rooms.dataset, rooms.split, rooms.sigma) == ("rooms_ring_camera", "test", 0.7)
    assert claims.place(2).endswith("claims.yaml: claim 2 ('views help')")


def test_families_are_read_in_order(load):
    families = GOOD.replace("data:\n", "families: [second, first]\ndata:\n", 1).replace(
        "data: rooms,", "data: rooms, family: first,"
    )
    claims = load(families)
    assert claims.families == ("second", "first") and {claim.family for claim in claims.claims} == {"first"}
    assert load(GOOD).families == ()
    for text, found, expected in (
        (families.replace("family: first,", "", 1), "claims.0.family: found None", "second, first"),
        (families.replace("family: first", "family: third", 1), "claims.0.family: found 'third'", "second, first"),
        (GOOD.replace("data: rooms,", "data: rooms, family: first,", 1), "claims.0.family: found 'first'", "none"),
    ):
        with pytest.raises(ConfigError, match=f"{found}, expected one of families: {expected}"):
            load(text)
    with pytest.raises(ConfigError, match="families: found first, first, expected different names"):
        load(families.replace("[second, first]", "[first, first]"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("version: 2", "version: 1", "version: found 1 (int), expected 2"),
        ("version: 2\n", "", "version: this key is missing"),
        ("title:", "titel:", "titel: unknown key 'titel'; did you mean 'title'?"),
        ("variants: [a], better", "varants: [a], better", "claims.0.varants: unknown key 'varants'; did you mean"),
        ("variants: [a], better", "variants: a, better", "claims.0.variants: found 'a' (str), expected a valid list"),
        ("variants: [a], better", "variants: [], better", "claims.0.variants: found [] (list), expected"),
        ("contexts: 1", "contexts: 4", "expected another number of contexts than 4 in 'better_than'"),
        (
            "contexts: 1",
            "contexts: -1",
            "claims.1.better_than.contexts: found -1 (int), expected greater than or equal",
        ),
        ("contexts: 1", "contexts: 1, metric: kl", "exactly one of variants, baselines, contexts and metric, found 2"),
        ("{contexts: 1}", "{}", "exactly one of variants, baselines, contexts and metric, found 0"),
        (", same_as: [b]", "", "expected either 'better_than' or 'same_as'"),
        ("same_as: [b]", "same_as: [b], better_than: {contexts: 1}", "expected either 'better_than' or 'same_as'"),
        ("sigma: 0.7", "sigma: 0", "data.rooms.sigma: found 0 (int), expected greater than 0"),
        ("metric: wrong", "metric: nelbo_excess", "another metric than 'nelbo_excess' in 'better_than'"),
        ("data: rooms, contexts: 4", "data: romos, contexts: 4", "there is no data 'romos'; did you mean"),
        ("dataset:", "datset:", "data.rooms.datset: unknown key 'datset'; did you mean 'dataset'"),
        ("text: views help", "text: alike", "claims.2.text: 'alike' occurs twice"),
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


def test_the_committed_claims_are_about_the_suite():
    """The patterns of the committed file are variants that the suite trains, so that no claim stays unknown."""
    from zoo.bench.suite.settings import load_suite

    suite = load_suite("cpu")
    claims = load_claims(COMMITTED)
    for claim in claims.claims:
        choice = claims.data[claim.data]
        names = {
            name
            for name, scenes in suite.data.items()
            if scenes.recipe == choice.dataset and choice.image_size in (None, scenes.image_size)
        }
        parts = [
            part for part in suite.settings.parts if names & set(part.data) and choice.targets in (None, part.targets)
        ]
        assert parts, claim.text
        other = claim.better_than
        contexts = {claim.contexts} | ({other.contexts} if other and other.contexts is not None else set())
        for pattern in [*claim.variants, *(claim.same_as or []), *((other and other.variants) or [])]:
            assert any(
                (fnmatchcase(name, pattern) or fnmatchcase(pattern, name)) and contexts <= set(part.contexts)
                for part in parts
                for name in (full.partition("@")[0] for full in part.variants)
            ), (claim.text, pattern)
