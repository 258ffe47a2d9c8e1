"""Encoders that say so make the same of a view, whatever views are beside it."""

import pytest
import torch

from zoo.evaluation.throughput import random_batch
from zoo.registry.components import find_component
from zoo.registry.registry import default_registry
from zoo.registry.variant import build

REGISTRY = default_registry()


def variants():
    """One variant for every encoder that says so."""
    found = {}
    for name in REGISTRY.names():
        variant = REGISTRY.variant(name, size="smoke")
        if find_component("encoder", variant.encoder.use, file="tests").independent_views:
            found.setdefault(variant.encoder.use, name)
    return found


@pytest.mark.parametrize("encoder", variants())
def test_the_encoding_of_a_view_does_not_depend_on_other_views(encoder):
    variant = REGISTRY.variant(variants()[encoder], size="smoke")
    model = build(variant).eval()
    batch = random_batch(batch_size=2, num_views=5, image_size=variant.image_size, extras=model.task.extras)
    context = model.task(batch, num_context=3).context
    together = model.encoder(context)
    pooled = torch.zeros_like(together.pooled)
    for view in range(3):
        alone = model.encoder(type(context)(*(field[:, view : view + 1] for field in context)))
        torch.testing.assert_close(together.per_view[:, view], alone.per_view[:, 0], rtol=1e-4, atol=1e-5)
        pooled = pooled + alone.pooled
    if "pooled" in model.encoder.features:
        torch.testing.assert_close(together.pooled, pooled, rtol=1e-4, atol=1e-5)
