"""One graph that neither the annealing nor the number of context views makes the compiler look at again."""

import pytest
import torch
from accelerate import Accelerator
from torch._dynamo.utils import counters

from zoo.config.schedules import schedule_values
from zoo.errors import ConfigError
from zoo.evaluation.throughput import random_batch
from zoo.nn.noise import fold, standard_normal
from zoo.registry.variant import build
from zoo.training.options import TrainingOptions
from zoo.training.trainer import Trainer

SETTINGS = (
    "training.contexts={minimum: 1, maximum: 5}",
    "training.sigma={start: 2.0, end: 0.5, steps: 10}",
    "training.beta={start: 0.1, end: 1.0, steps: 10}",
    "training.steps=12",
)


class Graphs:
    """Stands in for inductor: takes a graph as it is, and remembers it."""

    def __init__(self):
        self.found = []

    def __call__(self, graph, inputs):
        self.found.append(graph)
        return graph.forward


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that are compiled in a test."""
    counters.clear()
    seen = Graphs()
    original = torch.compile

    def without_inductor(function, *, fullgraph, mode):
        assert fullgraph
        return original(function, fullgraph=True, backend=seen)

    monkeypatch.setattr(torch, "compile", without_inductor)
    yield seen
    torch.compiler.reset()


@pytest.fixture
def training(array_scenes, variant, tmp_path):
    """Returns a function that trains a variant on scenes of noise and returns the trainer."""

    def go(name, *overrides, **options):
        chosen = variant(name, *SETTINGS, *overrides)
        trainer = Trainer(
            build(chosen, seed=0),
            recipe=chosen.training,
            train=array_scenes(num_scenes=8, split="train"),
            validation=array_scenes(num_scenes=3),
            run=tmp_path / f"run-{len(list(tmp_path.iterdir()))}",
            seed=0,
            accelerator=Accelerator(cpu=True),
            options=TrainingOptions(**{"log_interval": 1, "validation_interval": 4, **options}),
            config={},
        )
        trainer.fit()
        return trainer

    return go


def contexts_of(trainer):
    return {trainer.loader.plan(step).num_context for step in range(12)}


@pytest.mark.parametrize("name", ["cvae", pytest.param("gqn-tower-shared", marks=pytest.mark.slow)])
def test_annealing_and_the_number_of_views_need_two_graphs_and_no_breaks(training, graphs, name, weights, look):
    compiled = training(name, "training.batch_size=2", compile=True)
    assert contexts_of(compiled) == {1, 2, 3, 4, 5}
    assert len(graphs.found) == 2, "contexts of one view, and of several"
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 2
    plain = training(name, "training.batch_size=2")
    assert len(graphs.found) == 2, "what is not asked to be compiled is not"
    torch.testing.assert_close(weights(compiled.model), weights(plain.model), rtol=1e-4, atol=1e-6)
    for one, other in zip(look.rows(compiled.run), look.rows(plain.run), strict=True):
        for figure in one:
            assert one[figure] == pytest.approx(other[figure], rel=1e-4, abs=1e-6), figure


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("cvae", "importance_weighted"),
        ("np-1d", "importance_weighted"),
        pytest.param("cgqn", "importance_weighted", marks=pytest.mark.slow),
        ("anp-1d", "maximum_likelihood"),
        pytest.param("convnp-1d", "maximum_likelihood", marks=pytest.mark.slow),
    ],
)
def test_every_objective_is_one_graph(variant, graphs, name, objective):
    chosen = variant(name, f"training.objective={objective}", "training.importance_samples=3")
    plain, compiled = build(chosen, seed=0), build(chosen, seed=0)
    compiled.compile_training("default")
    size, extras = chosen.image_size, plain.task.extras
    for number in (2, 3):
        batch = random_batch(batch_size=2, num_views=number + 2, image_size=size, extras=extras, seed=number)
        losses = [model(batch, schedule_values(sigma=0.7), number).loss() for model in (plain, compiled)]
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=0)
    assert len(graphs.found) == 1 and not counters["graph_break"]


@pytest.mark.slow
def test_convolutions_on_a_cpu_that_choose_by_the_number_of_images_need_a_third_graph(training, graphs):
    """From 16 images on, 4 scenes of 4 views here, torch takes another way through a convolution on a CPU."""
    compiled = training("cvae", "training.batch_size=4", compile=True)
    assert contexts_of(compiled) == {1, 2, 3, 4, 5}
    assert len(graphs.found) == 3 and not counters["graph_break"]


@pytest.mark.slow
def test_no_context_at_all_has_a_graph_of_its_own(variant, graphs):
    chosen = variant("cvae")
    model = build(chosen, seed=0)
    model.compile_training("default")
    for number in (0, 3, 1, 2, 0, 5, 4, 1):
        batch = random_batch(batch_size=2, num_views=number + 1, image_size=chosen.image_size)
        assert torch.isfinite(model(batch, schedule_values(sigma=0.5 + number), number).nelbo()).all()
    assert len(graphs.found) == 3


def test_a_second_model_is_compiled_by_itself_and_a_copy_uses_its_own_weights(variant, graphs):
    import copy

    chosen = variant("vae")
    batch = random_batch(batch_size=2, num_views=2, image_size=chosen.image_size)
    model = build(chosen, seed=0)
    model.compile_training("default")
    before = model(batch, schedule_values(sigma=0.7), 1).nelbo()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    changed = other(batch, schedule_values(sigma=0.7), 1).nelbo()
    with torch.no_grad():
        expected = other(batch, schedule_values(sigma=0.7), 1).nelbo()
    torch.testing.assert_close(changed, expected)
    assert not torch.allclose(changed, before)
    torch.testing.assert_close(model(batch, schedule_values(sigma=0.7), 1).nelbo(), before)


def test_a_model_that_breaks_the_graph_is_refused_in_one_sentence(variant, graphs):
    chosen = variant("vae")
    model = build(chosen, seed=0)
    forward = model.core.forward

    def looking(episode, encode, values):
        output = forward(episode, encode, values)
        torch._dynamo.graph_break()
        return output

    model.core.forward = looking
    model.compile_training("default")
    batch = random_batch(batch_size=2, num_views=2, image_size=chosen.image_size)
    with pytest.raises(ConfigError, match=r"Vae with .* cannot be compiled \(.*\); train without --compile") as caught:
        model(batch, schedule_values(sigma=0.7), 1)
    assert "\n" not in str(caught.value)
    with torch.no_grad():
        assert torch.isfinite(model(batch, schedule_values(sigma=0.7), 1).nelbo()).all(), "evaluation is not compiled"


def test_gradients_in_the_memory_of_a_cuda_graph_are_accumulated_elsewhere(training, monkeypatch, weights):
    """A pass of a CUDA graph writes where the one before did; a gradient that was not copied away would be lost."""
    monkeypatch.setattr(torch, "compile", lambda function, **named: function)
    halves = "training.gradient_accumulation=2"
    plain = training("cvae", halves)
    recorded = training("cvae", halves, compile=True, compile_mode="reduce-overhead")
    torch.testing.assert_close(weights(recorded.model), weights(plain.model), rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is not None for parameter in recorded.model.parameters())
    assert all(parameter.grad is None for parameter in plain.model.parameters())
    single = training("cvae", compile=True, compile_mode="reduce-overhead")
    assert all(parameter.grad is None for parameter in single.model.parameters())


def test_the_mode_reaches_the_compiler(variant, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **named: asked.append(named) or function)
    for mode in ("default", "reduce-overhead", "max-autotune"):
        build(variant("vae")).compile_training(mode)
    assert asked == [{"fullgraph": True, "mode": mode} for mode in ("default", "reduce-overhead", "max-autotune")]
    records = [TrainingOptions(compile=True, compile_mode=each["mode"]).uses_cuda_graphs for each in asked]
    assert records == [False, True, True]
    assert not TrainingOptions(compile_mode="reduce-overhead").uses_cuda_graphs


@pytest.mark.slow
def test_inductor_draws_the_same_noise():
    keys = torch.arange(5)

    def draw(key):
        every = fold(fold(key, -3), torch.arange(4)[:, None])
        return standard_normal(every, (3, 5)), standard_normal(every.T, (2, 4)), fold(every.T, 1)

    compiled = torch.compile(draw, fullgraph=True)
    for one, other in zip(compiled(keys), draw(keys), strict=True):
        assert torch.equal(one, other)
    torch.compiler.reset()


@pytest.mark.slow
def test_a_model_compiled_by_inductor_equals_the_model(variant):
    chosen = variant("cvae")
    plain, compiled = build(chosen, seed=0), build(chosen, seed=0)
    compiled.compile_training("default")
    for number in (1, 2, 3):
        batch = random_batch(batch_size=2, num_views=number + 1, image_size=chosen.image_size, seed=number)
        values = schedule_values(sigma=2.0 - 0.5 * number)
        losses = [model(batch, values, number).nelbo().mean() for model in (plain, compiled)]
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=0)
        gradients = [
            torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(model.parameters()))])
            for loss, model in zip(losses, (plain, compiled), strict=True)
        ]
        assert (gradients[1] - gradients[0]).norm() < 1e-5 * gradients[0].norm()
    torch.compiler.reset()
