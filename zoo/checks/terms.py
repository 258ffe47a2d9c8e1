"""What a scene scores: shapes, gradients, and the random numbers that it is made with."""

from __future__ import annotations

import torch

from zoo.checks.fixture import (
    NUM_CONTEXT,
    NUM_SCENES,
    NUM_TARGETS,
    Subject,
    chosen_views,
    moved_weights,
    require,
)
from zoo.nn.noise import fold


def check_shapes(trial: Subject) -> None:
    """Terms are [B] and finite, with the right counts; KL is not negative; the NELBO is not below its floor by more than the KL allows."""
    terms = trial.terms()
    for name, field in terms._asdict().items():
        require(field.shape == (NUM_SCENES,), f"{name} has shape {list(field.shape)}, expected [{NUM_SCENES}]")
        require(bool(torch.isfinite(field).all()), f"{name} is not finite: {field.tolist()}")
    expected = trial.episode().target.shape[1]
    require(
        bool((terms.num_targets == expected).all()), f"num_targets is {terms.num_targets.tolist()}, expected {expected}"
    )
    require(bool((terms.kl >= -1e-9).all()), f"KL is negative: {terms.kl.tolist()}")
    if trial.model.likelihood.bounded:
        require(bool((terms.excess() >= -1e-6).all()), f"NELBO is below its floor: excess {terms.excess().tolist()}")


def check_gradients(trial: Subject) -> None:
    """Every parameter gets a finite gradient that is not zero everywhere."""
    trial.model.zero_grad(set_to_none=True)
    terms = trial.terms()
    (terms.nelbo(trial.schedule.beta) / terms.num_targets).mean().backward()
    gradients = {name: weight.grad for name, weight in trial.model.named_parameters() if weight.requires_grad}
    trial.model.zero_grad(set_to_none=True)
    for name, gradient in gradients.items():
        require(gradient is not None, f"parameter {name} gets no gradient; it would make DistributedDataParallel fail")
        assert gradient is not None
        require(bool(torch.isfinite(gradient).all()), f"the gradient of {name} is not finite")
        require(bool((gradient != 0).any()), f"the gradient of {name} is zero everywhere: it is never trained")


@torch.no_grad()
def check_context_sizes(trial: Subject) -> None:
    """Any number of context views works, none included, for scores and for predictions."""
    with moved_weights(trial):
        for number in (0, 1):
            chosen = chosen_views(trial, [*range(number), *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)])
            nelbo = trial.terms(chosen, num_context=number).nelbo()
            require(bool(torch.isfinite(nelbo).all()), f"with {number} context view(s) the NELBO is not finite")
            predicted = trial.predict(chosen, num_context=number)
            require(
                bool(torch.isfinite(predicted).all()), f"with {number} context view(s) the predictions are not finite"
            )


@torch.no_grad()
def check_reproducible(trial: Subject) -> None:
    """The same key gives the same terms, another key another sample; torch's own generator has no say."""
    with moved_weights(trial):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            before = trial.terms()
            torch.manual_seed(2)
            after = trial.terms()
        require(
            bool(torch.equal(before.nelbo(), after.nelbo())),
            "the NELBO depends on torch's own random generator; draw noise from zoo.nn.noise",
        )
        if not trial.has_latents:
            nothing = bool((before.kl == 0).all() and (before.log_ratio == 0).all())
            require(nothing, "the core declares no latents, but its KL or its log q - log p is not zero")
            return
        other = trial.terms(trial.batch._replace(key=fold(trial.batch.key, 1)))
        moved = (before.log_ratio - before.kl) != (other.log_ratio - other.kl)
        require(
            bool(moved.all()),
            "log q - log p is at the same distance from the KL for every key: it is not that of a sample",
        )
