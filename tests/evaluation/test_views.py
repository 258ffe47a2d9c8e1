"""Predictions of single views: the model's own, with shared noise, for every registered variant."""

import numpy as np
import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.data.scene import Scene
from zoo.episode import SceneBatch
from zoo.errors import ConfigError, DataError
from zoo.evaluation.consistency import with_queries
from zoo.evaluation.views import predict_views, require_views
from zoo.nn.noise import scene_keys
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

SCHEDULE = schedule_values(sigma=0.7)
REGISTRY = default_registry()


def model_of(name):
    model = build(REGISTRY.variant(name, size="smoke"), seed=0)
    with torch.no_grad():
        for parameter in model.core.parameters():
            parameter.mul_(2.0)  # so that latents show in the images
    return model


def scene_for(model, *, name=None):
    name = name or ("captioned_rooms" if model.task.context_kind == "captions" else "rooms_ring_camera")
    return Scene.load(f"{name}:2", image_size=model.task.target_shape[-1])


def predicted(model, scene, *, cameras=None, context=(0, 1), **options):
    cameras = scene.cameras[4:7] if cameras is None else cameras
    return predict_views(model, scene, cameras, schedule=SCHEDULE, context=context, **options)


def renders(name):
    try:
        require_views(build(REGISTRY.variant(name, size="smoke"), seed=0))
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_variant_predicts_views_or_says_why_not(name):
    model = model_of(name)
    if not renders(name):
        with pytest.raises(ConfigError, match="this model predicts"):
            require_views(model)
        return
    scene = scene_for(model)
    found = predicted(model, scene, num_samples=3)
    size = scene.image_size
    assert found.samples.shape == (3, 3, size, size, 3) and found.mean.shape == (3, size, size, 3)
    assert found.spread.shape == (3, size, size)
    assert np.isfinite(found.samples).all() and found.samples.min() >= 0.0 and found.samples.max() <= 1.0
    np.testing.assert_allclose(found.mean, found.samples.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.spread, np.sqrt(found.samples.var(0).mean(-1)), atol=1e-5)
    np.testing.assert_array_equal(found.cameras, scene.cameras[4:7])
    if model.core.latents == "none":
        assert not found.spread.any()
    # A view does not depend on the others: the camera alone gives the same samples.
    alone = predicted(model, scene, cameras=scene.cameras[5:6], num_samples=3)
    np.testing.assert_allclose(alone.samples[:, 0], found.samples[:, 1], atol=2e-5)


@pytest.mark.parametrize("name", ["gqn-tower", "cgqn"])
def test_a_camera_asked_for_twice_is_seen_alike_in_a_sample_and_unlike_between_samples(name):
    model = model_of(name)
    scene = scene_for(model)
    found = predicted(model, scene, cameras=scene.cameras[[4, 4]], num_samples=2)
    np.testing.assert_allclose(found.samples[:, 0], found.samples[:, 1], atol=1e-5)
    assert np.abs(found.samples[0] - found.samples[1]).max() > 1e-3


def test_latents_of_the_scene_are_those_of_the_models_own_prediction():
    model = model_of("cgqn")
    scene = scene_for(model)
    frames, cameras = (torch.from_numpy(array)[None, :2] for array in (scene.frames, scene.cameras))
    batch = SceneBatch(
        frames, cameras, torch.zeros(1, dtype=torch.int64), scene_keys(seed=5, step=0, places=torch.zeros(1).long())
    )
    batch = with_queries(batch, num_context=2, cameras=torch.from_numpy(scene.cameras[None, 4:7]))
    expected = model.eval().predict(batch, SCHEDULE, 2, num_samples=2).expected[:, 0].movedim(2, -1)
    found = predicted(model, scene, num_samples=2, seed=5)
    np.testing.assert_allclose(found.samples, expected.numpy(), atol=1e-6)


def test_the_context_and_the_seed_decide_the_prediction():
    model = model_of("gqn-tower")
    scene = scene_for(model)
    first = predicted(model, scene).samples
    np.testing.assert_array_equal(predicted(model, scene).samples, first)
    assert np.abs(predicted(model, scene, context=(2, 3)).samples - first).max() > 1e-4
    assert np.abs(predicted(model, scene, seed=1).samples - first).max() > 1e-4
    assert predicted(model, scene, context=()).samples.shape == first.shape


def test_images_at_the_queries_are_not_read():
    model = model_of("gqn-tower")
    scene = scene_for(model)
    other = Scene(np.concatenate([scene.frames[:2], 255 - scene.frames[2:]]), scene.cameras)
    np.testing.assert_array_equal(predicted(model, scene).samples, predicted(model, other).samples)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"context": (0, 10)}, DataError, "view 10 is out of range, expected 0 to 9"),
        ({"num_samples": 0}, ConfigError, "samples: found 0"),
        ({"cameras": np.full((1, 5), np.inf, np.float32)}, DataError, "expected a finite number"),
    ],
)
def test_requests_that_are_refused(options, error, message):
    model = model_of("gqn-tower")
    with pytest.raises(error, match=message):
        predicted(model, scene_for(model), **options)


def test_scenes_that_do_not_fit_the_model():
    model = model_of("gqn-tower")
    with pytest.raises(ConfigError, match="its images have 8 pixels, but the model reads"):
        predicted(model, Scene.load("rooms_ring_camera:0", image_size=8))
    with pytest.raises(DataError, match="has no captions, which the model reads"):
        slim = model_of("slim")
        predicted(slim, scene_for(slim, name="rooms_ring_camera"))
