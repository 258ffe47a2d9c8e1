"""Measurements of speed: what they count, and that they leave the model as it was."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.evaluation.throughput import (
    flops_of,
    measure,
    noise_for,
    prediction_action,
    random_batch,
    training_action,
)
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.results.row import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT, Timing, timings_of

ROOT = Path(__file__).resolve().parents[2]
VARIANT = default_registry().variant("gqn-tower", size="smoke")


def measured(model, **changes):
    recipe = VARIANT.training.model_copy(update=changes)
    return measure(model, recipe=recipe, image_size=16, warmup=1, repeats=3)


def test_a_measurement_counts_its_repetitions_and_scenes():
    facts, timings = measured(build(VARIANT))
    steps = ("train_step_seconds", "predict_step_seconds")
    assert timings.keys() == {TRAIN_THROUGHPUT, PREDICT_THROUGHPUT, *steps}
    for timing in timings.values():
        assert (timing.n, timing.warmup) == (3, 1)
        assert 0 < timing.p10 <= timing.median <= timing.p90
    scenes = VARIANT.training.batch_size
    images = scenes * VARIANT.training.targets
    for speed, step, units in zip((TRAIN_THROUGHPUT, PREDICT_THROUGHPUT), steps, (scenes, images), strict=True):
        assert timings[speed].median == pytest.approx(units / timings[step].median, rel=1e-6)
    assert facts.peak_memory_bytes > 1e6


def test_arithmetic_is_counted_a_scene_and_hardly_depends_on_the_batch():
    small, large = (measured(build(VARIANT), batch_size=size)[0] for size in (2, 6))
    # What is reckoned of weights alone is the same work for any batch.
    assert 0 < large.flops_per_training_scene <= small.flops_per_training_scene < 1.02 * large.flops_per_training_scene
    assert 0 < large.flops_per_prediction <= small.flops_per_prediction < 1.02 * large.flops_per_prediction
    # Forward and backward with two inference and two generator steps cost more than twice a prediction.
    assert small.flops_per_training_scene > 2 * small.flops_per_prediction


@pytest.mark.parametrize("training", [True, False])
def test_a_measurement_leaves_weights_gradients_and_mode_alone(training):
    model = build(VARIANT).train(training)
    before = copy.deepcopy(model.state_dict())
    measured(model)
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_random_scenes_follow_from_their_seed_and_leave_torch_alone():
    state = torch.get_rng_state()
    one, same, other = (random_batch(batch_size=2, num_views=3, image_size=4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one[:4], same[:4], strict=True))
    assert not torch.equal(one.frames, other.frames)
    assert one.frames.shape == (2, 3, 4, 4, 3)
    assert one.frames.dtype == torch.uint8
    assert one.frames.float().mean().item() == pytest.approx(127.5, abs=30)


def test_a_speed_says_what_its_seconds_say():
    found = timings_of("train", (0.25, 0.5, 2.0), units=4, n=7, warmup=3)
    repeats = {"n": 7, "warmup": 3}
    assert found == {
        TRAIN_THROUGHPUT: Timing(median=8.0, p10=2.0, p90=16.0, unit="scenes/s", higher_is_better=True, **repeats),
        "train_step_seconds": Timing(median=0.5, p10=0.25, p90=2.0, unit="s", higher_is_better=False, **repeats),
    }


class Overheard(torch.nn.Module):
    """A model that notes what it is called with, and in which precision."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.calls = []

    def _note(self, batch, num_context):
        precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        self.calls.append((precision, len(batch.scene), num_context, self.training))

    def forward(self, batch, schedule, num_context):
        self._note(batch, num_context)
        return self.model(batch, schedule, num_context)

    def predict(self, batch, schedule, num_context):
        self._note(batch, num_context)
        return self.model.predict(batch, schedule, num_context)


@pytest.mark.parametrize(("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_actions_follow_the_recipe(precision, dtype):
    recipe = VARIANT.training.model_copy(update={"batch_size": 3, "mixed_precision": precision})
    model = build(VARIANT)
    batch = noise_for(model, recipe=recipe, image_size=16)
    assert batch.frames.shape == (3, recipe.contexts.maximum + recipe.targets, 16, 16, 3)
    overheard = Overheard(model).eval()
    training_action(overheard, recipe=recipe, batch=batch)()
    prediction_action(overheard, recipe=recipe, batch=batch)()
    contexts = recipe.contexts.maximum
    assert overheard.calls == [(dtype, 3, contexts, True), (dtype, 3, contexts, False)]


def test_arithmetic_of_an_action_is_counted_in_one_go():
    calls = []

    def action():
        calls.append(torch.ones(2, 3) @ torch.ones(3, 5))

    assert flops_of(action) == 2 * 2 * 3 * 5
    assert len(calls) == 1


def test_peak_memory_is_that_of_the_steps_and_not_of_what_was_before():
    """A process starts with the mark of the one that started it, and has built other things since."""
    program = (
        "import torch\n"
        "from zoo.evaluation.throughput import measure\n"
        "from zoo.evaluation.process_memory import peak, resident\n"
        "from zoo.registry.registry import default_registry\n"
        "from zoo.registry.variant import build\n"
        "block = torch.ones(600 * 2**20, dtype=torch.uint8); del block\n"
        "variant = default_registry().variant('vae', size='smoke')\n"
        "before = peak()\n"
        "facts, _ = measure(build(variant), recipe=variant.training, image_size=16, warmup=0, repeats=1)\n"
        "print(before, facts.peak_memory_bytes)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, found = map(int, done.stdout.split())
    if Path("/proc/self/clear_refs").exists():
        assert found < before - 300 * 2**20
    assert found > 50 * 2**20
