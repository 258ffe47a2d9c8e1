"""Checks of invariance to other scenes, order of views and padding, and of dependence on context and query."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.checks.failures import close, require
from zoo.checks.fixture import (
    NUM_CONTEXT,
    NUM_TARGETS,
    SCORED,
    CheckContext,
    perturbed_weights,
    select_views,
)
from zoo.episode import Episode, SceneBatch, Views


@torch.no_grad()
def check_scene_independence(fixture: CheckContext) -> None:
    """Checks that terms and predictions of a scene do not depend on the other scenes of its batch, or its index in it."""

    def with_other_scenes(field: Tensor) -> Tensor:
        return torch.cat([field[:1], field[1:].flip(-1)])

    changed = fixture.batch.apply(lambda field: field if field.dim() == 1 else with_other_scenes(field))
    with perturbed_weights(fixture):
        for training in (False, True):
            fixture.model.train(training)
            before, after = fixture.terms(), fixture.terms(changed)
            fixture.model.eval()
            for name in SCORED:
                one, other = getattr(before, name)[0], getattr(after, name)[0]
                mode = "training" if training else "evaluation"
                require(
                    close(one, other),
                    f"{name} of scene 0 changes with scene 1 in {mode} mode: {one.item()} and {other.item()}",
                )
        _require_batch_invariance(fixture)


def _require_batch_invariance(fixture: CheckContext) -> None:
    order = [2, 0, 1]
    permuted: SceneBatch = fixture.batch.apply(lambda field: field[order])
    alone: SceneBatch = fixture.batch.apply(lambda field: field[1:2])
    here, there, one = fixture.terms(), fixture.terms(permuted), fixture.terms(alone)
    for name in SCORED:
        value = getattr(here, name)
        require(close(value[order], getattr(there, name)), f"{name} of a scene depends on its index in the batch")
        require(
            close(value[1:2], getattr(one, name)),
            f"{name} of a scene differs between a batch of one scene and a batch of several",
        )
    predicted = fixture.predict()
    require(
        close(predicted[:, order], fixture.predict(permuted)),
        "predictions for a scene depend on its index in the batch",
    )
    require(
        close(predicted[:, 1:2], fixture.predict(alone)),
        "predictions for a scene differ between a batch of one scene and a batch of several",
    )


@torch.no_grad()
def check_context_order(fixture: CheckContext) -> None:
    """Checks that terms do not depend on the order of the context views, for a rotation and two transpositions."""
    with perturbed_weights(fixture):
        before = fixture.terms()
        for order in ((2, 0, 1), (1, 0, 2), (0, 2, 1)):
            after = fixture.terms(select_views(fixture, [*order, *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]))
            for name in SCORED:
                one, other = getattr(before, name), getattr(after, name)
                require(
                    close(one, other),
                    f"not invariant to the order of the context: {name} differs by {(one - other).abs().max().item():.3g} for context order {order}",
                )


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
    padded = episode._replace(context=_with_padding(episode.context))
    with perturbed_weights(fixture):
        before, after = (fixture.model.score(each, fixture.schedule) for each in (episode, padded))
        for name in SCORED:
            require(close(getattr(before, name), getattr(after, name)), f"padding of the context changes {name}")
        require(
            close(fixture.predict_parameters(episode), fixture.predict_parameters(padded)),
            "padding of the context changes predictions",
        )


def _with_padding(views: Views) -> Views:
    return Views(
        values=torch.cat([views.values, views.values[:, :1].flip(-1)], dim=1),
        poses=torch.cat([views.poses, views.poses[:, :1] + 1], dim=1),
        mask=torch.cat([views.mask, torch.zeros_like(views.mask[:, :1])], dim=1),
    )
