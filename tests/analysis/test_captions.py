"""Captions in other words, and the analysis ``captions`` of a model that is not trained."""

import numpy as np
import pytest
from analysis_inputs import make_inputs, trained_model

from zoo.analysis import captions
from zoo.data.make import make_dataset
from zoo.data.opening import open_scenes
from zoo.data.render.caption_grammar import encode_captions, paraphrases
from zoo.errors import DataError
from zoo.registry.registry import default_registry
from zoo.registry.variant import build


@pytest.fixture(scope="module")
def variant():
    return default_registry().variant("slim", size="smoke", overrides=["training.contexts={minimum: 0, maximum: 2}"])


@pytest.fixture(scope="module")
def source(tmp_path_factory, variant):
    folder = tmp_path_factory.mktemp("captions") / "rooms"
    size, views = variant.image_size, variant.training.contexts.maximum + 1
    make_dataset("captioned_rooms", folder=folder, num_scenes={"test": 3}, image_size=size, num_views=views, workers=0)
    return open_scenes(folder, "test")


def test_scenes_are_described_as_in_the_data(source):
    described = captions.describe(source, num_scenes=3)
    views = np.broadcast_to(np.arange(source.num_views), (3, source.num_views))
    stored = source.read_extras(np.arange(3), views)["captions"]
    for scene, cameras, expected in zip(described.scenes, described.cameras, stored, strict=True):
        texts = [paraphrases(scene, camera=camera, num=1)[0] for camera in cameras]
        np.testing.assert_array_equal(encode_captions(texts, length=stored.shape[-1]), expected)


def test_other_words_are_other_words(source, variant):
    described = captions.describe(source, num_scenes=3)
    trained = trained_model(build(variant), variant)
    evaluation = make_inputs({"x": trained}, source).evaluation(trained, num_context=2)
    (part,) = evaluation.batches()
    changed = captions.reworded(part.batch, evaluation.plan(part.scenes).views, described)
    assert (changed.extras["captions"] != part.batch.extras["captions"]).any(-1).all()


def test_all_captions_are_compared_on_the_same_images(source, variant):
    trained = trained_model(build(variant), variant)
    findings = captions.run(make_inputs({"x": trained}, source))
    assert len(findings.claims) == 5
    none = findings.table.query("position == 0 and quantity.str.startswith('x: ')")["mean"]
    assert none.nunique() == 1 and len(none) == 3


def test_claims_about_several_models_are_corrected_together(source, variant, monkeypatch):
    tested = []
    monkeypatch.setattr(captions, "conclude", lambda expectations: tested.append(len(expectations)) or [])
    captions.run(make_inputs({name: trained_model(build(variant), variant) for name in "xy"}, source))
    assert tested == [10]


def test_scenes_without_factors_are_refused(array_scenes):
    with pytest.raises(DataError, match="arrays: has no factors of its scenes"):
        captions.describe(array_scenes(), num_scenes=2)
