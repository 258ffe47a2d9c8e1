import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.bench.measurement import evaluate, failed_row, label_of, speed_row
from zoo.bench.protocol import Protocol, calibration_split, plan_of
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.make import make_dataset
from zoo.data.opening import open_scenes, open_splits
from zoo.data.store_writer import StoreWriter
from zoo.errors import ConfigError, NonFiniteError, OutOfMemoryError, RegistryError
from zoo.evaluation.bounds import Bounds, score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.throughput import WARMUP
from zoo.likelihoods.discretised_logistic import bits_per_dim
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.results.row import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT
from zoo.results.store import load_row, save_row
from zoo.training.trained_model import TrainedModel, TrainingCost

QUICK = Protocol(repeats=0, prediction_samples=2)


def variant_of(name="gqn-tower", *overrides, size="smoke"):
    return default_registry().variant(name, size=size, overrides=overrides)


@pytest.fixture
def trained(tmp_path):
    """Returns a factory of untrained models as if they came from a run."""

    def make(name="gqn-tower", *overrides, seed=0):
        variant = variant_of(name, *overrides)
        return TrainedModel(
            model=build(variant, seed=seed).eval(),
            variant=variant,
            run=tmp_path,
            config={**variant.config(), "seed": 9},
            step=17,
            seconds=3.5,
            spent=TrainingCost(17, 3.5),
        )

    return make


@pytest.fixture
def scenes(array_scenes):
    return array_scenes(num_scenes=5)


def test_a_row_has_every_measurement_and_is_read_back_unchanged(trained, scenes, tmp_path):
    model = trained()
    protocol = Protocol(importance_samples=(3,), prediction_samples=2, repeats=1, batch_size=2)
    row = evaluate(model, scenes, protocol=protocol, command=["gqn-zoo", "evaluate", "/home/me/run"])
    assert load_row(save_row(row, tmp_path / "rows")) == row
    assert (row.status, row.variant, row.encoder, row.core) == ("ok", "gqn-tower@smoke", "tower", "gqn")
    key = row.key
    assert (key.task, key.dataset, key.split, key.revision) == ("render", "arrays", "test", "0" * 16)
    assert (key.num_context, key.num_targets, key.num_scenes, key.image_size) == (2, 1, 5, 16)
    assert (key.likelihood, key.sigma, key.bound) == ("annealed_gaussian", 0.7, "ELBO")
    assert (row.budget.steps, row.budget.batch_size, row.budget.scenes_seen, row.budget.seconds) == (17, 4, 68, 3.5)
    assert row.provenance.seed == 9 and row.provenance.command == "gqn-zoo evaluate run"
    assert row.model.parameters == sum(parameter.numel() for parameter in model.model.parameters())
    assert {TRAIN_THROUGHPUT, PREDICT_THROUGHPUT} <= set(row.performance)
    plan = plan_of(protocol, model.variant, scenes)
    evaluation = Evaluation(scenes, plan, schedule=evaluation_schedule_values(model.variant.training), batch_size=5)
    scores = score_scenes(model.model, evaluation, bounds=Bounds(importance_samples=(3,)))
    for name in ("nelbo", "nelbo_excess", "kl", "log_likelihood", "iwae_3", "iwae_3_excess"):
        metric = row.metrics[name]
        assert metric.value == pytest.approx(float(scores[name].mean()), rel=1e-6) and metric.unit == "nats/target"
        assert metric.stderr == pytest.approx(float(scores[name].std(ddof=1)) / math.sqrt(5), rel=1e-4)
        assert metric.n == 5
        np.testing.assert_allclose(row.per_scene[name], scores[name], rtol=1e-5)
    assert row.per_scene["scene"] == [0, 1, 2, 3, 4]
    assert row.metrics["floor"].value == pytest.approx(768 * (0.5 * math.log(2 * math.pi) + math.log(0.7)), rel=1e-6)
    for name in ("mse", "psnr", "ssim", "sample_variance", "wrong_context_nelbo_excess"):
        assert len(row.per_scene[name]) == 5 and math.isfinite(row.metrics[name].value)
    better = {name: metric.higher_is_better for name, metric in row.metrics.items()}
    assert better["psnr"] and better["ssim"] and better["log_likelihood"]
    assert better["nelbo_excess"] is better["mse"] is better["iwae_3"] is False
    assert better["kl"] is better["floor"] is better["sample_variance"] is None
    assert "bits_per_dim" not in row.metrics


