import json
import math

import pytest
import torch
from accelerate import Accelerator

from zoo.config.schedules import evaluation_schedule_values, value_at
from zoo.data.plan import EvaluationPlan, TrainingPlan
from zoo.errors import ConfigError, NonFiniteError
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.model.scene_model import SceneModel
from zoo.registry.variant import build
from zoo.training import checkpoint, run_checkpoints
from zoo.training.options import TrainingOptions
from zoo.training.trainer import Trainer


@pytest.fixture
def trainer_of(array_scenes, variant, tmp_path):
    """Returns a maker of trainers on scenes of noise in memory."""

    def make(name="vae", *overrides, seed=0, train=None, validation=None, model=None, config=None, **options):
        chosen = variant(name, *overrides)
        return Trainer(
            model or build(chosen, seed=seed),
            recipe=chosen.training,
            train=train or array_scenes(num_scenes=8, split="train"),
            validation=validation,
            run=tmp_path / f"run-{name}-{len(list(tmp_path.iterdir()))}",
            seed=seed,
            accelerator=Accelerator(cpu=True, mixed_precision=chosen.training.mixed_precision),
            options=TrainingOptions(**{"log_interval": 1, **options}),
            config=config or {},
        )

    return make


def trained(trainer, weights):
    trainer.fit()
    return weights(trainer.model)


@pytest.mark.parametrize("name", ["vae", "gqn-tower"])
def test_a_model_memorises_two_scenes(trainer_of, array_scenes, name, look):
    trainer = trainer_of(
        name,
        "training.steps=80",
        "training.batch_size=2",
        "training.learning_rate={start: 0.01, end: 0.01, steps: 0}",
        "training.sigma={start: 0.3, end: 0.3, steps: 0}",
        "training.contexts={minimum: 1, maximum: 1}",
        train=array_scenes(num_scenes=2, num_views=2),
    )
    trainer.fit()
    excess = [row["train/nelbo_excess"] for row in look.rows(trainer.run)]
    assert len(excess) == 80
    assert sum(excess[-5:]) < 0.8 * sum(excess[:5])
    assert min(excess) > 0, "nothing is below the floor"


@pytest.mark.parametrize(
    "objective",
    [(), ("training.objective=importance_weighted", "training.importance_samples=2"), ("training.free_bits=3.0",)],
    ids=["elbo", "importance weighted", "free bits"],
)
def test_two_accumulated_passes_make_the_update_of_one(trainer_of, weights, objective):
    settings = ("training.steps=3", "training.ema_decay=0.5", *objective)
    whole = trained(trainer_of("gqn-tower", *settings), weights)
    halves = trained(trainer_of("gqn-tower", *settings, "training.gradient_accumulation=2"), weights)
    torch.testing.assert_close(halves, whole, rtol=1e-5, atol=1e-6)
    assert not torch.equal(whole, weights(build(_variant("gqn-tower"), seed=0)))


def _variant(name):
    from zoo.registry.registry import default_registry

    return default_registry().variant(name, size="smoke")


def test_accumulated_metrics_are_those_of_the_whole_batch(trainer_of, look):
    whole, halves = trainer_of("vae"), trainer_of("vae", "training.gradient_accumulation=4")
    whole.fit(), halves.fit()
    for one, other in zip(look.rows(whole.run), look.rows(halves.run), strict=True):
        assert one["step"] == other["step"] and one["scenes"] == other["scenes"]
        for name in ("nelbo", "nelbo_excess", "kl", "log_likelihood", "gradient_norm"):
            assert other[f"train/{name}"] == pytest.approx(one[f"train/{name}"], rel=1e-5)


def test_clipping_changes_nothing_while_the_norm_is_small_and_bounds_it_otherwise(trainer_of, weights, look):
    free = trainer_of("vae")
    plain = trained(free, weights)
    norms = [row["train/gradient_norm"] for row in look.rows(free.run)]
    assert min(norms) > 1.0
    assert torch.equal(trained(trainer_of("vae", "training.gradient_clip=1e6"), weights), plain)
    # Adam forgets the scale of a gradient; its first moment does not.
    clipped = trainer_of("vae", "training.gradient_clip=0.25", "training.steps=1")
    clipped.fit()
    moments = [state["exp_avg"].flatten() for state in clipped.train_step.optimizer.state_dict()["state"].values()]
    assert torch.cat(moments).norm().item() == pytest.approx(0.1 * 0.25, rel=1e-3)
    assert look.rows(clipped.run)[0]["train/gradient_norm"] == pytest.approx(norms[0], rel=1e-6)


