"""The fast core against the textbook's loop, which is the reference: the same numbers and the same learning."""

import copy

import pytest
import torch

from benchmarks.speed.textbook_gqn import TextbookGqn, textbook_model, to_fast, to_textbook, weight_pairs
from zoo.config.schedules import schedule_values_at
from zoo.evaluation.throughput import random_batch
from zoo.nn import winograd
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

NUM_CONTEXT = 3
# Large enough that Winograd's convolution is chosen where it can be: states of 16x16, channels above 16.
LARGE = (
    "image_size=64",
    "core.kernel_size=5",
    "core.hidden_channels=24",
    "core.steps=3",
    "core.canvas_channels=8",
    "core.read_channels=16",
)


def models(*, shared, seed=0, changes=(), dtype=torch.float32):
    """A model and the same with the textbook's core."""
    overrides = [f"core.shared={str(shared).lower()}", *changes]
    variant = default_registry().variant("gqn-tower", size="smoke", overrides=overrides)
    fast = build(variant, seed=seed)
    with torch.no_grad():
        for parameter in fast.parameters():
            parameter.mul_(1.5)  # away from where all states are nearly zero
    return variant, fast.to(dtype), textbook_model(fast).to(dtype)


def drawn(variant, *, queries, scenes=2, seed=0):
    batch = random_batch(batch_size=scenes, num_views=NUM_CONTEXT + queries, image_size=variant.image_size, seed=seed)
    return batch, schedule_values_at(variant.training, 0)


def loss_of(model, batch, schedule):
    model.zero_grad(set_to_none=True)
    terms = model(batch, schedule, NUM_CONTEXT)
    loss = terms.loss()
    loss.backward()
    return terms


def apart(one, other):
    """The norm of the difference, of the norm."""
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm().clamp_min(1e-12))


@pytest.mark.parametrize("changes", [(), LARGE], ids=["small", "large"])
@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "unshared"])
def test_reference_elbo_predictions_and_every_gradient_in_float32(shared, queries, changes):
    variant, fast, textbook = models(shared=shared, changes=changes)
    batch, schedule = drawn(variant, queries=queries)
    for ours, theirs in zip(loss_of(fast, batch, schedule), loss_of(textbook, batch, schedule), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for pair in weight_pairs(fast.core, textbook.core):
        assert apart(pair.fast.grad, pair.textbook.grad[pair.part]) < 1e-5, pair.name
    for ours, theirs in zip(fast.encoder.parameters(), textbook.encoder.parameters(), strict=True):
        assert apart(ours.grad, theirs.grad) < 1e-5
    predicted = [model.predict(batch, schedule, NUM_CONTEXT, num_samples=2).parameters for model in (fast, textbook)]
    assert apart(*predicted) < 1e-5


def test_reference_the_large_size_chooses_winograd(monkeypatch):
    """Or the test above would say nothing of it."""
    chosen = []
    is_faster = winograd.is_faster
    monkeypatch.setattr(
        "zoo.nn.convlstm.is_faster", lambda *given, **more: chosen.append(is_faster(*given, **more)) or chosen[-1]
    )
    variant, fast, _ = models(shared=True, changes=LARGE)
    loss_of(fast, *drawn(variant, queries=3))
    assert chosen and all(chosen)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "unshared"])
def test_reference_weights_go_both_ways(shared):
    _, fast, textbook = models(shared=shared)
    again = to_fast(textbook.core)
    assert all(torch.equal(again.state_dict()[name], weight) for name, weight in fast.core.state_dict().items())
    # And from a textbook's core with weights of its own, also for the zero state of the first step.
    torch.manual_seed(3)
    core = TextbookGqn(textbook.core.config, shapes=textbook.core.shapes)
    if not shared:
        with pytest.raises(ValueError, match="reads a blank canvas"):
            to_fast(core)
        torch.nn.init.zeros_(core.steps[0].read_canvas.bias)
    variant, one, other = models(shared=shared)
    one.core, other.core = core, to_textbook(to_fast(core))
    batch, schedule = drawn(variant, queries=1)
    for before, after in zip(one(batch, schedule, NUM_CONTEXT), other(batch, schedule, NUM_CONTEXT), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "unshared"])
def test_reference_no_weight_is_missing(shared):
    _, fast, textbook = models(shared=shared)
    pairs = list(weight_pairs(fast.core, textbook.core))
    assert {id(pair.fast) for pair in pairs} == {id(weight) for weight in fast.core.parameters()}
    numbers = sum(pair.textbook[pair.part].numel() for pair in pairs)
    assert numbers == sum(weight.numel() for weight in fast.core.parameters())
    if shared:
        assert numbers == sum(weight.numel() for weight in textbook.core.parameters())


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "unshared"])
def test_reference_learning_curves_coincide(shared):
    """The same batches, Adam, 25 updates: in float32 the losses stay together to rounding."""
    variant, fast, textbook = models(shared=shared)
    curves = []
    for model in (fast, textbook):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        curve = []
        for step in range(25):
            batch, schedule = drawn(variant, queries=1, seed=step)
            terms = loss_of(model, batch, schedule)
            optimizer.step()
            curve.append(float(terms.excess().detach().mean()))
        curves.append(torch.tensor(curve))
    assert curves[0][-1] < curves[0][0] - 10.0, "the loss did not fall"
    torch.testing.assert_close(curves[0], curves[1], rtol=1e-3, atol=1e-2)


def test_reference_fits_gqn_only():
    model = build(default_registry().variant("vae", size="smoke"))
    with pytest.raises(TypeError, match="Gqn"):
        textbook_model(model)


def test_reference_shares_nothing_with_the_model():
    _, fast, textbook = models(shared=True)
    before = copy.deepcopy(fast.state_dict())
    with torch.no_grad():
        for parameter in textbook.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], weight) for name, weight in fast.state_dict().items())
