"""Every registered variant passes all checks."""

import functools

import pytest
import torch

from zoo.checks.fixture import make_fixture
from zoo.checks.runner import CHECKS
from zoo.registry.components import find_component
from zoo.registry.registry import default_registry
from zoo.registry.variant import resolve

REGISTRY = default_registry()


@functools.cache
def registered(name):
    return make_fixture(REGISTRY.variant(name, size="smoke"))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_variant_passes_the_check(name, check):
    CHECKS[check](registered(name))


@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_variant_has_a_smoke_size_and_resolves_at_every_size(name):
    entry, _ = REGISTRY.entry(name)
    assert "smoke" in entry.sizes
    for size in ("full", *entry.sizes):
        assert set(resolve(REGISTRY.variant(name, size=size))) == {"task", "encoder", "core", "likelihood"}


@pytest.mark.parametrize("name", REGISTRY.names())
def test_the_query_of_a_scene_is_scored_as_if_it_were_alone(name):
    """Latents that range over queries: the terms of two queries are the sum of those of each."""
    fixture = registered(name)
    if find_component("core", REGISTRY.variant(name).core.use, file="tests").latents != "query":
        pytest.skip("one latent for all queries of a scene")
    if fixture.episode().target.shape[1] != 2:
        pytest.skip("more is asked of a scene than its views")
    episode = fixture.episode()

    def first_of(field):
        return field[:, :1]

    alone = episode._replace(
        query=first_of(episode.query),
        target=first_of(episode.target),
        target_views=type(episode.target_views)(*map(first_of, episode.target_views)),
    )
    with torch.no_grad():
        both, first = fixture.model.score(episode, fixture.schedule), fixture.model.score(alone, fixture.schedule)
        output = fixture.model.core(episode, fixture.model.encoder, fixture.schedule)
    torch.testing.assert_close(first.kl, output.kl[:, 0].flatten(1).sum(1), rtol=1e-9, atol=1e-9)
    assert (both.floor == 2 * first.floor).all()
