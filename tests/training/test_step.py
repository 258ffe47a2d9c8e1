"""Training steps that are skipped, with immediate and with deferred checks."""

import copy

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.data.plan import LoadedBatch
from zoo.errors import ConfigError, NonFiniteError
from zoo.evaluation.throughput import random_batch
from zoo.model.scene_model import SceneModel
from zoo.registry.variant import build
from zoo.training import checkpoint
from zoo.training.options import TrainingOptions
from zoo.training.step import TrainStep, make_optimizer, move_average


@pytest.fixture
def updates(variant, tmp_path):
    """Returns a maker of updates of a small model."""

    def make(*overrides, name="vae", deferred=False, model=None, seed=0, **options):
        chosen = variant(name, *overrides)
        step = TrainStep(
            model or build(chosen, seed=0),
            recipe=chosen.training,
            seed=seed,
            accelerator=Accelerator(cpu=True),
            options=TrainingOptions(**options),
            checkpoints=tmp_path / "checkpoints",
        )
        step.deferred = deferred
        return step

    return make


def pieces(model, *, spoilt=(), count=8):
    """Yields batches of noise; the cameras of some of them are nonsense."""
    size = model.task.image_size
    for index in range(count):
        batch = random_batch(batch_size=4, num_views=3, image_size=size, seed=index)
        if index in spoilt:
            cameras = batch.cameras.clone()
            cameras[2] = float("nan")
            batch = batch._replace(cameras=cameras, scene=batch.scene + 10)
        yield LoadedBatch(batch, 2)


def state_of(made):
    moments = [
        value.clone()
        for _, kept in sorted(made.optimizer.state_dict()["state"].items())
        for _, value in sorted(kept.items())
    ]
    return [*(each.detach().clone() for each in made.model.parameters()), *moments]


def equal(one, other):
    return all(torch.equal(each, same) for each, same in zip(one, other, strict=True))


def test_immediate_and_deferred_checks_lead_to_the_same_weights(updates):
    found = []
    for deferred in (False, True):
        made = updates("training.ema_decay=0.5", name="gqn-tower-shared", deferred=deferred)
        coming = pieces(made.model)
        figures = [made.run(step, coming) for step in range(5)]
        made.synchronize()
        found.append(([each() for each in figures], state_of(made), list(made.evaluated_model.parameters())))
    (figures, state, average), (later_figures, later_state, later_average) = found
    assert figures == later_figures
    assert equal(state, later_state) and equal(average, later_average)
    assert not equal(average, state[: len(average)])


def test_an_immediate_check_raises_before_the_next_update(updates):
    made = updates("training.ema_decay=0.5", name="gqn-tower-shared")
    coming = pieces(made.model, spoilt={2})
    for step in range(2):
        made.run(step, coming)
    before, average = state_of(made), copy.deepcopy(list(made.evaluated_model.parameters()))
    with pytest.raises(
        NonFiniteError, match=r"step 2: .*the update was not made. Not finite: scenes \[12\]; .*checkpoints"
    ):
        made.run(2, coming)
    assert equal(state_of(made), before) and equal(list(made.evaluated_model.parameters()), average)


def test_a_deferred_check_raises_before_anything_has_changed(updates):
    made = updates("training.ema_decay=0.5", name="gqn-tower-shared", deferred=True)
    coming = pieces(made.model, spoilt={2})
    for step in range(2):
        made.run(step, coming)
    made.synchronize()
    before, average = state_of(made), copy.deepcopy(list(made.evaluated_model.parameters()))
    made.run(2, coming)  # not checked yet
    assert equal(state_of(made), before)
    with pytest.raises(NonFiniteError, match=r"step 2: .*Not finite: scenes \[12\]"):
        made.run(3, coming)
    assert equal(state_of(made), before) and equal(list(made.evaluated_model.parameters()), average)
    made.synchronize()  # raises once only


def test_synchronizing_raises_the_last_fault(updates):
    made = updates(name="gqn-tower-shared", deferred=True)
    made.run(0, pieces(made.model, spoilt={0}))
    with pytest.raises(NonFiniteError, match="step 0"):
        made.synchronize()


def test_an_infinite_loss_with_a_finite_gradient_changes_nothing(updates, monkeypatch):
    """A density that is zero outside of a range has no gradient there; its loss was infinite and training went on."""
    made = updates(name="gqn-tower-shared")
    log_prob = made.model.likelihood.log_prob

    def bounded(prediction, target, schedule):
        outside = torch.zeros(target.shape[:2], dtype=torch.bool)
        outside[2] = True
        return log_prob(prediction, target, schedule).masked_fill(outside, -torch.inf)

    monkeypatch.setattr(made.model.likelihood, "log_prob", bounded)
    before = [each.detach().clone() for each in made.model.parameters()]
    with pytest.raises(NonFiniteError, match=r"step 0: .*Not finite: scenes \[2\]"):
        made.run(0, pieces(made.model))
    assert equal(made.model.parameters(), before)


