"""The contract, tried out on a variant: what every registered variant must keep, in seconds, on random scenes.

The tests walk the registry with these very checks, and ``gqn-zoo check NAME`` runs them for somebody's new variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.contract import Task
from zoo.episode import ElboTerms, Episode, Knobs, SceneBatch
from zoo.errors import ZooError
from zoo.evaluation.throughput import random_batch
from zoo.model import SceneModel
from zoo.nn.noise import fold
from zoo.registry import Variant, build
from zoo.schedules import knobs

NUM_SCENES, NUM_CONTEXT, NUM_TARGETS = 3, 3, 2


class CheckFailedError(ZooError):
    """A variant breaks the contract; the message says where."""

    exit_code = 1


class Subject(NamedTuple):
    """A model on trial, in float64 so that rounding hides nothing, with scenes to try it on."""

    model: SceneModel
    batch: SceneBatch
    knobs: Knobs

    def terms(self, batch: SceneBatch | None = None, *, num_context: int = NUM_CONTEXT) -> ElboTerms:
        """Scores scenes."""
        return self.model(self.batch if batch is None else batch, self.knobs, num_context)

    def episode(self, batch: SceneBatch | None = None) -> Episode:
        """Cuts scenes into context and targets."""
        return self.model.task(self.batch if batch is None else batch, num_context=NUM_CONTEXT)


def subject(variant: Variant, *, seed: int = 0) -> Subject:
    """Builds a variant for trial."""
    model = build(variant, seed=seed).double().eval()
    batch = random_batch(
        batch_size=NUM_SCENES,
        num_views=NUM_CONTEXT + NUM_TARGETS,
        image_size=variant.image_size,
        extras=model.task.extras,
        seed=seed,
    ).apply(_in_float64)
    return Subject(
        model=_with_float64_episodes(model), batch=batch, knobs=Knobs(*(knob.double() for knob in knobs(sigma=0.7)))
    )


def _in_float64(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


class _CastingTask:
    """A task whose episodes are in float64."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> object:
        return getattr(self._task, name)

    def __call__(self, batch: SceneBatch, *, num_context: int) -> Episode:
        return _cast(self._task(batch, num_context=num_context))


def _cast(value: Any) -> Any:
    return _in_float64(value) if isinstance(value, Tensor) else type(value)(*(_cast(part) for part in value))


def _with_float64_episodes(model: SceneModel) -> SceneModel:
    model.task = _CastingTask(model.task)  # type: ignore[assignment]
    return model


