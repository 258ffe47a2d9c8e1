"""The seed of a run decides its initial weights, exactly as a model built by hand under torch's generator."""

import pytest
import torch

import zoo
from zoo.cores.vae import Vae
from zoo.model.interfaces import CoreShapes
from zoo.training import checkpoint, run_checkpoints

UNCHANGED = (
    "training.learning_rate.start=1e-30",
    "training.learning_rate.end=1e-30",
)  # one step changes nothing visible


def core_by_hand(model, *, seed):
    """Returns a core of the same settings with the weights that torch's own generator draws for a seed."""
    torch.manual_seed(seed)
    shapes = CoreShapes(
        representation=model.encoder.shape,
        query=model.task.query_shape,
        target=(3, 16, 16),
        prediction_channels=3,
        initial_prediction=(0.5, 0.5, 0.5),
    )
    return Vae(model.core.config, shapes=shapes)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_a_built_model_has_the_weights_that_the_seed_draws(seed):
    model = zoo.create_model("vae", size="smoke", seed=seed)
    with torch.random.fork_rng():
        expected = core_by_hand(model, seed=seed).state_dict()
    found = model.core.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_a_run_starts_with_the_weights_of_its_seed(run_training, tmp_path):
    run_training(tmp_path / "run", "vae", *UNCHANGED, "training.steps=1", seed=5)
    initial = {seed: zoo.create_model("vae", size="smoke", seed=seed).state_dict() for seed in (0, 5)}
    model = zoo.create_model("vae", size="smoke", seed=1)
    checkpoint.load_tensors(run_checkpoints.find(tmp_path / "run", which="last").path / checkpoint.MODEL, model)
    found = model.state_dict()
    assert all(torch.allclose(found[key], initial[5][key], rtol=0, atol=1e-20) for key in found)
    assert not all(torch.allclose(found[key], initial[0][key]) for key in found)
