import numpy as np
import pytest
import torch

from zoo.data.batches import host_keys
from zoo.nn.noise import scene_keys


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31, 2**62 + 12345])
@pytest.mark.parametrize("step", [0, 1, 63, 1_999_999, 2**40])
def test_the_host_computes_the_keys_of_the_models_noise(seed, step):
    places = np.array([0, 1, 2, 35, 1000, 2**33])
    keys = host_keys(seed=seed, steps=step, places=places)
    assert keys.dtype == np.int64 and keys.shape == (6,)
    assert keys.tolist() == scene_keys(seed=seed, step=step, places=torch.from_numpy(places)).tolist()


def test_many_steps_at_once_are_the_steps_one_by_one():
    steps = np.arange(100, 170)
    places = np.random.default_rng(0).integers(0, 500, (70, 9))
    keys = host_keys(seed=3, steps=steps[:, None], places=places)
    for step, row, found in zip(steps.tolist(), places, keys, strict=True):
        assert np.array_equal(found, host_keys(seed=3, steps=step, places=row))
    assert host_keys(seed=3, steps=5, places=np.arange(0)).shape == (0,)


def test_places_that_lie_apart_in_memory_have_their_own_keys():
    places = np.arange(40)
    assert np.array_equal(
        host_keys(seed=1, steps=2, places=places[::4]), host_keys(seed=1, steps=2, places=places[::4].copy())
    )
