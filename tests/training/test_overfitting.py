"""A GQN learns eight scenes by heart: bound and prior predictions, at a size that two cores train in minutes."""

import pytest

from zoo.bench.measurement import evaluate
from zoo.bench.protocol import Protocol
from zoo.data.make import make_dataset
from zoo.data.store import SceneStore
from zoo.registry.registry import default_registry
from zoo.training.options import TrainingOptions
from zoo.training.run import train
from zoo.training.trained_model import load_trained

STEPS = 3000
CHANGES = (
    f"training.steps={STEPS}",
    "training.batch_size=8",
    "training.contexts.minimum=4",
    f"training.learning_rate={{start: 1.0e-3, end: 2.0e-4, steps: {STEPS}}}",
    f"training.sigma={{start: 0.2, end: 0.35, steps: {STEPS}}}",
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_scenes_are_memorised(tmp_path):
    data = make_dataset(
        "rooms_ring_camera", folder=tmp_path / "eight", num_scenes={"train": 8}, image_size=32, num_views=5, workers=0
    )
    variant = default_registry().variant("gqn-tower", size="small", overrides=CHANGES)
    train(variant, data=data, run=tmp_path / "run", options=TrainingOptions(save_interval=STEPS), cpu=True)
    row = evaluate(
        load_trained(tmp_path / "run"),
        SceneStore(data, "train"),
        protocol=Protocol(sigma=0.7, prediction_samples=16, repeats=0),
    )
    assert row.metrics["nelbo_excess"].value < 20.0
    # Predictions from the prior, which never saw the truth: the mean image of these scenes has an error of about 0.06.
    assert row.metrics["mse"].value < 0.008
    assert row.metrics["wrong_context_nelbo_excess"].value > 100.0
