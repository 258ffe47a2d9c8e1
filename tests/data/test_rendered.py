import numpy as np
import pytest
import torch

from zoo.config.recipe import Contexts, TrainingRecipe
from zoo.data.device_cache import MadeOnDevice
from zoo.data.loader import TrainingLoader, read_all
from zoo.data.make import make_dataset
from zoo.data.plan import TrainingPlan
from zoo.data.rendered import RenderedScenes
from zoo.data.store import SceneStore
from zoo.errors import DataError

SIZES = {"image_size": 8, "num_views": 4, "seed": 3}
RECIPE = TrainingRecipe(steps=4, batch_size=3, contexts=Contexts(minimum=1, maximum=2), targets=1)


@pytest.fixture(scope="module", params=["rooms_ring_camera", "captioned_rooms", "functions_rbf"])
def both(request, tmp_path_factory):
    """The same scenes rendered into a store and rendered in place."""
    folder = tmp_path_factory.mktemp("scenes") / "store"
    make_dataset(request.param, folder=folder, num_scenes={"train": 5}, workers=0, **SIZES)
    return SceneStore(folder, "train"), RenderedScenes(request.param, split="train", num_scenes=5, **SIZES)


def test_scenes_are_those_of_the_store(both, monkeypatch):
    store, rendered = both
    monkeypatch.setattr("zoo.data.rendered.SCENES_AT_A_TIME", 2)
    for name in ("name", "split", "num_scenes", "num_views", "image_size"):
        assert getattr(store, name) == getattr(rendered, name), name
    assert dict(store.extras) == dict(rendered.extras)
    scenes, views = np.array([4, 0, 2]), np.array([[3, 0], [1, 1], [2, 3]])
    for found, expected in zip(rendered.read(scenes, views), store.read(scenes, views), strict=True):
        assert found.dtype == expected.dtype and np.array_equal(found, expected)
    found, expected = rendered.read_extras(scenes, views), store.read_extras(scenes, views)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_training_draws_the_same_batches_in_place(both):
    store, rendered = both
    assert isinstance(rendered, MadeOnDevice) and not isinstance(store, MadeOnDevice)
    drawn = [
        list(
            TrainingLoader(
                source, plan=TrainingPlan(source, recipe=RECIPE, seed=0), device="cpu", residence=residence
            ).pieces(start=0, stop=4)
        )
        for source, residence in ((store, "disk"), (rendered, "device"), (rendered, "auto"))
    ]
    for one, *others in zip(*drawn, strict=True):
        for other in others:
            assert one.num_context == other.num_context
            assert all(torch.equal(a, b) for a, b in zip(one.batch[:4], other.batch[:4], strict=True))
            assert all(torch.equal(one.batch.extras[name], other.batch.extras[name]) for name in store.extras)


def test_scenes_are_rendered_once_and_not_copied_to_where_they_lie():
    rendered = RenderedScenes("rooms_ring_camera", split="train", num_scenes=2, **SIZES)
    first = read_all(rendered, device="cpu")
    assert read_all(rendered, device="cpu").frames.data_ptr() == first.frames.data_ptr()


def test_the_revision_tells_what_was_rendered_but_not_how_many():
    def revision(recipe="rooms_ring_camera", *, split="train", num_scenes=2, **changes):
        return RenderedScenes(recipe, split=split, num_scenes=num_scenes, **{**SIZES, **changes}).revision

    assert revision() == revision(num_scenes=9) == revision(split="test")
    others = {revision("jaco"), revision(seed=4), revision(image_size=12), revision(num_views=5), revision()}
    assert len(others) == 5


def test_mistakes_are_told_as_when_a_store_is_made():
    with pytest.raises(DataError, match="no built-in data set 'rooms_ring_camra'"):
        RenderedScenes("rooms_ring_camra", split="train", num_scenes=2)
    with pytest.raises(DataError, match="0 scenes for split 'train'"):
        RenderedScenes("jaco", split="train", num_scenes=0)