def test_a_step_is_adam_on_the_mean_over_scenes_of_nelbo_by_targets(trainer_of, array_scenes, weights):
    """The whole update by hand, from the plan to the optimiser."""
    from zoo.config.schedules import schedule_values_at
    from zoo.data.plan import assemble

    scenes = array_scenes(num_scenes=8, split="train")
    settings = ("training.steps=2", "training.targets=2", "training.beta={start: 0.1, end: 1.0, steps: 10}")
    trainer = trainer_of("gqn-tower", *settings, train=scenes, seed=3)
    recipe = trainer.recipe
    found = trained(trainer, weights)
    chosen = _variant("gqn-tower")
    model = build(chosen, seed=3)
    optimizer = torch.optim.Adam(model.parameters(), eps=recipe.optimizer.epsilon, foreach=False)
    for step in range(2):
        plan = TrainingPlan(scenes, recipe=recipe, seed=3)(step)
        batch = assemble(scenes, plan, seed=3, step=step)
        terms = model(batch, schedule_values_at(recipe, step), plan.num_context)
        beta = 0.1 + 0.9 * step / 10
        loss = ((beta * terms.kl - terms.log_likelihood) / 2).mean()
        optimizer.param_groups[0]["lr"] = value_at(recipe.learning_rate, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(found, weights(model), rtol=1e-6, atol=1e-7)


def test_averaged_weights_are_the_exponential_average_of_the_trained_ones(trainer_of, weights):
    trainer = trainer_of("vae", "training.ema_decay=0.75", "training.steps=5")
    seen = []
    trainer.fit(progress=lambda step, figures: seen.append(weights(trainer.model)))
    expected = seen[0]
    for step, later in enumerate(seen[1:], start=1):
        decay = min(0.75, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * later
    torch.testing.assert_close(weights(trainer.evaluated_model), expected, rtol=1e-5, atol=1e-7)
    assert trainer.evaluated_model is not trainer.model
    assert not torch.equal(weights(trainer.evaluated_model), weights(trainer.model))
    without = trainer_of("vae", "training.steps=5")
    assert without.evaluated_model is without.model
    assert torch.equal(trained(without, weights), weights(trainer.model)), "averaging does not touch training"


def test_the_metrics_hold_the_schedules_of_their_step(trainer_of, look):
    trainer = trainer_of(
        "vae",
        "training.steps=8",
        "training.learning_rate={start: 1e-3, end: 2e-4, steps: 4}",
        "training.sigma={start: 2.0, end: 0.5, steps: 3}",
        "training.beta={start: 0.25, end: 1.0, steps: 3}",
        log_interval=2,
    )
    trainer.fit()
    rows = look.rows(trainer.run)
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    # The row of step n describes the n-th update, whose schedules are those of step n - 1.
    for row, expected in zip(
        rows, [(8e-4, 1.5, 0.5), (4e-4, 0.5, 1.0), (2e-4, 0.5, 1.0), (2e-4, 0.5, 1.0)], strict=True
    ):
        found = (row["train/learning_rate"], row["train/sigma"], row["train/beta"])
        assert found == pytest.approx(expected, rel=1e-6)
        floor = 3 * 16 * 16 * (0.5 * math.log(2 * math.pi) + math.log(row["train/sigma"]))
        assert row["train/nelbo"] - row["train/nelbo_excess"] == pytest.approx(floor, rel=1e-4)
        assert row["train/nelbo"] == pytest.approx(row["train/kl"] - row["train/log_likelihood"], rel=1e-6)
        assert row["scenes"] == row["step"] * 4
    assert trainer.train_step.optimizer.param_groups[0]["lr"] == 2e-4


@pytest.mark.parametrize("name", ["vae", "gqn-tower"])
def test_half_precision_trains_on_a_cpu(trainer_of, weights, name, look):
    trainer = trainer_of(name, "training.mixed_precision=bf16", "training.ema_decay=0.5")
    found = trained(trainer, weights)
    assert found.dtype == torch.float32 and torch.isfinite(found).all()
    assert all(math.isfinite(row["train/nelbo"]) for row in look.rows(trainer.run))


def test_half_precision_is_close_to_full_precision_and_not_the_same(trainer_of, weights, look):
    from accelerate.state import AcceleratorState

    half = trainer_of("vae", "training.mixed_precision=bf16", "training.steps=1")
    half.fit()
    AcceleratorState._reset_state(reset_partial_state=True)
    full = trainer_of("vae", "training.steps=1")
    full.fit()
    one, other = look.rows(half.run)[0], look.rows(full.run)[0]
    assert one["train/nelbo"] == pytest.approx(other["train/nelbo"], rel=1e-2)
    assert one["train/gradient_norm"] != other["train/gradient_norm"]


@pytest.mark.slow
def test_a_compiled_model_trains_alike(trainer_of, look):
    plain, compiled = trainer_of("vae"), trainer_of("vae", compile=True)
    plain.fit(), compiled.fit()
    for one, other in zip(look.rows(plain.run), look.rows(compiled.run), strict=True):
        assert other["train/nelbo"] == pytest.approx(one["train/nelbo"], rel=1e-4)
        assert other["train/kl"] == pytest.approx(one["train/kl"], rel=1e-2)


def test_the_model_is_trained_in_training_mode_also_after_a_validation(trainer_of, array_scenes):
    modes = []

    class Watching(SceneModel):
        def elbo_terms(self, *arguments, **named):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().elbo_terms(*arguments, **named)

    made = build(_variant("vae"), seed=0)
    made.__class__ = Watching
    trainer = trainer_of(model=made, validation=array_scenes(num_scenes=3), validation_interval=1)
    trainer.fit()
    assert modes == [(True, True), (False, False)] * 4


def poison(model):
    next(model.parameters()).data.view(-1)[0] = float("nan")


def test_a_loss_that_is_not_finite_stops_before_the_update(trainer_of, weights, look):
    trainer = trainer_of("gqn-tower", "training.steps=6", "training.ema_decay=0.5", save_interval=1, keep_last=9)
    before = {}

    def spoil(step, figures):
        if step == 3:
            poison(trainer.model)
            before.update(weights=weights(trainer.model), average=weights(trainer.evaluated_model))
            before["moments"] = {
                key: value["exp_avg"].clone()
                for key, value in trainer.train_step.optimizer.state_dict()["state"].items()
            }

    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(progress=spoil)
    message = str(caught.value)
    assert message.startswith(
        "step 3: the loss or its gradient is not finite; the update was not made. Not finite: scenes ["
    )
    assert "gradient norm nan" in message and str(trainer.run / "checkpoints") in message and "\n" not in message
    assert caught.value.exit_code == 4
    torch.testing.assert_close(weights(trainer.model), before["weights"], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(weights(trainer.evaluated_model), before["average"])
    for key, value in trainer.train_step.optimizer.state_dict()["state"].items():
        assert torch.equal(value["exp_avg"], before["moments"][key])
    # The poison came before the third checkpoint was written; the second is as good as ever.
    found = checkpoint.read(look.folder(trainer.run, 2))
    fresh = build(_variant("gqn-tower"))
    checkpoint.load_tensors(found.path / checkpoint.MODEL, fresh)
    assert torch.isfinite(weights(fresh)).all()
    assert look.rows(trainer.run)[-1]["step"] == 3


def test_scenes_with_values_that_are_not_finite_are_named(trainer_of, array_scenes, weights):
    scenes = array_scenes(num_scenes=8, split="train")
    scenes.cameras[5] = float("nan")
    trainer = trainer_of("gqn-tower", train=scenes)
    step = next(step for step in range(4) if 5 in TrainingPlan(scenes, recipe=trainer.recipe, seed=0)(step).scenes)
    before = {}
    with pytest.raises(NonFiniteError, match=rf"step {step}: .*Not finite: scenes \[5\]"):
        trainer.fit(progress=lambda step, figures: before.update({step: weights(trainer.model)}))
    if step:
        assert torch.equal(weights(trainer.model), before[step])


def test_a_gradient_that_overflows_is_not_applied_either(trainer_of, weights):
    trainer = trainer_of("vae")
    parameter = next(trainer.model.parameters())
    parameter.register_hook(lambda gradient: gradient * float("inf"))
    before = weights(trainer.model)
    with pytest.raises(NonFiniteError, match=r"no scene of this process \(only the gradient\)"):
        trainer.fit()
    assert torch.equal(weights(trainer.model), before)


def test_validation_is_at_the_fixed_sigma_and_of_every_scene(trainer_of, array_scenes, look):
    scenes = array_scenes(num_scenes=5, seed=4, split="validation")
    trainer = trainer_of("gqn-tower", "training.sigma={start: 2.0, end: 0.7, steps: 100}", validation=scenes)
    trainer.fit()
    row = look.rows(trainer.run)[-1]
    plan = EvaluationPlan(scenes, num_context=trainer.recipe.contexts.maximum, num_targets=1)
    schedule = evaluation_schedule_values(trainer.recipe)
    scores = score_scenes(trainer.model, Evaluation(scenes, plan, schedule=schedule, batch_size=5))
    for name in ("nelbo", "nelbo_excess", "kl", "log_likelihood", "floor"):
        assert row[f"eval/{name}"] == pytest.approx(float(scores[name].mean()), rel=1e-6)
    assert row["eval/floor"] == pytest.approx(768 * (0.5 * math.log(2 * math.pi) + math.log(0.7)), rel=1e-6)
    rows = [row for row in look.rows(trainer.run) if "eval/nelbo" in row]
    assert [row["step"] for row in rows] == [4], "at the interval and at the end"


def test_the_number_of_validation_scenes_can_be_limited(trainer_of, array_scenes):
    scenes = array_scenes(num_scenes=5)
    assert trainer_of(validation=scenes, validation_scenes=2).validation.plan.num_scenes == 2
    assert trainer_of(validation=scenes).validation.plan.num_scenes == 5


def test_the_best_checkpoint_is_kept_and_the_others_pruned(trainer_of, array_scenes, look, monkeypatch):
    figures = iter([5.0, 3.0, 4.0, 3.0, 9.0])
    monkeypatch.setattr(
        "zoo.training.trainer.score_scenes",
        lambda *arguments, **named: {"scene": torch.zeros(1), "nelbo_excess": torch.full((1,), next(figures))},
    )
    trainer = trainer_of(
        "vae",
        "training.steps=10",
        validation=array_scenes(num_scenes=2),
        validation_interval=2,
        save_interval=3,
        keep_last=1,
    )
    seen = {}
    trainer.fit(progress=lambda step, figures: seen.update({step: look.steps(trainer.run)}))
    assert seen == {1: [], 2: [], 3: [2], 4: [2, 3], 5: [4], 6: [4], 7: [4, 6], 8: [4, 6], 9: [4, 6], 10: [4, 9]}
    assert look.steps(trainer.run) == [4, 10]
    assert run_checkpoints.best_step(trainer.run) == 4
    assert checkpoint.read(look.folder(trainer.run, 10)).state.best_value == 3.0


def test_the_best_step_is_that_of_the_objective(trainer_of, array_scenes, look):
    changes = ("training.objective=importance_weighted", "training.importance_samples=8", "training.steps=6")
    trainer = trainer_of("vae", *changes, validation=array_scenes(num_scenes=4), validation_interval=2)
    trainer.fit()
    rows = {row["step"]: row for row in look.rows(trainer.run) if "eval/objective" in row}
    assert list(rows) == [2, 4, 6]
    best = min(rows, key=lambda step: rows[step]["eval/objective"])
    assert (trainer.best_step, trainer.best_value) == (best, rows[best]["eval/objective"])
    assert all(row["eval/objective"] != row["eval/nelbo"] for row in rows.values())
    recorded = json.loads((trainer.run / "checkpoints" / "best.json").read_text())
    assert recorded["metric"] == "eval/objective"


def test_checkpoints_are_kept_by_the_options(trainer_of, look):
    trainer = trainer_of("vae", "training.steps=11", save_interval=2, keep_last=2, keep_every=4)
    trainer.fit()
    assert look.steps(trainer.run) == [4, 8, 10, 11]


@pytest.mark.parametrize(
    "option", ["log_interval", "validation_interval", "validation_scenes", "save_interval", "keep_last"]
)
@pytest.mark.parametrize("value", [0, -1])
def test_intervals_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ConfigError, match=f"{option}: found {value}, expected at least 1"):
        TrainingOptions(**{option: value})


def test_a_negative_keep_every_is_refused():
    with pytest.raises(ConfigError, match="keep_every: found -1, expected 0 or more"):
        TrainingOptions(keep_every=-1)


def test_what_does_not_fit_together_is_refused_before_anything_is_written(trainer_of, array_scenes, tmp_path):
    with pytest.raises(ConfigError, match="need 5 views, but a scene has 4"):
        trainer_of("vae", "training.contexts={minimum: 1, maximum: 4}", train=array_scenes(num_views=4))
    with pytest.raises(ConfigError, match="need 5 views, but a scene has 4"):
        trainer_of("vae", "training.contexts={minimum: 1, maximum: 4}", validation=array_scenes(num_views=4))
    with pytest.raises(ConfigError, match="batch_size"):
        trainer_of("vae", "training.gradient_accumulation=3")
    trainer_of("vae")
    assert list(tmp_path.iterdir()) == []


def test_the_seed_decides_everything_and_torchs_generator_nothing(trainer_of, weights):
    torch.manual_seed(1)
    one = trained(trainer_of("gqn-tower", seed=5), weights)
    torch.manual_seed(2)
    assert torch.equal(trained(trainer_of("gqn-tower", seed=5), weights), one)
    other = build(_variant("gqn-tower"), seed=5)
    assert not torch.equal(trained(trainer_of("gqn-tower", seed=6, model=other), weights), one), (
        "order, views and noise"
    )


def test_weight_decay_takes_adamw(trainer_of, weights):
    plain = trainer_of("vae")
    decayed = trainer_of("vae", "training.optimizer.weight_decay=0.1")
    assert (
        type(plain.train_step.optimizer.optimizer) is torch.optim.Adam
        and type(decayed.train_step.optimizer.optimizer) is torch.optim.AdamW
    )
    assert not torch.equal(trained(plain, weights), trained(decayed, weights))
