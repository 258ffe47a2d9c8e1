"""Rendering, and feeding scenes from a store by every way that the loader has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import DEVICE
from zoo.data.loader import Residence, TrainingLoader
from zoo.data.make import make_dataset
from zoo.data.plan import TrainingPlan
from zoo.data.render.recipes import RECIPES
from zoo.data.store import SceneStore
from zoo.recipe import TrainingRecipe

STEPS = 20
CASES = {"smoke": (32, 16), "full": (256, 64)}  # scenes, pixels


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SceneStore]:
    """Renders a small scene store."""
    scenes, pixels = CASES[request.param]
    folder: Path = tmp_path_factory.mktemp("scenes") / "store"
    make_dataset("rooms_ring_camera", folder=folder, num_scenes={"train": scenes}, image_size=pixels, workers=0)
    yield SceneStore(folder, "train")


@pytest.mark.parametrize(("residence", "workers"), [("disk", 0), ("disk", 2), ("device", 0)])
def test_loader(benchmark: Any, store: SceneStore, residence: Residence, workers: int) -> None:
    """Batches on the device, as training gets them; starting the workers is part of it."""
    recipe = TrainingRecipe(steps=STEPS)
    loader = TrainingLoader(
        store, plan=TrainingPlan(store, recipe=recipe, seed=0), device=DEVICE, workers=workers, residence=residence
    )

    def epoch() -> int:
        return sum(
            batch.batch.frames.shape[0] * batch.batch.frames.shape[1] for batch in loader.pieces(start=0, stop=STEPS)
        )

    benchmark.group = f"loader ({store.image_size} pixels)"
    views = benchmark.pedantic(epoch, warmup_rounds=1, rounds=3)
    benchmark.extra_info.update(residence=residence, workers=workers, device=DEVICE.type, unit="views")
    benchmark.extra_info["views_per_second"] = views / benchmark.stats.stats.median


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.has_pictures])
@pytest.mark.parametrize("size", CASES)
def test_rendering(benchmark: Any, name: str, size: str) -> None:
    """Eight scenes in one process."""
    pixels = CASES[size][1]
    benchmark.group = f"rendering ({size})"
    rendering = benchmark.pedantic(
        lambda: RECIPES[name].render(seed=0, scene_indices=range(8), split="train", image_size=pixels, device=DEVICE),
        warmup_rounds=1,
        rounds=3,
    )
    images = rendering.frames.shape[0] * rendering.frames.shape[1]
    benchmark.extra_info.update(dataset=name, pixels=pixels, device=DEVICE.type, unit="images")
    benchmark.extra_info["images_per_second"] = images / benchmark.stats.stats.median
