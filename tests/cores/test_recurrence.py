"""A map that every step looks up equals a constant representation, if it is the same map."""

import pytest
import torch

from zoo.config.schedules import schedule_values
from zoo.cores.gqn import Gqn, Recurrence
from zoo.model.interfaces import CoreShapes, Representation, RepresentationShape
from zoo.model.query_latents import RolloutInputs
from zoo.nn.noise import fold

SCENE, SIZE, SIDE, STEPS = 5, 8, 4, 3
CONFIG = {
    "steps": STEPS,
    "z_channels": 2,
    "hidden_channels": 4,
    "canvas_channels": 6,
    "read_channels": 5,
    "canvas_scale": 2,
    "kernel_size": 3,
}
SHAPES = CoreShapes(
    representation=RepresentationShape(channels=SCENE, height=SIDE, width=SIDE),
    query=(7,),
    target=(3, SIZE, SIZE),
    prediction_channels=3,
)


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(*, shared, **channels):
    torch.manual_seed(0)
    return Recurrence(Gqn.Config(shared=shared, **CONFIG), shapes=SHAPES, **channels).double()


def inputs(*, source="posterior"):
    """Four queries of two scenes."""
    scene = random(2, SCENE, SIDE, SIDE)
    return RolloutInputs(
        scene=Representation(pooled=scene, per_view=scene[:, None], mask=torch.ones(2, 1, dtype=torch.bool)),
        poses=random(2, 1, 7),
        query=random(4, 7, seed=1),
        keys=fold(torch.arange(4), 1),
        target=random(4, 3, SIZE, SIZE, seed=2),
        source=source,
        temperature=schedule_values(sigma=0.7).temperature,
    )


@torch.no_grad()
def with_weights_of(attending, constant):
    """Copies the weights of a recurrence with a constant scene to one that looks the scene up."""
    state = constant.state_dict()
    for name in list(state):
        if "from_scene" not in name:
            continue
        scene, step = state.pop(name), name.replace("from_scene", "from_step")
        own = state.get(step)
        if own is None:  # the first inference cell has nothing else to read
            state[step] = scene
            continue
        before = CONFIG["z_channels"] if ".generator." in name else 0
        state[step] = torch.cat([own[:, :before], scene, own[:, before:]], dim=1)
    attending.load_state_dict(state)
    return attending


@pytest.mark.parametrize("source", ["posterior", "prior"])
@pytest.mark.parametrize("shared", [False, True])
def test_the_same_lookup_in_every_step_equals_a_constant_representation(shared, source):
    constant = made(shared=shared, scene_channels=SCENE)
    attending = with_weights_of(made(shared=shared, attended_channels=SCENE), constant)
    given = inputs(source=source)
    scene = given.scene.pooled
    expected = constant(given, pooled=scene)
    found = attending(given, attend=lambda hidden: scene.repeat_interleave(2, dim=0))
    torch.testing.assert_close(found.prediction, expected.prediction, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.terms().kl, expected.terms().kl, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.terms().log_ratio, expected.terms().log_ratio, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_every_step_makes_one_lookup_with_the_state_before_it(shared):
    attending = made(shared=shared, attended_channels=SCENE)
    asked, after = [], []
    for step in attending.steps:
        step.generator.register_forward_hook(lambda _, __, state: after.append(state.hidden))

    def attend(hidden):
        asked.append(hidden)
        return random(4, SCENE, SIDE, SIDE, seed=len(asked))

    attending(inputs(), attend=attend)
    assert len(asked) == len(after) == STEPS
    assert torch.equal(asked[0], torch.zeros_like(asked[0]))
    for state, before in zip(asked[1:], after[:-1], strict=True):
        assert state is before


@pytest.mark.parametrize("shared", [False, True])
def test_both_cells_of_a_step_use_its_lookup(shared):
    attending = made(shared=shared, attended_channels=SCENE)
    latents = [random(4, 2, SIDE, SIDE, seed=10 + step) for step in range(STEPS)]

    def run(changed):
        count = iter(range(STEPS))

        def attend(hidden):
            step = next(count)
            return random(4, SCENE, SIDE, SIDE, seed=20 + step) + (step == changed)

        return attending(inputs(source=latents), attend=attend)

    before = run(None)
    for changed in range(STEPS):
        after = run(changed)
        for step in range(STEPS):
            posterior = (before.posteriors.mean[step] - after.posteriors.mean[step]).abs().max().item()
            prior = (before.priors.mean[step] - after.priors.mean[step]).abs().max().item()
            assert (posterior > 1e-6) == (step >= changed)
            assert (prior > 1e-6) == (step > changed), "a prior depends on the lookups before its step only"
        assert (before.prediction - after.prediction).abs().max() > 1e-6
