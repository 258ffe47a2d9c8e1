"""What is predicted from the prior: the targets are not seen, and every prediction belongs to its query and its sample."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.checks.fixture import (
    NUM_CONTEXT,
    Subject,
    close,
    moved_weights,
    random_scenes,
    require,
)
from zoo.episode import SceneBatch
from zoo.nn.noise import fold


@torch.no_grad()
def check_target_leak(trial: Subject) -> None:
    """Predictions from the prior do not see the targets: what only they are made of may change, and nothing happens.

    Nor is anything kept of the targets that were scored before.
    """
    episode = trial.episode()
    with moved_weights(trial):
        before = trial.predict()
        tried = 0
        for name, changed in _with_other_targets(trial).items():
            other = trial.episode(changed)
            if torch.equal(other.target, episode.target) or not torch.equal(other.query, episode.query):
                continue
            tried += 1
            require(
                torch.equal(before, trial.predict(changed)),
                f"predictions change with the targets' {name}: the target leaks into the prior's path",
            )
        require(
            tried > 0, "there is no way to change the targets and leave the queries as they are: the query says it all"
        )
        trial.terms(random_scenes(trial.model, image_size=trial.batch.frames.shape[2], seed=9))
        require(
            torch.equal(before, trial.predict()),
            "predictions change with what was scored before: something is kept from one forward pass to the next",
        )


def _with_other_targets(trial: Subject) -> dict[str, SceneBatch]:
    """Returns the scenes with other images, other cameras, other captions ... at the target views, one at a time."""

    def other(field: Tensor, *, per_view: bool = True) -> Tensor:
        changed = field.clone()
        targets = changed[:, NUM_CONTEXT:] if per_view else changed
        targets.copy_(targets + 0.1 if field.is_floating_point() else 255 - targets)
        return changed

    extras = trial.batch.extras
    found = {
        "images": trial.batch._replace(frames=other(trial.batch.frames)),
        "cameras": trial.batch._replace(cameras=other(trial.batch.cameras)),
    }
    for name, extra in trial.model.task.extras.items():
        found[name] = trial.batch._replace(extras={**extras, name: other(extras[name], per_view=extra.per_view)})
    return found


@torch.no_grad()
def check_predictions(trial: Subject) -> None:
    """Predictions have their shape and belong to their query; samples are what keys and temperature make of them."""
    with moved_weights(trial):
        _require_shapes(trial)
        _require_own_queries(trial)
        _require_samples(trial)
        _require_parts(trial)


def _require_shapes(trial: Subject) -> None:
    episode, model = trial.episode(), trial.model
    channels = model.likelihood.prediction_channels(model.task.target_shape[0])
    expected = [*episode.target.shape[:2], channels, *episode.target.shape[3:]]
    scored = model.core(episode, model.encoder, trial.schedule).prediction
    require(list(scored.shape) == expected, f"forward predicts {list(scored.shape)}, expected {expected}")
    drawn = trial.predict_parameters(episode, num_samples=3)
    require(list(drawn.shape) == [3, *expected], f"predict returns {list(drawn.shape)}, expected {[3, *expected]}")


def _require_parts(trial: Subject) -> None:
    """Where memory is short, samples and queries are asked for in parts, by keys of their own."""
    episode = trial.episode()
    whole = trial.model.predict_parameters(episode, trial.schedule, num_samples=3)
    try:
        parts = trial.model.predict_parameters(episode, trial.schedule, num_samples=3, at_once=1)
    except (RuntimeError, ValueError, IndexError) as error:
        require(False, f"predict does not take the keys of single samples and queries: {error}")
    else:
        require(
            close(whole, parts), "predictions in parts differ from those at once: keys of samples are derived again"
        )


def _require_own_queries(trial: Subject) -> None:
    """At temperature 0 predictions follow their queries; what else is asked makes no difference at any temperature."""
    episode = trial.episode()
    cold = trial.schedule._replace(temperature=torch.zeros_like(trial.schedule.temperature))
    reversed_order = trial.predict_parameters(episode._replace(query=episode.query.flip(1)), schedule=cold)
    require(
        close(reversed_order, trial.predict_parameters(episode, schedule=cold).flip(2)),
        "predictions do not follow their queries",
    )
    first = trial.predict_parameters(episode._replace(query=episode.query[:, :1]))
    require(
        close(first, trial.predict_parameters(episode)[:, :, :1]),
        "a prediction depends on what else is asked of the scene",
    )


def _require_samples(trial: Subject) -> None:
    episode = trial.episode()
    other_key = episode._replace(key=fold(episode.key, 7))
    cold = trial.schedule._replace(temperature=torch.zeros_like(trial.schedule.temperature))
    frozen = trial.predict_parameters(episode, schedule=cold, num_samples=2)
    require(close(frozen[0], frozen[1]), "samples differ at temperature 0")
    require(
        close(frozen, trial.predict_parameters(other_key, schedule=cold, num_samples=2)),
        "the key matters at temperature 0",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        drawn = trial.predict_parameters(episode, num_samples=3)
        torch.manual_seed(2)
        again = trial.predict_parameters(episode, num_samples=2)
    require(close(drawn[:2], again), "samples depend on how many are drawn, or on torch's own random generator")
    same_samples, same_keys = (
        close(drawn[0], drawn[1]),
        close(again, trial.predict_parameters(other_key, num_samples=2)),
    )
    if trial.has_latents:
        require(not same_samples, "all samples are alike, although the core has latents")
        require(not same_keys, "samples are the same for every key, although the core has latents")
    else:
        require(same_samples and same_keys, "samples or keys differ, although the core declares no latents")
