"""Representations of sets of views and their decoding, on a model whose r is known, and on every registered variant."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoo.analysis.image_latents import describe_by, is_vae
from zoo.analysis.view_sets import Systems, usable_sizes
from zoo.config.schedules import schedule_values
from zoo.episode import SceneBatch
from zoo.errors import ConfigError
from zoo.evaluation.representations import (
    decode,
    encode_views,
    has_representation,
    is_decodable,
    mean_pixels,
)
from zoo.nn.noise import scene_keys
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

REGISTRY = default_registry()
SCHEDULE = schedule_values(sigma=0.7)
RNG = np.random.default_rng(0)


def views(size, *, sets=3, number=2):
    cameras = RNG.normal(size=(sets, number, 5)).astype(np.float32)
    return RNG.integers(256, size=(sets, number, size, size, 3), dtype=np.uint8), cameras


def variant(name):
    return build(REGISTRY.variant(name, size="smoke"), seed=0).eval()


@pytest.mark.parametrize("name", ["gqn-tower", "gqn-pool", "cgqn", "draw"])
def test_decoding_the_encoders_own_r_is_the_models_prediction(name):
    model = variant(name)
    assert is_decodable(model)
    frames, cameras = views(model.task.target_shape[-1])
    pooled = encode_views(model, frames[:, :1], cameras[:, :1])
    assert pooled.shape[1:] == tuple(model.encoder.shape)
    images = decode(model, pooled, cameras[:, 1:], schedule=SCHEDULE, num_samples=2)
    places = torch.arange(len(frames))
    keys = scene_keys(seed=0, step=0, places=places)
    batch = SceneBatch(torch.from_numpy(frames), torch.from_numpy(cameras), scene=places, key=keys)
    predicted = model.predict(batch, SCHEDULE, 1, num_samples=2).expected.mean(0)
    np.testing.assert_allclose(images, predicted.movedim(2, -1).numpy(), atol=1e-5)


def test_kinds_of_models_are_told_apart():
    found = {name: variant(name) for name in ("gqn-tower", "gqn-attention", "gqn-epipolar", "vae", "cvae", "slim")}
    assert {name for name, model in found.items() if has_representation(model)} == {"gqn-tower", "cvae"}
    assert {name for name, model in found.items() if is_decodable(model)} == {"gqn-tower", "cvae"}
    assert {name for name, model in found.items() if is_vae(model)} == {"vae"}


@pytest.mark.parametrize("name", ["gqn-tower", "vae"])
def test_features_do_not_depend_on_the_order_of_the_views_or_on_other_sets(name):
    model = variant(name)
    frames, cameras = views(model.task.target_shape[-1], sets=2, number=3)
    describe = describe_by(model)
    found = describe(frames, cameras)
    np.testing.assert_allclose(describe(frames[:, ::-1].copy(), cameras[:, ::-1].copy()), found, atol=1e-5)
    np.testing.assert_allclose(describe(frames[1:], cameras[1:]), found[1:], atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_pixels_are_the_mean_image():
    frames, cameras = views(4)
    np.testing.assert_allclose(mean_pixels(frames, cameras)[1], frames[1].mean(0).flatten() / 255.0, atol=1e-6)


def test_models_that_share_no_size_of_sets_are_refused_with_all_sizes(array_scenes):
    contexts = SimpleNamespace(minimum=5, maximum=9)
    models = {"r": SimpleNamespace(variant=SimpleNamespace(training=SimpleNamespace(contexts=contexts)))}
    given = SimpleNamespace(models=models, scenes=array_scenes(num_views=20))
    with pytest.raises(ConfigError, match="all trained with 4 or 2 views, and scenes of twice as many"):
        usable_sizes(given, Systems({}, ["r"], []), sizes=(4, 2))
    assert usable_sizes(given, Systems({}, ["r"], []), sizes=(9, 6, 4)) == [9, 6]
