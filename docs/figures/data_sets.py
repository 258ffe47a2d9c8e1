"""Draws a scene of every built-in data set with images: ``python docs/figures/data_sets.py docs/datasets.png``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from zoo.data.built_in import BuiltIn
from zoo.data.render.recipes import RECIPES
from zoo.data.source import MAP
from zoo.figures.sheets import contact_sheet

VIEWS, IMAGE_SIZE = 6, 96


def _views(recipe: BuiltIn, image_size: int) -> np.ndarray:
    """Returns the first views, the map in place of the last where there is one, [VIEWS, H, W, 3] uint8."""
    drawn = recipe.draw(seed=0, split="test", index=0)
    few = drawn._replace(cameras=drawn.cameras[:VIEWS], extras={})
    found = recipe.render_drawn([few], image_size=image_size, device="cpu")
    frames = found.frames[0].numpy()
    if MAP in found.extras:
        frames[-1] = found.extras[MAP][0]
    return frames


def draw_data_sets(path: Path, image_size: int = IMAGE_SIZE) -> None:
    """Draws one row for each data set."""
    with_images = [recipe for recipe in RECIPES.values() if recipe.has_images]
    contact_sheet(
        path,
        frames=np.stack([_views(recipe, image_size) for recipe in with_images]),
        title="The first test scene of every built-in data set with images (mazes and terrain: the map last)",
        scene_labels=[recipe.name for recipe in with_images],
    )


if __name__ == "__main__":
    draw_data_sets(Path(sys.argv[1]))
