"""The extents of the suite `localisation` contain the cameras of its scenes: those outside would count into edge bins."""

import numpy as np
import pytest

from zoo.bench.suite.settings import load_suite
from zoo.data.camera import CAMERA_FIELDS
from zoo.data.make import make_dataset
from zoo.data.opening import open_scenes

SUITE = load_suite("localisation")


@pytest.mark.parametrize("name", list(SUITE.data))
def test_every_camera_lies_within_the_extents(name, tmp_path):
    scenes = SUITE.data[name]
    make_dataset(
        scenes.recipe,
        folder=tmp_path / "scenes",
        num_scenes={"train": 40, "validation": 1, "test": 1},
        image_size=16,
        num_views=scenes.views,
        seed=0,
        workers=0,
    )
    source = open_scenes(tmp_path / "scenes", "train")
    chosen = np.arange(source.num_scenes)
    _, read = source.read(chosen, np.tile(np.arange(source.num_views), (len(chosen), 1)))
    cameras = dict(zip(CAMERA_FIELDS, read.reshape(-1, 5).T, strict=True))
    for part in SUITE.settings.parts:
        likelihood = part.set.get("likelihood", {})
        scored = likelihood.get("coordinates", list(CAMERA_FIELDS))
        if name not in part.data:
            continue
        for field in scored:
            assert cameras[field].std() > 0, f"{field} is constant, and a density of it means nothing"
            if field in likelihood:
                low, high = likelihood[field]
                assert low <= cameras[field].min() and cameras[field].max() <= high, (part.variants, field)
