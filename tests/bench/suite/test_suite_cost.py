import pytest

from zoo.bench.suite import cost
from zoo.bench.suite.cost import Cost, CostBook, flops_per_scene, measure_cost, steps_within, with_steps
from zoo.bench.suite.settings import Budget
from zoo.errors import ConfigError
from zoo.registry.registry import default_registry


def variant(name="vae", *overrides):
    return default_registry().variant(name, size="smoke", overrides=overrides)


def test_operations_are_those_of_the_convolutions():
    """Every step of the recurrent core costs the same, and the cost per scene does not depend on the batch."""
    one, two, three = (flops_per_scene(variant("gqn-tower", f"core.steps={steps}")) for steps in (1, 2, 3))
    assert three - two == pytest.approx(two - one, rel=0.02) and two > one
    assert flops_per_scene(variant("gqn-tower", "core.steps=1", "training.batch_size=8")) == one


@pytest.mark.parametrize("name", ["gqn-tower", "draw-attention", "srt-latent", "np-1d"])
def test_computed_models_and_tensors_without_values_give_the_same_count(name, monkeypatch):
    computed = flops_per_scene(variant(name))
    monkeypatch.setattr(cost, "COMPUTED_IMAGE_SIZE", -1)
    assert flops_per_scene(variant(name)) == computed > 0


def test_the_count_does_not_depend_on_faster_algorithms_of_this_machine(monkeypatch):
    from zoo.nn import winograd

    wide = variant("gqn-tower", "core.kernel_size=5", "core.hidden_channels=16", "core.canvas_channels=16")
    before = flops_per_scene(wide)
    monkeypatch.setattr(winograd, "FEWEST_POSITIONS", 1)
    assert flops_per_scene(wide) == before


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (None, 4),
        (Budget(steps=7), 7),
        (Budget(scenes=40), 10),
        (Budget(flops=4000.0), 10),
        (Budget(flops=1.0), 1),
        (Budget(seconds=3.0), 6),
    ],
)
def test_a_budget_becomes_updates(budget, steps):
    assert steps_within(budget, variant(), Cost(flops=100, seconds=0.5, source="measured")) == steps


def test_equal_compute_gives_the_cheaper_variant_more_updates():
    budget = Budget(flops=1e10)
    spent = {}
    for name in ("gqn-tower", "vae", "np-1d"):
        chosen = variant(name)
        per_step = Cost(flops=flops_per_scene(chosen), seconds=1.0, source="measured")
        spent[name] = steps_within(budget, chosen, per_step) * per_step.flops * chosen.training.batch_size
    assert all(value == pytest.approx(1e10, rel=0.01) for value in spent.values())


def test_schedules_are_stretched_with_the_training():
    long = with_steps(variant(), 400)
    assert long.training.steps == 400
    before = variant().training
    assert long.training.learning_rate.steps == 100 * before.learning_rate.steps
    assert long.training.sigma.steps == 100 * before.sigma.steps and long.training.sigma.end == before.sigma.end
    assert long.core == variant().core


@pytest.mark.parametrize("steps", [1, 2, 7, 4000])
def test_every_length_of_a_training_whose_sigma_falls_and_rises_is_valid(steps):
    training = with_steps(variant("gqn-epipolar-improved"), steps).training
    assert type(training).model_validate(training.model_dump()) == training


def test_the_time_of_a_long_step_is_estimated_from_its_operations():
    assert measure_cost(variant(), device="cpu", longest=1.0).source == "flops"
    measured = measure_cost(variant(), device="cpu")
    assert measured.source == "measured" and measured.seconds > 0


def test_costs_are_saved_and_a_wall_clock_budget_with_them(tmp_path, monkeypatch):
    counted = []

    def measure(variant, *, device, longest):
        counted.append(longest)
        return Cost(flops=100, seconds=0.5 / len(counted), source="flops" if longest < 1e12 else "measured")

    monkeypatch.setattr(cost, "measure_cost", measure)
    book = CostBook(tmp_path, device="cpu", save=True)
    first = book.cost(variant(), budget=Budget(flops=1e9))
    assert book.cost(variant("vae", "training.steps=9"), budget=None) == first and len(counted) == 1
    measured = book.cost(variant(), budget=Budget(seconds=9.0))
    assert measured.source == "measured" and len(counted) == 2
    again = CostBook(tmp_path, device="cpu", save=False)
    assert again.cost(variant(), budget=Budget(seconds=9.0)) == measured and len(counted) == 2
    again.cost(variant("cvae"), budget=None)
    assert len(CostBook(tmp_path, device="cpu", save=True)._entries) == 1, "a dry run writes nothing"
    (tmp_path / "costs.json").write_text('{"x": {"flops": "many"}}')
    with pytest.raises(ConfigError, match=r"costs\.json: x"):
        CostBook(tmp_path, device="cpu", save=True)
