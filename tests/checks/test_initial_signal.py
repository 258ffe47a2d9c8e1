"""What stalls training is found at initialisation, and no registered variant has it."""

import pytest
import torch
from torch import nn

from zoo.checks.failures import CheckFailedError
from zoo.checks.fixture import make_fixture
from zoo.checks.initial import check_initial_signal
from zoo.cores import gqn
from zoo.encoders import transformer
from zoo.model.interfaces import Likelihood
from zoo.registry.registry import default_registry

REGISTRY = default_registry()
SMALL = [
    (name, size) for name in REGISTRY.names() for size in ("smoke", "small") if size in REGISTRY.entry(name)[0].sizes
]


@pytest.mark.parametrize(("name", "size"), SMALL, ids="-".join)
def test_every_variant_can_start_to_learn(name, size):
    check_initial_signal(make_fixture(REGISTRY.variant(name, size=size)))


def finds(name, match, *, size="smoke"):
    with pytest.raises(CheckFailedError, match=match):
        check_initial_signal(make_fixture(REGISTRY.variant(name, size=size)))


@pytest.mark.parametrize(
    "name", ["gqn-tower", "vae", "deterministic", "draw", "slim", "cgqn", "srt-latent", "np-rooms"]
)
def test_a_start_from_black_is_found(name, monkeypatch):
    monkeypatch.setattr(Likelihood, "initial_prediction", lambda self, channels: (0.0,) * channels)
    finds(name, "start from grey")


def test_a_dead_transformer_encoder_is_found(monkeypatch):
    monkeypatch.setattr(transformer, "initialise_layers", lambda layer, *groups, **named: None)
    finds("gqn-transformer", "the image is invisible", size="small")


def test_an_encoder_of_poses_alone_is_found(monkeypatch):
    from zoo.encoders.tower import Tower

    encode = Tower.encode_views
    monkeypatch.setattr(Tower, "encode_views", lambda self, values, poses: encode(self, 0.0 * values, poses))
    finds("gqn-tower", "the image is invisible")


def test_a_posterior_without_its_target_is_found(monkeypatch):
    prepare = gqn.GqnStep.prepare

    def blind(self, inputs, pose, **named):
        target = None if inputs.target is None else torch.zeros_like(inputs.target)
        return prepare(self, inputs._replace(target=target), pose, **named)

    monkeypatch.setattr(gqn.GqnStep, "prepare", blind)
    finds("gqn-tower", "the target does not reach the posterior")


def test_latents_that_do_not_reach_the_prediction_are_found(monkeypatch):
    draw = gqn.draw_group
    monkeypatch.setattr(gqn, "draw_group", lambda *args, **named: 0.0 * draw(*args, **named))
    finds("gqn-tower", "do not reach the prediction")


def test_an_initialisation_divides_the_variance_among_groups_of_inputs():
    from zoo.nn.blocks import Inputs, initialise

    torch.manual_seed(0)
    layer = nn.Conv2d(3 + 78, 4000, 3)
    initialise(layer, Inputs(3, mean=0.5, scale=0.2), 78)
    images = 0.5 + 0.2 * torch.randn(40, 3, 3, 3)
    others = torch.randn(40, 78, 3, 3)
    both = layer(torch.cat([images, others], dim=1)).flatten(1)
    of_images = layer(torch.cat([images, torch.zeros_like(others)], dim=1)).flatten(1)
    of_others = layer(torch.cat([torch.full_like(images, 0.5), others], dim=1)).flatten(1)
    assert both.var().item() == pytest.approx(2.0, rel=0.1)
    assert of_images.var().item() == pytest.approx(1.0, rel=0.2)
    assert of_others.var().item() == pytest.approx(1.0, rel=0.2)
    assert both.mean().item() == pytest.approx(0.0, abs=0.05)
