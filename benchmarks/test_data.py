"""Rendering, and loading of scenes in all ways of the loader and of public code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed.loading import ENDLESS, STEPS, draw, loaders_of, write_all_formats
from benchmarks.subject import DEVICE
from zoo.data.loader import TrainingLoader
from zoo.data.render.recipes import RECIPES
from zoo.evaluation.timing import synchronise

CASES = {"smoke": (32, 16), "full": (256, 64)}  # scenes, pixels


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def loaders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingLoader]:
    """Writes the same scenes in all formats."""
    scenes, pixels = CASES[request.param]
    folder: Path = tmp_path_factory.mktemp("scenes")
    write_all_formats(folder, num_scenes=scenes, image_size=pixels)
    return loaders_of(folder, device=DEVICE)


@pytest.mark.parametrize("way", STEPS)
def test_loading_speed(benchmark: Any, loaders: dict[str, TrainingLoader], way: str) -> None:
    """Training batches of 36 scenes on the device, without the start of workers."""
    loader = loaders[way]
    batches = loader.pieces(start=0, stop=ENDLESS)

    def run() -> None:
        counts.append(draw(batches, steps=STEPS[way]))
        synchronise(DEVICE)

    counts: list[int] = []
    benchmark.group = f"loading ({loader.source.image_size} pixels)"
    benchmark.pedantic(run, warmup_rounds=1, rounds=5)
    speeds = sorted(views / seconds for views, seconds in zip(counts[1:], benchmark.stats.stats.data, strict=True))
    benchmark.extra_info.update(way=way, workers=loader.workers, device=DEVICE.type, unit="views/s")
    benchmark.extra_info["views_per_second"] = speeds[len(speeds) // 2]


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.has_images])
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