def test_a_row_does_not_depend_on_the_batch_size(trained, scenes):
    torch.manual_seed(1)
    one = evaluate(trained(), scenes, protocol=QUICK)
    torch.manual_seed(2)
    other = evaluate(trained(), scenes, protocol=Protocol(repeats=0, prediction_samples=2, batch_size=2))
    assert one.key == other.key
    for name, values in one.per_scene.items():
        np.testing.assert_allclose(other.per_scene[name], values, rtol=2e-5, atol=1e-4, err_msg=name)


def test_two_context_sizes_give_two_rows_that_are_not_ranked_together(trained, scenes, tmp_path):
    model = trained()
    rows = [
        evaluate(model, scenes, protocol=Protocol(repeats=1, prediction_samples=1).at(number, timed=index == 0))
        for index, number in enumerate((1, 2))
    ]
    assert [row.key.num_context for row in rows] == [1, 2] and rows[0].key != rows[1].key
    assert rows[0].performance and not rows[1].performance, "speeds are measured once"
    assert len({save_row(row, tmp_path) for row in rows}) == 2
    assert rows[0].metrics["nelbo"].value != rows[1].metrics["nelbo"].value


def test_without_context_there_is_no_wrong_context(trained, scenes):
    row = evaluate(trained(), scenes, protocol=QUICK.at(0, timed=False))
    assert row.key.num_context == 0 and "wrong_context_nelbo_excess" not in row.metrics


def test_one_scene_has_no_standard_error_and_no_wrong_context(trained, scenes):
    row = evaluate(trained(), scenes, protocol=Protocol(repeats=0, prediction_samples=1, max_scenes=1))
    assert row.key.num_scenes == 1 and row.metrics["nelbo"].stderr is None
    assert "wrong_context_nelbo_excess" not in row.metrics


def test_the_wrong_context_is_that_of_another_scene(trained, scenes):
    blind = evaluate(trained("vae"), scenes, protocol=QUICK)
    assert blind.per_scene["wrong_context_nelbo_excess"] == blind.per_scene["nelbo_excess"]
    seeing = evaluate(trained("gqn-tower"), scenes, protocol=QUICK)
    pairs = zip(seeing.per_scene["wrong_context_nelbo_excess"], seeing.per_scene["nelbo_excess"], strict=True)
    assert all(wrong != right for wrong, right in pairs)


def test_a_likelihood_of_discrete_values_gives_bits_per_dimension_and_no_sigma(trained, scenes):
    row = evaluate(trained("gqn-tower-8bit"), scenes, protocol=QUICK)
    assert row.key.sigma is None
    bits = row.metrics["bits_per_dim"]
    assert bits.value == pytest.approx(bits_per_dim(row.metrics["nelbo"].value, 768)) and bits.unit == "bits/dim"
    assert bits.value == pytest.approx(row.metrics["nelbo"].value / 768 / math.log(2), rel=1e-6)
    assert bits.stderr == pytest.approx(row.metrics["nelbo"].stderr / 768 / math.log(2), rel=1e-6)


def test_sigma_targets_and_scenes_are_those_of_the_protocol(trained, scenes):
    protocol = Protocol(
        repeats=0, prediction_samples=1, sigma=0.3, num_targets=3, num_context=1, max_scenes=4, metrics=()
    )
    row = evaluate(trained(), scenes, protocol=protocol)
    assert (row.key.sigma, row.key.num_targets, row.key.num_context, row.key.num_scenes) == (0.3, 3, 1, 4)
    assert row.metrics["floor"].value == pytest.approx(768 * (0.5 * math.log(2 * math.pi) + math.log(0.3)), rel=1e-6)


def test_measuring_does_not_change_the_model(trained, scenes):
    model = trained()
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    evaluate(model, scenes, protocol=Protocol(repeats=1, prediction_samples=1))
    after = model.model.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(after[name], value)]
    assert changed == [], "the speed measurement steps an optimiser"
    assert all(parameter.grad is None for parameter in model.model.parameters())
    assert not model.model.training


def test_a_model_that_is_not_finite_is_an_error_with_the_scene(trained, scenes):
    model = trained()
    next(model.model.parameters()).data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"gqn-tower: \w+ of scene 0 is nan; the model is not usable"):
        evaluate(model, scenes, protocol=QUICK)


