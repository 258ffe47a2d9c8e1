"""Checks of the ELBO terms: shapes, gradients, random numbers, and what they may and must depend on."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.checks.failures import close, require
from zoo.checks.fixture import (
    NUM_CONTEXT,
    NUM_SCENES,
    NUM_TARGETS,
    SCORED,
    CheckContext,
    perturbed_weights,
    select_views,
)
from zoo.episode import Episode, Views
from zoo.nn.noise import fold


def check_shapes(fixture: CheckContext) -> None:
    """Checks that all terms are [B] and finite, the KL is not negative and the NELBO is not below its floor."""
    terms = fixture.terms()
    for name, field in terms._asdict().items():
        require(field.shape == (NUM_SCENES,), f"{name} has shape {list(field.shape)}, expected [{NUM_SCENES}]")
        require(torch.isfinite(field), f"{name} is not finite: {field.tolist()}")
    # The fixture validates the shape. S = 4 differs from the size of every other axis.
    fixture.predict_parameters(fixture.episode(), num_samples=4)
    expected = fixture.episode().target.shape[1]
    require(terms.num_targets == expected, f"num_targets is {terms.num_targets.tolist()}, expected {expected}")
    require(terms.kl >= -1e-9, f"KL is negative: {terms.kl.tolist()}")
    if fixture.model.likelihood.bounded:
        require(terms.excess() >= -1e-6, f"NELBO is below its floor: excess {terms.excess().tolist()}")


def check_gradients(fixture: CheckContext) -> None:
    """Checks that every trainable parameter gets a finite gradient that is not zero everywhere."""
    fixture.model.zero_grad(set_to_none=True)
    fixture.model(fixture.batch, fixture.schedule, NUM_CONTEXT).loss().backward()
    gradients = {name: weight.grad for name, weight in fixture.model.named_parameters() if weight.requires_grad}
    fixture.model.zero_grad(set_to_none=True)
    for name, gradient in gradients.items():
        require(gradient is not None, f"parameter {name} gets no gradient, which DistributedDataParallel refuses")
        assert gradient is not None
        require(torch.isfinite(gradient), f"the gradient of {name} is not finite")
        require((gradient != 0).any(), f"the gradient of {name} is zero everywhere, so it is never trained")


@torch.no_grad()
def check_context_sizes(fixture: CheckContext) -> None:
    """Checks that scores and predictions are finite with 0 and 1 context views."""
    with perturbed_weights(fixture):
        for number in (0, 1):
            chosen = select_views(fixture, [*range(number), *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)])
            nelbo = fixture.terms(chosen, num_context=number).nelbo()
            require(torch.isfinite(nelbo), f"the NELBO is not finite with {number} context view(s)")
            predicted = fixture.predict(chosen, num_context=number)
            require(torch.isfinite(predicted), f"predictions are not finite with {number} context view(s)")


@torch.no_grad()
def check_reproducible(fixture: CheckContext) -> None:
    """Checks that terms depend on the key and not on torch's global random generator."""
    with perturbed_weights(fixture):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            before = fixture.terms()
            torch.manual_seed(2)
            after = fixture.terms()
        require(
            before.nelbo() == after.nelbo(),
            "the NELBO depends on torch's global random generator; draw noise from zoo.nn.noise",
        )
        if not fixture.has_latents:
            is_zero = (before.kl == 0) & (before.log_ratio == 0)
            require(is_zero, "the core declares latents = 'none', but its KL or its log q - log p is not zero")
            return
        other = fixture.terms(fixture.batch._replace(key=fold(fixture.batch.key, 1)))
        require(
            (before.log_ratio - before.kl) != (other.log_ratio - other.kl),
            "log q - log p differs from the KL by the same number for every key: it does not belong to a sample",
        )


