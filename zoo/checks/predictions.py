"""Checks of predictions from the prior: independent of the targets, one for every query and sample."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.checks.failures import CheckFailedError, close, require
from zoo.checks.fixture import NUM_CONTEXT, CheckContext, perturbed_weights, random_scenes
from zoo.episode import SceneBatch, ScheduleValues
from zoo.nn.noise import fold


@torch.no_grad()
def check_target_leak(fixture: CheckContext) -> None:
    """Checks that predictions from the prior depend neither on the targets nor on earlier forward passes."""
    episode = fixture.episode()
    with perturbed_weights(fixture):
        before = fixture.predict()
        num_tried = 0
        for name, changed in _with_other_targets(fixture).items():
            other = fixture.episode(changed)
            if torch.equal(other.target, episode.target) or not torch.equal(other.query, episode.query):
                continue
            num_tried += 1
            message = f"predictions change with the targets' {name}: the target leaks into predict"
            require(before == fixture.predict(changed), message)
        message = "the targets cannot be changed without changing the queries: the query contains the target"
        require(num_tried > 0, message)
        fixture.terms(random_scenes(fixture.model, image_size=fixture.batch.frames.shape[2], seed=9))
        message = "predictions change after another forward pass: the core keeps state between calls"
        require(before == fixture.predict(), message)


def _with_other_targets(fixture: CheckContext) -> dict[str, SceneBatch]:
    """Returns the scenes with other images, cameras or extras at the target views, one kind of data at a time."""

    def other(field: Tensor, *, per_view: bool = True) -> Tensor:
        copy = field.clone()
        targets = copy[:, NUM_CONTEXT:] if per_view else copy
        targets.copy_(targets + 0.1 if field.is_floating_point() else 255 - targets)
        return copy

    batch = fixture.batch
    changed = {
        "images": batch._replace(frames=other(batch.frames)),
        "cameras": batch._replace(cameras=other(batch.cameras)),
    }
    for name, extra in fixture.model.task.extras.items():
        field = other(batch.extras[name], per_view=extra.per_view)
        changed[name] = batch._replace(extras={**batch.extras, name: field})
    return changed


@torch.no_grad()
def check_predictions(fixture: CheckContext) -> None:
    """Checks that predictions follow their queries, and that samples depend on key and temperature alone."""
    cold = fixture.schedule._replace(temperature=torch.zeros_like(fixture.schedule.temperature))
    with perturbed_weights(fixture):
        _require_own_queries(fixture, cold)
        _require_samples(fixture, cold)
        _require_chunk_invariance(fixture)


def _require_own_queries(fixture: CheckContext, cold: ScheduleValues) -> None:
    """At temperature 0 predictions follow their queries; at any temperature they do not depend on other queries."""
    episode = fixture.episode()
    reversed_order = fixture.predict_parameters(episode._replace(query=episode.query.flip(1)), schedule=cold)
    predicted = fixture.predict_parameters(episode, schedule=cold)
    require(close(reversed_order, predicted.flip(2)), "predictions are not in the order of their queries")
    first = fixture.predict_parameters(episode._replace(query=episode.query[:, :1]))
    together = fixture.predict_parameters(episode)[:, :, :1]
    require(close(first, together), "a prediction depends on the other queries of its scene")


def _require_samples(fixture: CheckContext, cold: ScheduleValues) -> None:
    episode = fixture.episode()
    other_key = episode._replace(key=fold(episode.key, 7))
    frozen = fixture.predict_parameters(episode, schedule=cold, num_samples=2)
    require(close(frozen[0], frozen[1]), "samples differ at temperature 0")
    other = fixture.predict_parameters(other_key, schedule=cold, num_samples=2)
    require(close(frozen, other), "predictions depend on the key at temperature 0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        drawn = fixture.predict_parameters(episode, num_samples=3)
        torch.manual_seed(2)
        again = fixture.predict_parameters(episode, num_samples=2)
    require(close(drawn[:2], again), "samples depend on num_samples or on torch's global random generator")
    same_samples = close(drawn[0], drawn[1])
    same_keys = close(again, fixture.predict_parameters(other_key, num_samples=2))
    if fixture.has_latents:
        require(not same_samples, "all samples are equal, although the core has latents")
        require(not same_keys, "samples are equal for all keys, although the core has latents")
    else:
        require(same_samples and same_keys, "samples differ, although the core declares latents = 'none'")


def _require_chunk_invariance(fixture: CheckContext) -> None:
    """Predictions in chunks of samples and queries, which take keys of their own, equal those in one call."""
    episode = fixture.episode()
    whole = fixture.model.predict_parameters(episode, fixture.schedule, num_samples=3)
    try:
        chunks = fixture.model.predict_parameters(episode, fixture.schedule, num_samples=3, chunk_numbers=1)
    except (RuntimeError, ValueError, IndexError) as error:
        message = f"predict does not accept keys [B, S, Q] of single samples and queries: {error}"
        raise CheckFailedError(message) from error
    message = "predictions in chunks differ from those in one call: predict derives given keys again"
    require(close(whole, chunks), message)
