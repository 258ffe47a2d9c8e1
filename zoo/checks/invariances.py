"""What may change without any effect, and what may not: scenes of a batch, order of views, padding, context, query."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.checks.fixture import (
    NUM_CONTEXT,
    NUM_TARGETS,
    SCORED,
    Subject,
    chosen_views,
    close,
    moved_weights,
    require,
)
from zoo.episode import Episode, SceneBatch, Views


@torch.no_grad()
def check_scene_independence(trial: Subject) -> None:
    """What a scene scores and what is predicted for it are the same beside other scenes, at other places and alone."""

    def with_others(field: Tensor) -> Tensor:
        return torch.cat([field[:1], field[1:].flip(-1)])

    changed = trial.batch.apply(lambda field: field if field.dim() == 1 else with_others(field))
    with moved_weights(trial):
        for training in (False, True):
            trial.model.train(training)
            before, after = trial.terms(), trial.terms(changed)
            trial.model.eval()
            for name in SCORED:
                one, other = getattr(before, name)[0], getattr(after, name)[0]
                mode = "training" if training else "evaluation"
                require(
                    close(one, other),
                    f"{name} of scene 0 changes with scene 1 in {mode} mode: {one.item()} and {other.item()}",
                )
        _require_own_place(trial)


def _require_own_place(trial: Subject) -> None:
    order = [2, 0, 1]
    elsewhere: SceneBatch = trial.batch.apply(lambda field: field[order])
    alone: SceneBatch = trial.batch.apply(lambda field: field[1:2])
    here, there, one = trial.terms(), trial.terms(elsewhere), trial.terms(alone)
    for name in SCORED:
        value = getattr(here, name)
        require(
            close(value[order], getattr(there, name)), f"{name} of a scene depends on the scene's place in its batch"
        )
        require(close(value[1:2], getattr(one, name)), f"{name} of a scene alone is not what it is in a batch")
    predicted = trial.predict()
    require(
        close(predicted[:, order], trial.predict(elsewhere)),
        "predictions for a scene depend on the scene's place in its batch",
    )
    require(
        close(predicted[:, 1:2], trial.predict(alone)), "predictions for a scene alone are not what they are in a batch"
    )


@torch.no_grad()
def check_context_order(trial: Subject) -> None:
    """Views may come in any order, as long as every image keeps its pose.

    Transpositions are tried too: a rotation leaves views the neighbours of those that they were beside.
    """
    with moved_weights(trial):
        before = trial.terms()
        for order in ((2, 0, 1), (1, 0, 2), (0, 2, 1)):
            after = trial.terms(chosen_views(trial, [*order, *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]))
            for name in SCORED:
                one, other = getattr(before, name), getattr(after, name)
                require(
                    close(one, other),
                    f"not invariant to the order of the context: {name} differs by {(one - other).abs().max().item():.3g} for context order {order}",
                )


@torch.no_grad()
def check_context_is_used(trial: Subject) -> None:
    """A core that is given a context looks at it, at its poses too, and at the query.

    What counts is the prediction, from the posterior and from the prior; a core without a context is not asked.
    """
    episode = trial.episode()
    if not trial.is_conditional:
        return
    with moved_weights(trial):
        if episode.context.values.numel():
            what = episode.context.values
            other = 0.5 * what if what.is_floating_point() else 255 - what
            changed = episode._replace(context=episode.context._replace(values=other))
            _require_other_predictions(trial, changed, "the images, captions or values of the context change")
            moved = episode.context._replace(poses=episode.context.poses + 0.3)
            _require_other_predictions(trial, episode._replace(context=moved), "the poses of the context move")
        if trial.model.task.query_kind != "nothing":
            _require_other_predictions(trial, episode._replace(query=episode.query + 0.3), "the queries change")


def _require_other_predictions(trial: Subject, changed: Episode, change: str) -> None:
    model, episode = trial.model, trial.episode()
    scored, other = (model.core(each, model.encoder, trial.schedule).prediction for each in (episode, changed))
    require(not close(scored, other, tolerance=1e-12), f"predictions from the posterior stay the same when {change}")
    answer, other = trial.predict_parameters(episode), trial.predict_parameters(changed)
    require(not close(answer, other, tolerance=1e-12), f"predictions from the prior stay the same when {change}")


@torch.no_grad()
def check_padding(trial: Subject) -> None:
    """A view that is padding changes neither scores nor predictions."""
    episode = trial.episode()
    if not episode.context.values.numel():
        return
    padded = episode._replace(context=_with_padding(episode.context))
    with moved_weights(trial):
        before, after = (trial.model.score(each, trial.schedule) for each in (episode, padded))
        for name in SCORED:
            require(close(getattr(before, name), getattr(after, name)), f"padding of the context changes {name}")
        require(
            close(trial.predict_parameters(episode), trial.predict_parameters(padded)),
            "padding of the context changes predictions",
        )


def _with_padding(views: Views) -> Views:
    return Views(
        values=torch.cat([views.values, views.values[:, :1].flip(-1)], dim=1),
        poses=torch.cat([views.poses, views.poses[:, :1] + 1], dim=1),
        mask=torch.cat([views.mask, torch.zeros_like(views.mask[:, :1])], dim=1),
    )