def test_torchs_generator_is_seeded_by_seed_and_step_alone(updates, monkeypatch):
    """Dropout of a backbone must be the same in a resumed run, and another one in every step and with every seed."""
    drawn = []
    forward = SceneModel.forward

    def drawing(self, *arguments):
        drawn.append(torch.rand(5))
        return forward(self, *arguments)

    monkeypatch.setattr(SceneModel, "forward", drawing)

    def draws(*steps, seed, before):
        made, first = updates(seed=seed), len(drawn)
        for step in steps:
            torch.manual_seed(before)
            torch.rand(before)
            made.run(step, pieces(made.model))
        return drawn[first:]

    whole = draws(0, 1, 2, seed=3, before=1)
    (resumed,) = draws(2, seed=3, before=7)
    (other,) = draws(2, seed=4, before=1)
    assert torch.equal(whole[2], resumed)
    assert len({tuple(each.tolist()) for each in (*whole, other)}) == 4
    expected = torch.rand(5, generator=torch.Generator().manual_seed(hash((3, 2, 0)) % 2**63))
    assert torch.equal(whole[2], expected)


def test_weights_and_moments_have_equal_strides_after_loading(updates, tmp_path):
    """Fused Adam reads both in the same order."""
    made = updates(name="gqn-tower-shared")
    made.run(0, pieces(made.model))
    saved = checkpoint.save(
        tmp_path,
        step=1,
        model=made.model,
        optimizer=made.optimizer,
        ema=None,
        state={"config": {}, "seed": 0, "seconds": 0.0},
    )
    other = updates(name="gqn-tower-shared")
    other.model.to(memory_format=torch.channels_last)
    checkpoint.load_tensors(checkpoint.read(saved).path / checkpoint.MODEL, other.model)
    checkpoint.load_optimizer(checkpoint.read(saved), other.optimizer)
    assert any(
        each.stride() != mine.stride()
        for each, mine in zip(other.model.parameters(), made.model.parameters(), strict=True)
    )
    for parameter in other.model.parameters():
        for name in ("exp_avg", "exp_avg_sq"):
            assert other.optimizer.state[parameter][name].stride() == parameter.stride()
    assert equal(state_of(made), state_of(other))
    for each in (made, other):
        each.run(1, pieces(each.model))
    for one, same in zip(state_of(made), state_of(other), strict=True):
        torch.testing.assert_close(same, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_fused_adam_is_adam(variant, decay):
    recipe = variant("vae", f"training.optimizer.weight_decay={decay}").training
    models = [build(variant("vae"), seed=0) for _ in range(2)]
    fused = make_optimizer(models[0], recipe)
    plain = type(fused)(
        models[1].parameters(),
        lr=recipe.learning_rate.start,
        eps=recipe.optimizer.epsilon,
        weight_decay=decay,
        foreach=False,
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        for one, other in zip(*(model.parameters() for model in models), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        fused.step(), plain.step()
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_an_average_starts_with_the_weights_and_counts_its_moves():
    model = nn.Linear(3, 2)
    ours = AveragedModel(model)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for step in (0, 100, 101, 102):
        with torch.no_grad():
            model.weight.add_(step + 1.0)
        move_average(ours, model, decay=0.9, step=step)
        theirs.update_parameters(model)
        assert equal(list(ours.state_dict().values()), list(theirs.state_dict().values()))


def test_a_young_average_forgets_the_initial_weights():
    model = nn.Linear(1, 1, bias=False)
    average = AveragedModel(model)
    for step in range(100):
        with torch.no_grad():
            model.weight.fill_(step)
        move_average(average, model, decay=0.9999, step=step)
    assert 80 < average.module.weight.item() < 99


def test_recomputed_activations_give_the_same_update(updates):
    kept, again = updates(name="gqn-tower-shared"), updates(name="gqn-tower-shared", recompute=True)
    assert again.model.recompute_activations(True) >= 1
    for made in (kept, again):
        made.run(0, pieces(made.model))
    for one, other in zip(state_of(kept), state_of(again), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-8)


def test_a_model_without_steps_to_recompute_is_refused(updates):
    with pytest.raises(ConfigError, match=r"--recompute: Vae with .* has no steps"):
        updates(recompute=True)
