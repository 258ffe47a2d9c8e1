"""Rows of the mean image and of the nearest view, on the episodes of variants."""

import pytest

from zoo.bench.baselines import baseline_rows
from zoo.bench.protocol import Protocol
from zoo.registry.registry import default_registry
from zoo.results.store import load_row, save_row

PROTOCOL = Protocol(num_context=2, num_targets=2, repeats=0)


@pytest.fixture
def scenes(array_scenes):
    return {
        "test": array_scenes(num_scenes=5),
        "train": array_scenes(num_scenes=4, seed=1),
        "validation": array_scenes(num_scenes=3, seed=2),
    }


def made(name, scenes, *, protocol=PROTOCOL, present=(), size="smoke"):
    variant = default_registry().variant(name, size=size)
    return list(baseline_rows(variant, scenes, protocol=protocol, present=present, command=["gqn-zoo", "evaluate"]))


def test_a_baseline_is_a_row_like_any_other(scenes, tmp_path):
    rows = made("gqn-tower", scenes)
    assert [(row.variant, row.core, row.encoder) for row in rows] == [
        ("mean-image", "mean_image", "none"),
        ("nearest-view", "nearest_view", "none"),
    ]
    for row in rows:
        assert load_row(save_row(row, tmp_path)) == row
        assert row.is_baseline and not row.performance
        assert (row.key.likelihood, row.key.sigma, row.key.num_context, row.key.num_targets) == (
            "annealed_gaussian",
            0.7,
            2,
            2,
        )
        assert {"nelbo_excess", "distortion", "mae_255", "rmse_255", "psnr", "bits_per_dim"} <= set(row.metrics)
        assert row.metrics["kl"].value == 0 and row.metrics["code_sigma"].n == 3
        assert row.per_scene["distortion"] == row.per_scene["nelbo_excess"]


def test_a_baseline_has_the_key_of_the_variants_rows(scenes, tmp_path):
    from zoo.bench.measurement import evaluate
    from zoo.registry.variant import build
    from zoo.training.trained_model import TrainedModel, TrainingCost

    variant = default_registry().variant("cvae", size="smoke")
    config = {**variant.config(), "seed": 0}
    trained = TrainedModel(
        model=build(variant).eval(),
        variant=variant,
        run=tmp_path,
        config=config,
        step=1,
        seconds=1.0,
        spent=TrainingCost(1, 1.0),
    )
    row = evaluate(trained, scenes["test"], protocol=Protocol(num_context=2, num_targets=2, repeats=0, metrics=()))
    assert not row.is_baseline
    assert {baseline.key.model_dump_json() for baseline in made("cvae", scenes)} == {row.key.model_dump_json()}


def test_existing_baselines_are_not_measured_again(scenes):
    rows = made("gqn-tower", scenes)
    assert made("cvae", scenes, present=rows) == []
    assert [row.variant for row in made("cvae", scenes, present=rows[:1])] == ["nearest-view"]
    other = Protocol(num_context=1, num_targets=2, repeats=0)
    assert len(made("cvae", scenes, present=rows, protocol=other)) == 2


@pytest.mark.parametrize("name", ["gqn-tower-8bit", "gqn-laplace", "gqn-mazes", "reversed-gqn"])
def test_other_likelihoods_and_tasks_have_no_baselines(scenes, name):
    variant = default_registry().variant(name, size="smoke")
    if variant.task.settings.get("map"):
        pytest.skip("its scenes need a map")
    assert made(name, scenes) == []


def test_without_context_there_is_no_nearest_view(scenes):
    protocol = Protocol(num_context=0, num_targets=1, repeats=0)
    assert [row.variant for row in made("gqn-tower", scenes, protocol=protocol)] == ["mean-image"]
    assert [row.variant for row in made("draw-unconditional", scenes)] == ["mean-image"]


def test_without_bits_per_dim_no_sigma_is_fitted(scenes):
    protocol = Protocol(num_context=1, num_targets=1, repeats=0, metrics=())
    for row in made("gqn-tower", scenes, protocol=protocol):
        assert "bits_per_dim" not in row.metrics and "code_sigma" not in row.metrics