def test_scenes_that_do_not_fit_are_refused(trained, array_scenes):
    with pytest.raises(ConfigError, match="arrays: has images of 8 pixels, but 'gqn-tower' at size 'smoke' reads 16"):
        evaluate(trained(), array_scenes(image_size=8), protocol=QUICK)
    with pytest.raises(ConfigError, match="arrays: 6 context views and 1 target"):
        evaluate(trained(), array_scenes(), protocol=QUICK.at(6, timed=False))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sigma", 0.0),
        ("sigma", -1.0),
        ("sigma", float("nan")),
        ("sigma", float("inf")),
        ("prediction_samples", 0),
        ("batch_size", 0),
        ("batch_size", -3),
        ("num_targets", 0),
        ("max_scenes", 0),
        ("repeats", -1),
        ("importance_samples", (0,)),
        ("importance_samples", (5, 5)),
        ("metrics", ("prediction",)),
        ("num_context", -1),
        ("seed", -1),
    ],
)
def test_an_invalid_protocol_is_refused(option, value):
    with pytest.raises(ConfigError) as caught:
        Protocol(**{option: value})
    assert str(caught.value).startswith(f"{option}: found {value}, expected ")


def test_predictions_are_counted_per_image_and_training_steps_per_scene(trained, scenes):
    """From the seconds of a step, whose sizes are stated here: 3 scenes with 2 targets each."""
    model = trained("gqn-tower", "training.batch_size=3", "training.targets=2")
    row = evaluate(model, scenes, protocol=Protocol(repeats=2, prediction_samples=1, metrics=()))
    speeds = {name: timing.median for name, timing in row.performance.items()}
    assert speeds[TRAIN_THROUGHPUT] * speeds["train_step_seconds"] == pytest.approx(3)
    assert speeds[PREDICT_THROUGHPUT] * speeds["predict_step_seconds"] == pytest.approx(3 * 2)


def test_warm_up_steps_are_not_timed(trained, monkeypatch):
    """A clock that stands still except in the calls before the measured ones: one to count operations, and the warm-up."""
    clock, calls = [0.0], {"training": 0, "prediction": 0}
    monkeypatch.setattr("zoo.evaluation.timing.time.perf_counter", lambda: clock[0])

    def action_of(name):
        def step():
            calls[name] += 1
            clock[0] += 100.0 if calls[name] <= 1 + WARMUP else 0.5

        return lambda *arguments, **options: step

    monkeypatch.setattr("zoo.evaluation.throughput.training_action", action_of("training"))
    monkeypatch.setattr("zoo.evaluation.throughput.prediction_action", action_of("prediction"))
    performance = speed_row(variant_of("vae"), seed=0, protocol=Protocol(repeats=4)).performance
    for name in ("train_step_seconds", "predict_step_seconds"):
        timing = performance[name]
        assert (timing.p10, timing.median, timing.p90, timing.n, timing.warmup) == (0.5, 0.5, 0.5, 4, WARMUP), name


def test_the_sigma_of_a_code_is_the_root_mean_squared_error_of_the_calibration_scenes(trained, array_scenes):
    model = trained("vae")
    for parameter in model.model.parameters():
        parameter.data.zero_()  # the same prediction for every pixel
    protocol = Protocol(repeats=0, metrics=("bits-per-dim",))
    light, dark = array_scenes(num_scenes=4), array_scenes(num_scenes=4, seed=1)
    dark.frames //= 4
    for calibration in (light, dark):
        plan = plan_of(protocol, model.variant, calibration)
        schedule = evaluation_schedule_values(model.variant.training)
        (part,) = Evaluation(calibration, plan, schedule=schedule, batch_size=4).batches()
        target = part.batch.frames[:, part.num_context :].double() / 255
        constant = model.model.predict(part.batch, schedule, part.num_context, num_samples=1).expected
        assert constant.std() < 1e-6
        expected = float((target - constant.mean().double()).square().mean().sqrt())
        for reported in (light, dark):
            row = evaluate(model, reported, protocol=protocol, calibration=calibration)
            assert row.metrics["code_sigma"].value == pytest.approx(expected, rel=0.01)
            assert row.metrics["code_sigma"].n == 4


