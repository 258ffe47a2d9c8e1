"""The committed index of episodes: what every shipped suite measures on."""

import re

import numpy as np
import pytest

from zoo.bench.suite.plan import largest_episodes
from zoo.bench.suite.settings import load_suite, suite_names
from zoo.data import plan
from zoo.data.plan import EvaluationPlan, drawn_order, index_folder, index_name, read_index, view_order, write_index
from zoo.errors import DataError
from zoo.registry.registry import default_registry

SIZES = {"num_scenes": 5, "num_views": 6, "seed": 3}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "index_folder", lambda: tmp_path)
    read_index.cache_clear()
    return tmp_path


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_has_its_index_as_far_as_its_largest_episode(name):
    """If this fails: gqn-zoo data episodes SUITE -o benchmarks/episodes."""
    largest = largest_episodes(load_suite(name), registry=default_registry())
    for (num_scenes, num_views, seed), needed in largest.items():
        path = index_folder() / index_name(num_scenes=num_scenes, num_views=num_views, seed=seed)
        assert read_index(path, num_scenes=num_scenes, num_views=num_views).shape[1] >= needed


def test_the_committed_indices_equal_the_draws_of_their_seeds():
    """If this fails, numbers are drawn otherwise than they were: the index, not the draw, is what tables are made on."""
    files = sorted(index_folder().iterdir())
    assert files
    for path in files:
        num_scenes, num_views, seed = map(int, re.findall(r"\d+", path.stem))
        found = read_index(path, num_scenes=num_scenes, num_views=num_views)
        expected = drawn_order(num_scenes=num_scenes, num_views=num_views, seed=seed)
        np.testing.assert_array_equal(found, expected[:, : found.shape[1]])


def test_an_index_that_is_there_decides(folder, array_scenes):
    path = write_index(folder, **SIZES, needed=3)
    assert path.name == "5-scenes-6-views-seed-3.txt"
    lines = path.read_text().splitlines()
    assert [len(line.split()) for line in lines[1:]] == [3] * 5
    lines[2] = "5 4 3"
    path.write_text("\n".join(lines) + "\n")
    read_index.cache_clear()
    source = array_scenes(num_scenes=5)
    plan = EvaluationPlan(source, num_context=2, num_targets=1, seed=3)
    assert plan.views[1].tolist() == [4, 3, 5]  # the first of the index is the target
    drawn = EvaluationPlan(source, num_context=3, num_targets=1, seed=3)  # further than the index reaches
    assert drawn.views[1, [3, 0, 1, 2]].tolist() == drawn_order(**SIZES)[1, :4].tolist()


def test_index_and_draw_give_the_same_episodes(folder, array_scenes):
    source = array_scenes(num_scenes=5)
    before = EvaluationPlan(source, num_context=2, num_targets=2, seed=3, max_scenes=4)
    write_index(folder, **SIZES, needed=4)
    after = EvaluationPlan(source, num_context=2, num_targets=2, seed=3, max_scenes=4)
    assert before.digest() == after.digest() and before.views.shape == (4, 4)


def test_an_index_only_grows(folder):
    write_index(folder, **SIZES, needed=4)
    path = write_index(folder, **SIZES, needed=2)
    assert read_index(path, num_scenes=5, num_views=6).shape == (5, 4)
    write_index(folder, **SIZES, needed=5)
    assert view_order(**SIZES, needed=5).shape == (5, 5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 1 6", "scene 2: expected different numbers of views below 6, found '0 1 6'"),
        ("0 1 x", "could not convert string 'x' to int64 at row 1, column 3"),
        ("0 1 1", "scene 2: expected different numbers of views below 6, found '0 1 1'"),
        ("0 1", "the number of columns changed from 3 to 2 at row 2"),
        ("", "found 4 scenes, expected 5"),
        (None, "found 4 scenes, expected 5"),
    ],
)
def test_a_damaged_index_is_refused(folder, line, message):
    path = write_index(folder, **SIZES, needed=3)
    lines = path.read_text().splitlines()
    lines[2:3] = [] if line is None else [line]
    path.write_text("\n".join(lines) + "\n")
    read_index.cache_clear()
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + message):
        view_order(**SIZES, needed=3)


def test_another_index_is_never_overwritten(folder):
    path = write_index(folder, **SIZES, needed=3)
    path.write_text(path.read_text().replace("\n", "\n", 1).splitlines()[0] + "\n" + "0 1 2\n" * 5)
    read_index.cache_clear()
    with pytest.raises(DataError, match="differs from the views that seed 3 draws"):
        write_index(folder, **SIZES, needed=4)
