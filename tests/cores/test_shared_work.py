"""What the queries and samples of a scene have in common is done once: the context is encoded once, however many there are."""

import pytest
import torch

from zoo.checks.fixture import make_fixture
from zoo.registry.registry import default_registry

# One variant of every core and of every encoder.
VARIANTS = {}
for name in default_registry().names():
    if "/" not in name:
        variant = default_registry().variant(name, size="smoke")
        VARIANTS.setdefault(variant.component("core").use, variant)
        VARIANTS.setdefault(variant.component("encoder").use, variant)


@pytest.mark.parametrize("use", VARIANTS)
def test_the_context_is_encoded_once(use):
    fixture = make_fixture(VARIANTS[use])
    model, views = fixture.model, []
    model.encoder.register_forward_hook(lambda _, inputs, __: views.append(inputs[0]))
    episode = fixture.episode()
    context = episode.context
    scenes, number = context.mask.shape
    queries = episode.query.shape[1]

    def images():
        """How many images of the context were encoded, wherever they stand in the encoder's input."""
        kept = [
            given.values[given.mask].flatten(1) for given in views if given.values.shape[2:] == context.values.shape[2:]
        ]
        seen = torch.cat(kept) if kept else context.values.new_zeros(0, 1)
        return (
            [int((seen == one).all(-1).sum()) for one in context.values.flatten(0, 1).flatten(1)] if len(seen) else []
        )

    model.core(episode, model.encoder, fixture.schedule)
    assert set(images()) <= {1}, "training"
    assert len(views) <= 2
    views.clear()
    fixture.predict_parameters(episode, num_samples=3)
    assert set(images()) <= {1}, "prediction"
    assert sum(given.mask.shape[0] == scenes and given.mask.shape[1] == number for given in views) <= 1
    assert queries > 1


@pytest.mark.parametrize("use", VARIANTS)
def test_queries_in_one_call_equal_queries_in_calls_of_their_own(use):
    """Without latents of their own, or at temperature 0, a query's answer does not depend on what else is asked."""
    fixture = make_fixture(VARIANTS[use])
    episode = fixture.episode()
    schedule = fixture.schedule._replace(temperature=torch.zeros_like(fixture.schedule.temperature))
    together = fixture.predict_parameters(episode, schedule=schedule, num_samples=2)
    for index in range(episode.query.shape[1]):
        one = slice(index, index + 1)
        alone = episode._replace(query=episode.query[:, one], target=episode.target[:, one])
        found = fixture.predict_parameters(alone, schedule=schedule, num_samples=2)
        torch.testing.assert_close(found, together[:, :, one], rtol=1e-9, atol=1e-10)