def test_the_sigma_of_a_code_is_never_fitted_on_the_reported_split(tmp_path):
    for number, (splits, expected) in enumerate(
        (
            (("train", "validation", "test"), {"test": "validation", "train": "validation", "validation": "train"}),
            (("train", "test"), {"test": "train", "train": None}),
            (("test",), {"test": None}),
        )
    ):
        folder = tmp_path / str(number)
        with StoreWriter(folder, name="noise", image_size=4, num_views=2, provenance={}) as writer:
            for split in splits:
                writer.add(split, np.zeros((1, 2, 4, 4, 3), np.uint8), np.zeros((1, 2, 5), np.float32))
        for reported, split in expected.items():
            found = calibration_split(open_splits(folder), reported=reported)
            assert (found and found.split) == split, (splits, reported)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cubes") / "data"
    counts = {"train": 1, "validation": 60, "test": 4}
    make_dataset("printed_cube", folder=folder, num_scenes=counts, image_size=16, workers=0)
    return folder


@pytest.mark.parametrize("name", ["gqn-jump", "cgqn"])
def test_the_digits_of_a_cubes_hidden_side_are_compared_after_its_three_other_sides(trained, cubes, name):
    test, validation = (open_scenes(cubes, split) for split in ("test", "validation"))
    model = trained(name, "training.contexts.maximum=3")
    protocol = Protocol(num_context=3, repeats=0, prediction_samples=3, metrics=("hidden-digits",))
    row = evaluate(model, test, protocol=protocol, calibration=validation)
    found = row.per_scene["digit_disagreement"]
    assert len(found) == 4 and all(0 <= value <= 1 for value in found)
    assert (
        row.metrics["digit_disagreement"].unit.endswith("3 samples")
        and not row.metrics["digit_disagreement"].higher_is_better
    )
    for other, scenes in ((replace(protocol, num_context=2), validation), (protocol, None)):
        assert "digit_disagreement" not in evaluate(model, test, protocol=other, calibration=scenes).metrics


def test_progress_is_reported_by_stage(trained, scenes):
    seen = []
    evaluate(trained(), scenes, protocol=QUICK, progress=lambda *stage: seen.append(stage))
    assert [stage for stage, done, total in seen if done == total == 5] == ["bound", "wrong context", "predictions"]


def test_speeds_are_measured_without_scenes(tmp_path):
    row = speed_row(variant_of("cvae"), seed=4, protocol=Protocol(repeats=2), command=["gqn-zoo", "bench"])
    assert load_row(save_row(row, tmp_path)) == row
    assert row.key is None and row.metrics == {} and row.status == "ok"
    assert row.performance[TRAIN_THROUGHPUT].n == 2 and row.performance[TRAIN_THROUGHPUT].median > 0
    assert row.budget.steps == 0 and row.model.flops_per_training_scene > 0 and row.provenance.seed == 4


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (NonFiniteError("step 3: not finite"), "nan", "step 3: not finite"),
        (OutOfMemoryError("too large"), "oom", "too large"),
        (MemoryError("killed"), "oom", "MemoryError: killed"),
        (torch.OutOfMemoryError("CUDA"), "oom", "OutOfMemoryError: CUDA"),
        (RegistryError("misfit"), "error", "misfit"),
        (RuntimeError("x" * 5000), "error", "RuntimeError: x"),
        (AssertionError(), "error", "AssertionError"),
    ],
)
def test_a_failure_is_a_row_too(error, status, text, tmp_path):
    row = failed_row(variant_of(), error, seed=3, command=["gqn-zoo", "bench"])
    assert row.status == status and row.error.startswith(text) and len(row.error) <= 2000
    assert row.metrics == {} and row.key is None and row.provenance.seed == 3
    assert load_row(save_row(row, tmp_path)) == row


def test_a_variant_of_mismatched_components_has_a_row_as_well(tmp_path):
    variant = variant_of("vae", "encoder.use=tower")
    row = failed_row(variant, RegistryError("x"), seed=0)
    assert (row.variant, row.encoder, row.core) == ("vae@smoke", "tower", "vae")
    assert load_row(save_row(row, tmp_path)) == row


def test_a_label_has_the_size_unless_it_is_the_full_one():
    assert label_of(variant_of("vae", size="full")) == "vae"
    assert label_of(variant_of("vae", size="smoke")) == "vae@smoke"
