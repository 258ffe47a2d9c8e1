import pytest

from zoo.bench.suite.settings import Budget, find_suite, load_suite, suite_names
from zoo.data.render.recipes import RECIPES
from zoo.errors import ConfigError
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


def test_a_suite_of_ones_own_is_read(tmp_path):
    suite = load_suite(written(tmp_path, GOOD))
    assert suite.data["rooms"].train == 4 and suite.parts[0].variants == ["vae"]
    assert suite.importance_samples(suite.parts[0]) == ()


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
    ],
)
def test_a_mistake_is_reported_with_file_and_place(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ConfigError) as error:
        load_suite(written(tmp_path, GOOD.replace(old, new)))
    assert message in str(error.value) and "mine.yaml" in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_suite_is_reported_with_the_nearest_name():
    with pytest.raises(ConfigError, match="no suite 'papers'; did you mean 'paper'"):
        find_suite("papers")


def test_the_shipped_suites():
    assert suite_names() == ["cpu", "functions", "localisation", "paper", "quickstart", "smoke", "throughput"]


def test_the_papers_suite_compares_at_equal_compute():
    suite = load_suite("paper")
    assert suite.settings.budget.flops
    assert all(part.budget is None or part.budget.flops for part in suite.parts)


def test_the_suite_for_cpus_has_every_variant_with_three_seeds():
    suite = load_suite("cpu")
    patterns = [pattern for part in suite.parts for pattern in part.variants]
    registry = default_registry()
    assert {name for pattern in patterns for name in registry.names(pattern)} == set(registry.names())
    assert len(suite.settings.seeds) >= 3


@pytest.mark.parametrize("name", suite_names())
def test_recipes_of_shipped_suites_exist(name):
    assert {scenes.recipe for scenes in load_suite(name).data.values()} <= set(RECIPES)


def test_a_budget_is_one_thing():
    with pytest.raises(ValueError, match="found 0"):
        Budget()
