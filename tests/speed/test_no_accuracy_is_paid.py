"""What is faster learns the same: the textbook's loop, the fast core and bf16 on the same batches from the same weights."""

import json

import numpy as np
import pytest

from benchmarks.speed.textbook_gqn import textbook_model
from zoo.data.make import make_dataset
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.training.options import TrainingOptions
from zoo.training.run import train

STEPS = 2000
NATS = 0.5  # a target, at the end


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """(training excess at every 10th step, validation excess at every 500th) of each way."""
    folder = tmp_path_factory.mktemp("learning")
    data = make_dataset(
        "rooms_ring_camera",
        folder=folder / "rooms",
        num_scenes={"train": 500, "validation": 200},
        image_size=16,
        num_views=6,
        workers=0,
    )
    found = {}
    for way, precision in (("plain", "no"), ("fast", "no"), ("bf16", "bf16")):
        variant = default_registry().variant(
            "gqn-tower",
            size="smoke",
            overrides=[
                f"training.steps={STEPS}",
                "training.batch_size=8",
                f"training.mixed_precision={precision}",
                f"training.learning_rate={{start: 1.0e-3, end: 1.0e-4, steps: {STEPS}}}",
            ],
        )
        with pytest.MonkeyPatch.context() as patch:
            if way == "plain":
                patch.setattr("zoo.training.run.build", lambda *given, **more: textbook_model(build(*given, **more)))
            train(
                variant,
                data=data,
                run=folder / way,
                options=TrainingOptions(
                    log_interval=10, validation_interval=500, validation_scenes=200, save_interval=STEPS
                ),
                cpu=True,
            )
        rows = [json.loads(line) for line in (folder / way / "metrics.jsonl").read_text().splitlines()]
        found[way] = tuple(
            np.array([row[name] for row in rows if name in row]) for name in ("train/nelbo_excess", "eval/nelbo_excess")
        )
        print(way, "training", found[way][0][[0, 9, 49, -1]], "validation", found[way][1])
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_something_is_learnt(curves):
    _, validation = curves["fast"]
    assert len(validation) == STEPS // 500
    assert validation[-1] < validation[0] - 2.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fast_and_plain_learn_alike(curves):
    (plain, plain_validation), (fast, fast_validation) = curves["plain"], curves["fast"]
    # Rounding grows from step to step as in any training; the first hundred steps are the same numbers.
    np.testing.assert_allclose(fast[:10], plain[:10], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(fast_validation, plain_validation, atol=NATS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bf16_is_no_worse_in_the_end(curves):
    """One side only: so small a network stays on a plateau until chance, and rounding is chance too, takes it off."""
    (single, single_validation), (half, half_validation) = curves["fast"], curves["bf16"]
    np.testing.assert_allclose(half[:5], single[:5], rtol=0.02)
    assert half_validation[-1] < single_validation[-1] + NATS
