import os
import shutil
from pathlib import Path

import pytest

from zoo.bench.suite.settings import Budget, find_suite, load_suite, suite_names
from zoo.comparison.claim_file import load_claims
from zoo.data.render.recipes import RECIPES
from zoo.errors import ConfigError, DataError, ZooError
from zoo.registry.registry import default_registry

GOOD = """\
version: 1
title: mine
data:
  rooms: {recipe: rooms_ring_camera, image_size: 16, train: 4, test: 2}
parts:
  - {variants: [vae], size: smoke, data: [rooms]}
"""


def written(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_users_suite_is_read(tmp_path):
    suite = load_suite(written(tmp_path, GOOD))
    assert suite.data["rooms"].train == 4 and suite.settings.parts[0].variants == ["vae"]
    assert suite.importance_samples(suite.settings.parts[0]) == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: mine", "titel: mine", "unknown key 'titel'; did you mean 'title'?"),
        ("image_size: 16", "imagesize: 16", "data.rooms.imagesize: unknown key 'imagesize'; did you mean 'image_size'"),
        ("variants: [vae]", "variant: [vae]", "parts.0.variant: unknown key 'variant'; did you mean 'variants'?"),
        ("size: smoke", "size: 3", "parts.0.size: found 3 (int)"),
        ("data: [rooms]", "data: [room]", "there are no data 'room'; did you mean 'rooms'?"),
        ("train: 4, ", "", "expected numbers of scenes for train and test"),
        ("title: mine", "title: mine\nbudget: {steps: 4, flops: 1.0e9}", "expected exactly one of steps, scenes"),
        ("title: mine", "title: mine\nbudget: {hours: 4}", "budget.hours: unknown key 'hours'"),
        ("title: mine", "title: mine\nbounds: [ELBO, IWAE10]", "IWAE-10"),
        ("title: mine", "title: mine\nseeds: [1, 1]", "different numbers"),
        ("version: 1", "version: 2", "version: found 2"),
        ("title: mine", "title: mine\nbudget: {samples: 40}", "budget.samples: unknown key 'samples'"),
        ("title: mine", "title: mine\nbudget: {flops: 1.0e+300}", "budget.flops: found 1e+300"),
        ("title: mine", f"title: mine\nbudget: {{steps: {10**50}}}", "budget.steps: found 1000"),
        ("title: mine", "title: mine\nsigma: 1.0e+30", "sigma: found 1e+30"),
        ("title: mine", f"title: mine\nseeds: [{2**64}]", "seeds.0: found 18446744073709551616"),
        (
            "rooms_ring_camera",
            "rooms_rings",
            "data.rooms: recipe: there is no built-in data set 'rooms_rings'; did you mean",
        ),
        ("  rooms: {", "  ../../../pwn: {", "data: '../../../pwn' is not a name"),
        ("  rooms: {", "  /tmp/pwn: {", "data: '/tmp/pwn' is not a name"),
        ("  rooms: {", "  .writing-rooms: {", "data: '.writing-rooms' is not a name"),
    ],
)
def test_a_mistake_is_reported_with_file_and_place(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ZooError) as error:
        load_suite(written(tmp_path, GOOD.replace(old, new)))
    assert message in str(error.value) and "mine.yaml" in str(error.value) and "\n" not in str(error.value)


def with_folder(tmp_path, folder):
    data = "rooms: {recipe: rooms_ring_camera, image_size: 16, train: 4, test: 2}"
    return written(tmp_path, GOOD.replace(data, f"rooms: {{folder: {folder}}}"))


def test_a_relative_folder_starts_at_the_suites_file(tmp_path, scenes, monkeypatch):
    (tmp_path / "suites" / "data").mkdir(parents=True)
    shutil.copytree(scenes, tmp_path / "suites" / "data" / "noise")
    monkeypatch.chdir(tmp_path)
    file = with_folder(tmp_path / "suites", "data/noise")
    expected = tmp_path / "suites" / "data" / "noise"
    for name in (file, os.path.relpath(file, tmp_path)):
        assert load_suite(name).data["rooms"].directory("rooms", output=tmp_path) == expected


def test_a_folder_with_a_null_character_is_refused(tmp_path):
    with pytest.raises(ZooError, match=r"data\.rooms: folder: found 'a\\x00b', expected a path"):
        load_suite(with_folder(tmp_path, r'"a\0b"'))


def test_an_absolute_folder_is_read_where_it_is(tmp_path, scenes):
    assert load_suite(with_folder(tmp_path, scenes)).data["rooms"].directory("rooms", output=tmp_path) == scenes


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("data/none", "data.rooms: .*none: there is no such folder"),
        ("/no/such/folder", "data.rooms: /no/such/folder: there is no such folder"),
        ("empty", "data.rooms: .*empty: holds no scenes"),
        ("../outside", r"data.rooms: folder: found '../outside', expected a path below the suite file's folder"),
        ("link", r"data.rooms: folder: found 'link', expected a path below the suite file's folder"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused(tmp_path, scenes, folder, message):
    suites = tmp_path / "suites"
    (suites / "empty").mkdir(parents=True)
    shutil.copytree(scenes, tmp_path / "outside")
    (suites / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=message):
        load_suite(with_folder(suites, folder))


def test_an_unknown_suite_is_reported_with_the_nearest_name():
    with pytest.raises(ConfigError, match="no suite 'papers'; did you mean 'paper'"):
        find_suite("papers")


def test_the_shipped_suites():
    assert suite_names() == ["cpu", "functions", "localisation", "paper", "quickstart", "smoke", "throughput"]


def test_the_paper_suite_compares_at_equal_compute():
    suite = load_suite("paper")
    assert suite.settings.budget.flops
    assert all(part.budget is None or part.budget.flops for part in suite.settings.parts)


def test_the_cpu_suite_has_every_system_with_eight_seeds_and_ten_contrasts():
    suite = load_suite("cpu")
    registry = default_registry()
    names = {name for part in suite.settings.parts for pattern in part.variants for name in registry.names(pattern)}
    systems = {
        "cgqn",
        "convolutional_cnp",
        "draw",
        "gqn",
        "gqn_attention",
        "gqn_epipolar",
        "neural_process",
        "reversed",
    }
    assert {registry.variant(name).core.use for name in names} >= systems | {"slim", "vae"}
    assert len(suite.settings.seeds) == 8
    claims = load_claims(Path(__file__).resolve().parents[3] / "results" / "claims.yaml")
    assert len([claim for claim in claims.claims if claim.same_as is None]) <= 10
    trained = {scenes.recipe for scenes in suite.data.values()}
    assert {choice.dataset for choice in claims.data.values()} == trained


@pytest.mark.parametrize("name", suite_names())
def test_recipes_of_shipped_suites_exist(name):
    assert {scenes.recipe for scenes in load_suite(name).data.values()} <= set(RECIPES)


def test_a_budget_has_exactly_one_field():
    with pytest.raises(ValueError, match="found 0"):
        Budget()