@torch.no_grad()
def check_scene_independence(fixture: CheckContext) -> None:
    """Checks that terms and predictions of a scene do not depend on the other scenes of its batch, or its index in it."""

    def with_other_scenes(field: Tensor) -> Tensor:
        return field if field.dim() == 1 else torch.cat([field[:1], field[1:].flip(-1)])

    changed = fixture.batch.apply(with_other_scenes)
    with perturbed_weights(fixture):
        for mode in ("evaluation", "training"):
            fixture.model.train(mode == "training")
            before, after = fixture.terms(), fixture.terms(changed)
            fixture.model.eval()
            for name in SCORED:
                one, other = getattr(before, name)[0], getattr(after, name)[0]
                message = f"{name} of scene 0 changes with scene 1 in {mode} mode: {one.item()} and {other.item()}"
                require(close(one, other), message)
        order, alone = [2, 0, 1], "differs between a batch of one scene and a batch of several"
        moved, single = fixture.batch.apply(lambda field: field[order]), fixture.batch.apply(lambda field: field[1:2])
        here, there, by_itself = fixture.terms(), fixture.terms(moved), fixture.terms(single)
        for name in SCORED:
            value = getattr(here, name)
            require(close(value[order], getattr(there, name)), f"{name} of a scene depends on its index in the batch")
            require(close(value[1:2], getattr(by_itself, name)), f"{name} of a scene {alone}")
        predicted = fixture.predict()
        in_place = close(predicted[:, order], fixture.predict(moved))
        require(in_place, "the prediction for a scene depends on its index in the batch")
        require(close(predicted[:, 1:2], fixture.predict(single)), f"the prediction for a scene {alone}")


@torch.no_grad()
def check_context_order(fixture: CheckContext) -> None:
    """Checks that terms do not depend on the order of the context views, for a rotation and two transpositions."""
    with perturbed_weights(fixture):
        before = fixture.terms()
        for order in ((2, 0, 1), (1, 0, 2), (0, 2, 1)):
            after = fixture.terms(select_views(fixture, [*order, *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]))
            for name in SCORED:
                one, other = getattr(before, name), getattr(after, name)
                distance = (one - other).abs().max().item()
                message = f"not invariant to the order of the context: {name} differs by {distance:.3g} for context order {order}"
                require(close(one, other), message)


@torch.no_grad()
def check_context_is_used(fixture: CheckContext) -> None:
    """Checks that predictions from posterior and prior depend on the context, its poses and the query.

    Cores without a context pass.
    """
    episode = fixture.episode()
    if not fixture.is_conditional:
        return
    with perturbed_weights(fixture):
        if episode.context.values.numel():
            values = episode.context.values
            other = 0.5 * values if values.is_floating_point() else 255 - values
            changed = episode._replace(context=episode.context._replace(values=other))
            _require_other_predictions(fixture, changed, "the images, captions or values of the context change")
            moved = episode.context._replace(poses=episode.context.poses + 0.3)
            _require_other_predictions(fixture, episode._replace(context=moved), "the poses of the context move")
        if fixture.model.task.query_kind != "nothing":
            _require_other_predictions(fixture, episode._replace(query=episode.query + 0.3), "the queries change")


def _require_other_predictions(fixture: CheckContext, changed: Episode, change: str) -> None:
    model, episode = fixture.model, fixture.episode()
    scored, other = (model.core(each, model.encoder, fixture.schedule).prediction for each in (episode, changed))
    require(not close(scored, other, tolerance=1e-12), f"predictions from the posterior stay the same when {change}")
    predicted, other = fixture.predict_parameters(episode), fixture.predict_parameters(changed)
    require(not close(predicted, other, tolerance=1e-12), f"predictions from the prior stay the same when {change}")


@torch.no_grad()
def check_padding(fixture: CheckContext) -> None:
    """Checks that padding of the context changes neither terms nor predictions."""
    episode = fixture.episode()
    if not episode.context.values.numel():
        return
    values, poses, mask = episode.context
    padding = Views(values[:, :1].flip(-1), poses[:, :1] + 1, torch.zeros_like(mask[:, :1]))
    joined = Views(*(torch.cat(fields, dim=1) for fields in zip(episode.context, padding, strict=True)))
    padded = episode._replace(context=joined)
    with perturbed_weights(fixture):
        before, after = (fixture.model.score(each, fixture.schedule) for each in (episode, padded))
        for name in SCORED:
            require(close(getattr(before, name), getattr(after, name)), f"padding of the context changes {name}")
        predicted, other = fixture.predict_parameters(episode), fixture.predict_parameters(padded)
        require(close(predicted, other), "padding of the context changes predictions")
