"""The deterministic renderer: GQN's generator with z cut out, and nothing drawn."""

import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.cores.deterministic import Deterministic
from zoo.cores.gqn import Gqn
from zoo.episode import Episode, Views
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape

SCENES, QUERIES, SIZE, POSES, Z = 2, 3, 8, 7, 2
SCHEDULE = schedule_values(sigma=0.7)
SETTINGS = {"steps": 3, "hidden_channels": 4, "canvas_channels": 6, "canvas_scale": 2, "kernel_size": 3}


def shapes(side=4):
    return CoreShapes(
        representation=RepresentationShape(channels=5, height=side, width=side),
        query=(POSES,),
        target=(3, SIZE, SIZE),
        prediction_channels=3,
    )


def made(kind=Deterministic, *, shared=False, side=4, **changes):
    torch.manual_seed(0)
    return kind(kind.Config(**SETTINGS | {"shared": shared} | changes), shapes=shapes(side)).double()


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def encode(views):
    return Representation(pooled=views.values.sum(1), per_view=views.values, mask=views.mask)


def problem(side=4):
    context = Views(
        values=random(SCENES, 1, 5, side, side, seed=0),
        poses=random(SCENES, 1, POSES, seed=1),
        mask=torch.ones(SCENES, 1) > 0,
    )
    target = random(SCENES, QUERIES, 3, SIZE, SIZE, seed=2)
    return Episode(
        context=context,
        query=random(SCENES, QUERIES, POSES, seed=3),
        target=target,
        target_views=context,
        key=torch.arange(SCENES),
    )


def without_latents(gqn, *, shared, side):
    """A deterministic renderer with the weights of a GQN, those of z left out."""
    found = made(shared=shared, side=side)
    given = gqn.recurrence.state_dict()
    weights = {name: value for name, value in given.items() if name in found.state_dict()}
    for name, value in weights.items():
        if name.endswith("generator.from_step.weight"):
            weights[name] = value[:, Z:]
    assert set(weights) == set(found.state_dict())
    found.load_state_dict(weights)
    return found


@pytest.mark.parametrize("side", [1, 4, 8])
@pytest.mark.parametrize("shared", [False, True])
def test_it_is_a_gqn_whose_generator_is_deaf_to_z(shared, side):
    gqn = made(Gqn, shared=shared, side=side, z_channels=Z, read_channels=5)
    with torch.no_grad():
        for step in gqn.recurrence.steps:
            step.generator.from_step.weight[:, :Z] = 0.0
    given = problem(side)
    output = without_latents(gqn, shared=shared, side=side)(given, encode, SCHEDULE)
    torch.testing.assert_close(output.prediction, gqn(given, encode, SCHEDULE).prediction, rtol=1e-12, atol=1e-12)
    assert output.prediction.std() > 1e-3


@pytest.mark.parametrize("shared", [False, True])
def test_kl_and_log_ratio_are_zero(shared):
    output = made(shared=shared)(problem(), encode, SCHEDULE)
    assert output.prediction.shape == (SCENES, QUERIES, 3, SIZE, SIZE)
    assert torch.equal(output.kl, torch.zeros(SCENES, dtype=torch.float64))
    assert torch.equal(output.log_ratio, torch.zeros(SCENES, dtype=torch.float64))


def test_samples_do_not_depend_on_key_and_temperature_and_are_rendered_once():
    core, given = made(), problem()
    calls = []
    core.steps[0].generator.register_forward_hook(lambda _, __, state: calls.append(len(state.hidden)))
    drawn = core.predict(given.context, given.query, given.key, encode=encode, schedule=SCHEDULE, num_samples=4)
    assert set(calls) == {SCENES * QUERIES}
    assert len(calls) == core.config.steps // len(core.steps)
    assert drawn.shape == (4, SCENES, QUERIES, 3, SIZE, SIZE)
    prediction = core(given, encode, SCHEDULE).prediction
    assert all(torch.equal(sample, prediction) for sample in drawn)
    hot = SCHEDULE._replace(temperature=torch.tensor(9.0))
    other = core.predict(given.context, given.query, given.key + 1, encode=encode, schedule=hot, num_samples=1)
    assert torch.equal(other[0], prediction)


def test_predictions_depend_on_context_and_pose_and_not_on_the_target():
    core, given = made(), problem()
    before = core(given, encode, SCHEDULE).prediction
    assert torch.equal(core(given._replace(target=given.target + 1.0), encode, SCHEDULE).prediction, before)
    for change in (
        {"query": given.query + 1.0},
        {"context": given.context._replace(values=given.context.values + 1.0)},
    ):
        changed = (core(given._replace(**change), encode, SCHEDULE).prediction - before).flatten(2).abs().amax(-1)
        assert (changed > 1e-9).all()


def test_queries_side_by_side_equal_queries_one_by_one():
    core, given = made(), problem()
    together = core(given, encode, SCHEDULE).prediction
    for query in range(QUERIES):
        alone = given._replace(query=given.query[:, query : query + 1], target=given.target[:, query : query + 1])
        torch.testing.assert_close(
            core(alone, encode, SCHEDULE).prediction[:, 0], together[:, query], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"canvas_scale": 3}, "images of 8x8 pixels: canvas_scale 3 does not divide them"),
        ({"kernel_size": 4}, "kernel_size 4: must be odd"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        made(**changes)
