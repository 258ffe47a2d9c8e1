"""benchmarks/recipes: every variant of its registry file is the recipe with one part changed."""

from pathlib import Path

import pytest

from zoo.bench.suite.plan import matching_names
from zoo.bench.suite.settings import load_suite
from zoo.registry.registry import default_registry

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "recipes"
REGISTRY = default_registry([FOLDER / "registry.yaml"])
(PART,) = load_suite(str(FOLDER / "suite.yaml")).settings.parts
NAMES = matching_names(PART.variants, exclude=PART.exclude, registry=REGISTRY)


def settings_of(name):
    """Every setting by its dotted name; the parts of a schedule count as one."""
    found = {}

    def walk(value, place):
        if isinstance(value, dict) and "." not in place:
            for key, inner in value.items():
                walk(inner, f"{place}.{key}" if place else key)
        else:
            found[place] = value

    config = REGISTRY.variant(name, size=PART.size).config()
    walk({key: config[key] for key in ("encoder", "core", "likelihood", "image_size", "training")}, "")
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name != "recipe"])
def test_one_part_differs(name):
    recipe, changed = settings_of("recipe"), settings_of(name)
    differing = {place for place in changed if changed[place] != recipe[place]}
    together = {
        "recipe-one-target": {"training.targets", "training.batch_size"},
        "recipe-rays": {"encoder.pose", "core.pose"},
    }
    assert recipe.keys() == changed.keys()
    assert differing == together[name] if name in together else len(differing) == 1


def test_the_recipe_is_that_of_the_improved_entry():
    assert settings_of("recipe") == settings_of("gqn-epipolar-improved")
    assert len(NAMES) > 10
