"""Checks of the ELBO terms: shapes, gradients, numbers of context views, and their random numbers."""

from __future__ import annotations

import torch

from zoo.checks.failures import require
from zoo.checks.fixture import (
    NUM_CONTEXT,
    NUM_SCENES,
    NUM_TARGETS,
    CheckContext,
    perturbed_weights,
    select_views,
)
from zoo.nn.noise import fold


def check_shapes(fixture: CheckContext) -> None:
    """Checks that all terms are [B] and finite, the KL is not negative and the NELBO is not below its floor."""
    terms = fixture.terms()
    for name, field in terms._asdict().items():
        require(field.shape == (NUM_SCENES,), f"{name} has shape {list(field.shape)}, expected [{NUM_SCENES}]")
        require(bool(torch.isfinite(field).all()), f"{name} is not finite: {field.tolist()}")
    # The fixture validates the shape. S = 4 differs from the size of every other axis.
    fixture.predict_parameters(fixture.episode(), num_samples=4)
    expected = fixture.episode().target.shape[1]
    require(
        bool((terms.num_targets == expected).all()), f"num_targets is {terms.num_targets.tolist()}, expected {expected}"
    )
    require(bool((terms.kl >= -1e-9).all()), f"KL is negative: {terms.kl.tolist()}")
    if fixture.model.likelihood.bounded:
        require(bool((terms.excess() >= -1e-6).all()), f"NELBO is below its floor: excess {terms.excess().tolist()}")


def check_gradients(fixture: CheckContext) -> None:
    """Checks that every trainable parameter gets a finite gradient that is not zero everywhere."""
    fixture.model.zero_grad(set_to_none=True)
    terms = fixture.terms()
    terms.loss(fixture.schedule.beta).backward()
    gradients = {name: weight.grad for name, weight in fixture.model.named_parameters() if weight.requires_grad}
    fixture.model.zero_grad(set_to_none=True)
    for name, gradient in gradients.items():
        require(gradient is not None, f"parameter {name} gets no gradient, which DistributedDataParallel refuses")
        assert gradient is not None
        require(bool(torch.isfinite(gradient).all()), f"the gradient of {name} is not finite")
        require(bool((gradient != 0).any()), f"the gradient of {name} is zero everywhere, so it is never trained")


@torch.no_grad()
def check_context_sizes(fixture: CheckContext) -> None:
    """Checks that scores and predictions are finite with 0 and 1 context views."""
    with perturbed_weights(fixture):
        for number in (0, 1):
            chosen = select_views(fixture, [*range(number), *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)])
            nelbo = fixture.terms(chosen, num_context=number).nelbo()
            require(bool(torch.isfinite(nelbo).all()), f"the NELBO is not finite with {number} context view(s)")
            predicted = fixture.predict(chosen, num_context=number)
            require(bool(torch.isfinite(predicted).all()), f"predictions are not finite with {number} context view(s)")


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
            bool(torch.equal(before.nelbo(), after.nelbo())),
            "the NELBO depends on torch's global random generator; draw noise from zoo.nn.noise",
        )
        if not fixture.has_latents:
            is_zero = bool((before.kl == 0).all() and (before.log_ratio == 0).all())
            require(is_zero, "the core declares latents = 'none', but its KL or its log q - log p is not zero")
            return
        other = fixture.terms(fixture.batch._replace(key=fold(fixture.batch.key, 1)))
        differs = (before.log_ratio - before.kl) != (other.log_ratio - other.kl)
        require(
            bool(differs.all()),
            "log q - log p differs from the KL by the same number for every key: it does not belong to a sample",
        )