def _chosen_views(trial: Subject, order: Sequence[int]) -> SceneBatch:
    """Returns the scenes of a trial with some of their views, in another order."""
    chosen = list(order)
    return trial.batch._replace(
        frames=trial.batch.frames[:, chosen],
        cameras=trial.batch.cameras[:, chosen],
        extras={
            name: trial.batch.extras[name][:, chosen] if extra.per_view else trial.batch.extras[name]
            for name, extra in trial.model.task.extras.items()
        },
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckFailedError(message)


def _close(one: Tensor, other: Tensor, *, tolerance: float = 1e-9) -> bool:
    return bool(torch.allclose(one, other, rtol=tolerance, atol=tolerance))


def check_shapes(trial: Subject) -> None:
    """Terms are [B] and finite, with the right counts; KL is not negative; the NELBO is not below its floor by more than the KL allows."""
    terms = trial.terms()
    for name, field in terms._asdict().items():
        _require(field.shape == (NUM_SCENES,), f"{name} has shape {list(field.shape)}, expected [{NUM_SCENES}]")
        _require(bool(torch.isfinite(field).all()), f"{name} is not finite: {field.tolist()}")
    expected = trial.episode().target.shape[1]
    _require(
        bool((terms.num_targets == expected).all()), f"num_targets is {terms.num_targets.tolist()}, expected {expected}"
    )
    _require(bool((terms.kl >= -1e-9).all()), f"KL is negative: {terms.kl.tolist()}")
    if trial.model.likelihood.bounded:
        _require(bool((terms.excess() >= -1e-6).all()), f"NELBO is below its floor: excess {terms.excess().tolist()}")


def check_gradients(trial: Subject) -> None:
    """Every parameter gets a finite gradient that is not zero everywhere."""
    trial.model.zero_grad(set_to_none=True)
    terms = trial.terms()
    (terms.nelbo(trial.knobs.beta) / terms.num_targets).mean().backward()
    for name, parameter in trial.model.named_parameters():
        if not parameter.requires_grad:
            continue
        _require(
            parameter.grad is not None, f"parameter {name} gets no gradient; it would make DistributedDataParallel fail"
        )
        assert parameter.grad is not None
        _require(bool(torch.isfinite(parameter.grad).all()), f"the gradient of {name} is not finite")
        _require(bool((parameter.grad != 0).any()), f"the gradient of {name} is zero everywhere: it is never trained")


@torch.no_grad()
def check_scene_independence(trial: Subject) -> None:
    """What a scene scores does not depend on the other scenes of its batch, in training mode either."""

    def with_others(field: Tensor) -> Tensor:
        return torch.cat([field[:1], field[1:].flip(-1)])

    changed = trial.batch.apply(lambda field: field if field.dim() == 1 else with_others(field))
    for training in (False, True):
        trial.model.train(training)
        before, after = trial.terms(), trial.terms(changed)
        trial.model.eval()
        for name in ("log_likelihood", "kl", "log_ratio"):
            one, other = getattr(before, name)[0], getattr(after, name)[0]
            mode = "training" if training else "evaluation"
            _require(
                _close(one, other),
                f"{name} of scene 0 changes with scene 1 in {mode} mode: {one.item()} and {other.item()}",
            )


@torch.no_grad()
def check_context_order(trial: Subject) -> None:
    """Views may come in any order, as long as every picture keeps its pose."""
    before = trial.terms()
    after = trial.terms(_chosen_views(trial, [2, 0, 1, *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]))
    for name in ("log_likelihood", "kl"):
        one, other = getattr(before, name), getattr(after, name)
        _require(
            _close(one, other),
            f"not invariant to the order of the context: {name} differs by {(one - other).abs().max().item():.3g} for context order (2, 0, 1)",
        )


@torch.no_grad()
def check_context_sizes(trial: Subject) -> None:
    """Any number of context views works, none included."""
    for number in (0, 1):
        chosen = [*range(number), *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]
        terms = trial.terms(_chosen_views(trial, chosen), num_context=number)
        _require(bool(torch.isfinite(terms.nelbo()).all()), f"with {number} context view(s) the NELBO is not finite")


@torch.no_grad()
def check_target_leak(trial: Subject) -> None:
    """Predictions from the prior do not see the targets: what only they are made of may change, and nothing happens."""
    episode = trial.episode()
    before = trial.model.predict(trial.batch, trial.knobs, NUM_CONTEXT, num_samples=2).parameters
    expected = (2, NUM_SCENES, episode.target.shape[1])
    _require(
        before.shape[:3] == expected, f"predict returns {list(before.shape)}, expected {[*expected, '...']} parameters"
    )
    tried = 0
    for name, changed in _with_other_targets(trial).items():
        other = trial.episode(changed)
        if torch.equal(other.target, episode.target) or not torch.equal(other.query, episode.query):
            continue
        tried += 1
        after = trial.model.predict(changed, trial.knobs, NUM_CONTEXT, num_samples=2).parameters
        _require(
            bool(torch.equal(before, after)),
            f"predictions change with the targets' {name}: the target leaks into the prior's path",
        )
    _require(tried > 0, "there is no way to change the targets and leave the queries as they are: the query says it all")


def _with_other_targets(trial: Subject) -> dict[str, SceneBatch]:
    """Returns the scenes with other pictures, other cameras, other captions ... at the target views, one at a time."""

    def other(field: Tensor, *, per_view: bool = True) -> Tensor:
        changed = field.clone()
        targets = changed[:, NUM_CONTEXT:] if per_view else changed
        targets.copy_(targets + 0.1 if field.is_floating_point() else 255 - targets)
        return changed

    extras = trial.batch.extras
    found = {
        "pictures": trial.batch._replace(frames=other(trial.batch.frames)),
        "cameras": trial.batch._replace(cameras=other(trial.batch.cameras)),
    }
    for name, extra in trial.model.task.extras.items():
        found[name] = trial.batch._replace(extras={**extras, name: other(extras[name], per_view=extra.per_view)})
    return found


@torch.no_grad()
def check_reproducible(trial: Subject) -> None:
    """The same key gives the same terms; torch's own generator has no say."""
    torch.manual_seed(1)
    before = trial.terms()
    torch.manual_seed(2)
    after = trial.terms()
    _require(
        bool(torch.equal(before.nelbo(), after.nelbo())),
        "the NELBO depends on torch's own random generator; draw noise from zoo.nn.noise",
    )


@torch.no_grad()
def check_log_ratio(trial: Subject, *, samples: int = 192, at_once: int = 32) -> None:
    """The mean of log q(z) - log p(z) over samples is the analytic KL, within five standard errors.

    For latents in several groups the analytic KL of a sample is itself random; the two have the same mean.
    """
    rounds = []
    for first in range(0, samples, at_once):
        copies = trial.batch.apply(lambda field: field.repeat_interleave(at_once, dim=0))
        sample = torch.arange(first, first + at_once).repeat(NUM_SCENES)
        terms = trial.terms(copies._replace(key=fold(copies.key, sample)))
        rounds.append((terms.log_ratio - terms.kl).view(NUM_SCENES, at_once))
    difference = torch.cat(rounds, dim=1)
    error = difference.std(1) / samples**0.5
    distance = difference.mean(1).abs()
    _require(
        bool((distance <= 5 * error + 1e-9).all()),
        f"log q - log p at the samples differs from the analytic KL by {distance.max().item():.4g} nats "
        f"({(distance / error).max().item():.1f} standard errors): the KL is of other distributions than those sampled",
    )


CHECKS: Mapping[str, Callable[[Subject], None]] = MappingProxyType(
    {
        "shapes": check_shapes,
        "gradients": check_gradients,
        "scene independence": check_scene_independence,
        "context order": check_context_order,
        "context sizes": check_context_sizes,
        "target leak": check_target_leak,
        "reproducible": check_reproducible,
        "log ratio": check_log_ratio,
    }
)
