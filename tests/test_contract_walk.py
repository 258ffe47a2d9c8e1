"""Every registered variant keeps the contract, and so does every encoder with every core that takes it."""

import functools

import pytest
import torch

from zoo.checking import CHECKS, subject
from zoo.errors import RegistryError
from zoo.registry import available, default_registry, find_part, resolve

REGISTRY = default_registry()
QUICK = [name for name in CHECKS if name != "log ratio"]
TIMM = {
    "resnet18": ("encoder.stage=1", "encoder.input_size=32"),
    "convnext_atto": ("encoder.stage=0", "encoder.input_size=32"),
    "mobilenetv3_small_050": ("encoder.stage=1", "encoder.input_size=32", "encoder.pose=pixels"),
    "vit_tiny_patch16_224": ("encoder.stage=0", "encoder.input_size=32"),
}
ENCODERS = {
    name: (f"encoder.use={name}", "encoder.channels=16") for name in available("encoder") if name != "timm_backbone"
} | {"none": ("encoder.use=none",)}
for model, settings in TIMM.items():
    ENCODERS[model] = ("encoder.use=timm_backbone", "encoder.channels=16", f"encoder.model={model}", *settings)
CORES = {"gqn": "gqn-tower", "cvae": "cvae", "cvae standard": "cvae-standard", "vae": "vae"}


def needs(core):
    return find_part("core", core.split()[0], file="tests").needs


def offers(encoder):
    use = "timm_backbone" if encoder in TIMM else encoder
    return find_part("encoder", use, file="tests").offers


PAIRS = [(encoder, core) for encoder in sorted(ENCODERS) for core in CORES]
FITTING = [
    (encoder, core)
    for encoder, core in PAIRS
    if needs(core) <= offers(encoder) and bool(needs(core)) == bool(offers(encoder))
]


@functools.cache
def registered(name):
    return subject(REGISTRY.variant(name, size="smoke"))


@functools.cache
def combined(encoder, core):
    return subject(REGISTRY.variant(CORES[core], size="smoke", overrides=ENCODERS[encoder]))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_variant_keeps_the_contract(name, check):
    CHECKS[check](registered(name))


@pytest.mark.parametrize(("encoder", "core"), FITTING, ids=lambda value: value)
def test_every_encoder_fits_every_core_that_takes_it(encoder, core):
    for check in QUICK:
        CHECKS[check](combined(encoder, core))


@pytest.mark.parametrize(("encoder", "core"), sorted(set(PAIRS) - set(FITTING)), ids=lambda value: value)
def test_what_does_not_fit_is_refused_in_one_sentence(encoder, core):
    variant = REGISTRY.variant(CORES[core], size="smoke", overrides=ENCODERS[encoder])
    with pytest.raises(RegistryError) as caught:
        resolve(variant)
    message = str(caught.value)
    assert "\n" not in message
    assert core.split()[0] in message
    assert variant.encoder.use in message


def test_every_core_and_encoder_of_the_zoo_is_walked():
    assert {core.split()[0] for core in CORES} == set(available("core"))
    assert {"timm_backbone" if name in TIMM else name for name in ENCODERS} == set(available("encoder"))
    assert len(FITTING) == 3 * (len(ENCODERS) - 1) + 1


@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_variant_has_a_smoke_size_and_resolves_at_every_size(name):
    entry, _ = REGISTRY.entry(name)
    assert "smoke" in entry.sizes
    for size in ("full", *entry.sizes):
        assert set(resolve(REGISTRY.variant(name, size=size))) == {"task", "encoder", "core", "likelihood"}


@pytest.mark.parametrize("name", REGISTRY.names())
def test_the_query_of_a_scene_is_scored_as_if_it_were_alone(name):
    """Latents range over queries in all of these, so that the terms of two queries are the sum of those of each."""
    trial = registered(name)
    if find_part("core", REGISTRY.variant(name).core.use, file="tests").latents != "query":
        pytest.skip("one latent for all queries of a scene")
    with torch.no_grad():
        both, first = (
            trial.terms(),
            trial.terms(trial.batch._replace(frames=trial.batch.frames[:, :4], cameras=trial.batch.cameras[:, :4])),
        )
        output = trial.model.core(trial.model.task(trial.batch, num_context=3), trial.model.encoder, trial.knobs)
    torch.testing.assert_close(first.kl, output.kl[:, 0].flatten(1).sum(1), rtol=1e-9, atol=1e-9)
    assert (both.floor == 2 * first.floor).all()
