"""Every encoder with every core: built, tried, trained for two steps and measured, or refused in one sentence."""

import functools
import math

import numpy as np
import pytest
import torch

from zoo.bench.measurement import evaluate
from zoo.bench.protocol import Protocol
from zoo.checks.fixture import make_fixture
from zoo.checks.runner import CHECKS, QUICK
from zoo.config.schedules import schedule_values_at
from zoo.errors import ConfigError, RegistryError
from zoo.evaluation.throughput import random_batch
from zoo.model import tasks
from zoo.registry.components import available, find_component
from zoo.registry.registry import default_registry
from zoo.registry.variant import build, resolve
from zoo.training.run import run_config
from zoo.training.trained_model import TrainedModel, TrainingCost

REGISTRY = default_registry()
TIMM = {
    "resnet18": ("encoder.stage=1", "encoder.input_size=32"),
    "convnext_atto": ("encoder.stage=0", "encoder.input_size=32"),
    "mobilenetv3_small_050": ("encoder.stage=1", "encoder.input_size=32", "encoder.pose=pixels"),
    "vit_tiny_patch16_224": ("encoder.stage=0", "encoder.input_size=32"),
}
# Sizes that are not those of the full encoder; what is not named here has "channels".
SIZES = {
    "none": (),
    "patches": ("encoder.channels=16", "encoder.patch_size=4"),
}
# A sentence encoder reads weights from disk; tests/encoders/test_sentence.py pairs it with a core.
FROM_DISK = {"sentence"}
TASKS = ("render", "localise", "caption_render", "regress", "unconditional")
LIKELIHOODS = {"images": "annealed_gaussian", "poses": "pose_mixture", "values": "learned_gaussian"}
# Epipolar lines need maps with more than one place; these encoders leave one vector a view.
WITHOUT_MAPS = {"pyramid", "pool", "captions"}
NEEDS_MAPS = {"gqn_epipolar"}


def encoders():
    plain = [name for name in available("encoder") if name != "timm_backbone" and name not in FROM_DISK]
    return [*plain, *TIMM]


def encoder_class(encoder):
    return find_component("encoder", "timm_backbone" if encoder in TIMM else encoder, file="tests")


def settings_of(encoder):
    if encoder in TIMM:
        return (
            "encoder.use=timm_backbone",
            f"encoder.model={encoder}",
            "encoder.channels=16",
            *TIMM[encoder],
        )
    return (f"encoder.use={encoder}", *SIZES.get(encoder, ("encoder.channels=16",)))


def registered_with(core):
    return [name for name in REGISTRY.names() if REGISTRY.variant(name).core.use == core]


def task_for(encoder, core):
    """Returns the first task under which encoder and core declare that they fit together, or None."""
    reads, offers = encoder_class(encoder).context_kind, encoder_class(encoder).features
    part = find_component("core", core, file="tests")
    if not part.required_features <= offers or (offers and not part.required_features | part.optional_features):
        return None
    for name in TASKS:
        task = tasks.by_name()[name]
        if part.encodes_targets and task.target_view_kind != task.context_kind:
            continue
        if reads not in ("anything", task.context_kind):
            continue
        if task.query_kind in part.query_kinds and task.target_kind in part.target_kinds and base_of(core, name):
            return name
    return None


def base_of(core, task):
    """Returns a registered variant of a core whose task asks and scores the same kinds of things as ``task``."""
    wanted = tasks.by_name()[task]
    for name in registered_with(core):
        own = tasks.by_name()[REGISTRY.variant(name).task.use]
        if (own.query_kind, own.target_kind) == (wanted.query_kind, wanted.target_kind):
            return name
    return None


PAIRS = [(encoder, core) for encoder in encoders() for core in available("core")]
FITTING = [
    (encoder, core)
    for encoder, core in PAIRS
    if task_for(encoder, core) and not (core in NEEDS_MAPS and encoder in WITHOUT_MAPS)
]


def combined(encoder, core, task):
    base = base_of(core, task)
    likelihood = ()
    own = REGISTRY.variant(base, size="smoke")
    kind = tasks.by_name()[task].target_kind
    if kind not in find_component("likelihood", own.likelihood.use, file="tests").target_kinds:
        likelihood = (f"likelihood.use={LIKELIHOODS[kind]}",)
    changed = () if own.task.use == task else (f"task.use={task}",)
    return REGISTRY.variant(base, size="smoke", overrides=(*settings_of(encoder), *changed, *likelihood))


@functools.cache
def pair(encoder, core):
    return combined(encoder, core, task_for(encoder, core))


@pytest.mark.parametrize(("encoder", "core"), FITTING, ids=lambda value: value)
def test_a_fitting_pair_keeps_the_contract(encoder, core):
    fixture = make_fixture(pair(encoder, core))
    for check in QUICK:
        CHECKS[check](fixture)


@pytest.mark.parametrize(("encoder", "core"), FITTING, ids=lambda value: value)
def test_a_fitting_pair_is_trained_and_measured(encoder, core, array_scenes):
    variant = pair(encoder, core)
    model, recipe = build(variant, seed=3), variant.training
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=1e-3)
    before = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    for step in range(2):
        batch = random_batch(
            batch_size=2, num_views=4, image_size=variant.image_size, extras=model.task.extras, seed=step
        )
        schedule = schedule_values_at(recipe, step)
        terms = model(batch, schedule, 2)
        loss = terms.loss()
        assert math.isfinite(loss.item())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    unchanged = [name for name, value in before.items() if torch.equal(value, model.get_parameter(name))]
    assert not unchanged
    scenes = array_scenes(num_scenes=3, num_views=5, image_size=variant.image_size)
    drawn = random_batch(batch_size=3, num_views=5, image_size=variant.image_size, extras=model.task.extras)
    arrays = {name: extra.numpy() for name, extra in drawn.extras.items()}
    source = type(scenes)(frames=scenes.frames, cameras=scenes.cameras, arrays=arrays)
    trained = TrainedModel(
        model=model.eval(),
        variant=variant,
        run=None,
        config=run_config(variant, seed=3, source=source),
        step=2,
        seconds=0.0,
        spent=TrainingCost(2, 0.0),
    )
    protocol = Protocol(num_context=2, num_targets=2, repeats=0, prediction_samples=2, metrics=())
    row = evaluate(trained, source, protocol=protocol)
    assert row.status == "ok"
    assert row.metrics["nelbo"].n == 3
    assert all(np.isfinite(metric.value) for metric in row.metrics.values())


@pytest.mark.parametrize(("encoder", "core"), sorted(set(PAIRS) - set(FITTING)), ids=lambda value: value)
def test_what_does_not_fit_is_refused_in_one_sentence(encoder, core):
    own = REGISTRY.variant(registered_with(core)[0]).task.use
    variant = combined(encoder, core, task_for(encoder, core) or own)
    with pytest.raises((RegistryError, ConfigError)) as caught:
        build(variant)
    message = str(caught.value)
    assert "\n" not in message
    assert 40 < len(message) < 400
    assert core in message or variant.encoder.use in message


def test_there_are_sixty_working_pairs_and_more():
    assert len(FITTING) >= 60
    cores = {core for _, core in FITTING}
    assert cores == set(available("core"))
    assert {encoder for encoder, _ in FITTING} == set(encoders())


@pytest.mark.parametrize("core", available("core"))
def test_every_core_is_registered(core):
    assert registered_with(core)


def test_resolving_a_pair_agrees_with_its_declarations():
    for encoder, core in FITTING:
        resolve(pair(encoder, core))
