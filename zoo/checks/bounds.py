"""Monte Carlo checks that the ELBO is a bound for the model that is sampled from: two identities of expectations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.checks.failures import require
from zoo.checks.fixture import NUM_CONTEXT, NUM_TARGETS, CheckContext, perturbed_weights, select_views
from zoo.nn.noise import fold, standard_normal

SCALES = (1.0, 0.7, 0.5, 0.35, 0.2, 0.1, 0.05)  # of the weights, tried until importance weights vary little enough
LARGEST_ERRORS = {"likelihood": 0.12, "predictions": 0.095}  # largest standard errors of compared estimates, nats
BATCH_SAMPLES = 32  # samples of a scene in one pass


@torch.no_grad()
def check_log_ratio(fixture: CheckContext, *, samples: int = 192) -> None:
    """Checks that the mean of log q(z) - log p(z) over samples equals the analytic KL within five standard errors.

    With several groups of latents the analytic KL depends on the sampled groups; both have the same mean. The weights
    are perturbed strongly, so that posterior and prior differ.
    """
    if not fixture.has_latents:
        return
    number = len(fixture.batch.key)
    with perturbed_weights(fixture, by=2.0):
        rounds = []
        for first in range(0, samples, BATCH_SAMPLES):
            copies = fixture.batch.apply(lambda field: field.repeat_interleave(BATCH_SAMPLES, dim=0))
            sample = torch.arange(first, first + BATCH_SAMPLES).repeat(number)
            terms = fixture.terms(copies._replace(key=fold(copies.key, sample)))
            rounds.append((terms.log_ratio - terms.kl).view(number, BATCH_SAMPLES))
    difference = torch.cat(rounds, dim=1)
    error = difference.std(1) / samples**0.5
    distance = difference.mean(1).abs()
    require(
        bool((distance <= 5 * error + 1e-9).all()),
        f"log q - log p at the samples differs from the analytic KL by {distance.max().item():.4g} nats "
        f"({(distance / error).max().item():.1f} standard errors): the KL is not that of the sampled distributions",
    )


class Draws(NamedTuple):
    """Samples of the latents of every scene and functions of them. Every field is [B, S]."""

    log_weight: Tensor  # log p(z) - log of the density from which z was drawn, nats
    log_likelihood: Tensor  # log p(targets | z), summed over the targets of the scene, nats
    summary: Tensor  # projection of the predictions at all queries of the scene on a fixed direction


class Estimate(NamedTuple):
    """The logarithm of a mean over samples, for every scene, with its standard error."""

    value: Tensor  # [B], nats
    error: Tensor  # [B], nats


@torch.no_grad()
def check_marginal_likelihood(fixture: CheckContext, *, samples: int = 192) -> None:
    """Checks E_q[f(z) p(z) / q(z)] = E_p[f(z)]: ``forward`` scores the model from which ``predict`` samples.

    With f(z) = p(x | z) both sides are p(targets | context): the left side is the importance-weighted estimate of Burda
    et al. 2016 ("Importance weighted autoencoders", equation 8), the right side uses predictions. At a large sigma
    p(x | z) hardly depends on z, so f is also a Gaussian bump around the mean prediction, as wide as the spread of the
    predictions. Means over samples must agree within five standard errors. Standard errors are reliable only where
    posterior and prior are close, so the weights are scaled down until they are. One context view and two scenes.
    """
    small = fixture._replace(
        batch=select_views(fixture, [0, *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]).apply(lambda field: field[:2])
    )
    remaining = dict(LARGEST_ERRORS)
    for scale in SCALES:
        with perturbed_weights(fixture, by=0.0, scale=scale):
            # A quarter of the samples shows whether this scale gives small enough errors.
            for number in (max(samples // 4 // BATCH_SAMPLES, 1) * BATCH_SAMPLES, samples):
                pairs = _estimates(_draw_from_posterior(small, samples=number), _draw_from_prior(small, samples=number))
                factor = (samples / number) ** 0.5
                precise = [
                    name
                    for name, limit in remaining.items()
                    if all(bool((side.error < factor * limit).all()) for side in pairs[name])
                ]
                if not precise:
                    break
        for name in precise:
            _require_agreement(name, *pairs[name])
            del remaining[name]
        if not remaining:
            break


def _require_agreement(name: str, scored: Estimate, sampled: Estimate) -> None:
    error = torch.hypot(scored.error, sampled.error)
    distance = (scored.value - sampled.value).abs()
    require(
        bool((distance <= 5 * error + 1e-8 * (1 + scored.value.abs())).all()),
        f"the log-mean of the {name} over samples from the posterior differs from that over samples from the prior "
        f"by {distance.max().item():.4g} nats (standard error {error.max().item():.2g}): "
        "forward does not score the model from which predict samples",
    )


def _estimates(scored: Draws, sampled: Draws) -> dict[str, tuple[Estimate, Estimate]]:
    """Returns both sides of the identity for every f."""
    centre = sampled.summary.mean(1, keepdim=True)
    # The smaller spread, so that a prior too wide and a prior too narrow change the logarithm equally.
    spread = torch.minimum(scored.summary.std(1, keepdim=True), sampled.summary.std(1, keepdim=True))
    found = {}
    for name in ("likelihood", "predictions"):
        sides = []
        for draws in (scored, sampled):
            bump = -0.5 * ((draws.summary - centre) / spread.clamp(min=1e-9)).square()
            value = draws.log_likelihood if name == "likelihood" else bump
            sides.append(_log_mean(draws.log_weight + value))
        found[name] = (sides[0], sides[1])
    return found


def _draw_from_posterior(fixture: CheckContext, *, samples: int) -> Draws:
    model, number = fixture.model, len(fixture.batch.key)
    rounds = []
    for first in range(0, samples, BATCH_SAMPLES):
        copies = fixture.batch.apply(lambda field: field.repeat_interleave(BATCH_SAMPLES, dim=0))
        sample = torch.arange(first, first + BATCH_SAMPLES).repeat(number)
        episode = model.task(copies._replace(key=fold(copies.key, sample)), num_context=1)
        output = model.core(episode, model.encoder, fixture.schedule)
        log_likelihood = model.likelihood.log_prob(output.prediction, episode.target, fixture.schedule).sum(1)
        found = (-output.log_ratio, log_likelihood, _summary(output.prediction))
        rounds.append(Draws(*(field.view(number, BATCH_SAMPLES) for field in found)))
    return Draws(*(torch.cat(fields, dim=1) for fields in zip(*rounds, strict=True)))


def _draw_from_prior(fixture: CheckContext, *, samples: int) -> Draws:
    episode = fixture.model.task(fixture.batch, num_context=1)
    drawn = fixture.predict_parameters(episode._replace(key=fold(episode.key, -2)), num_samples=samples)
    log_likelihood = torch.stack(
        [fixture.model.likelihood.log_prob(each, episode.target, fixture.schedule).sum(1) for each in drawn], dim=1
    )
    summary = torch.stack([_summary(each) for each in drawn], dim=1)
    return Draws(log_weight=torch.zeros_like(log_likelihood), log_likelihood=log_likelihood, summary=summary)


def _summary(prediction: Tensor) -> Tensor:
    """Projects predictions [B, Q, C', H, W] on one random direction: [B]."""
    flat = prediction.flatten(1)
    return flat @ standard_normal(torch.zeros((), dtype=torch.int64), (flat.shape[1],)).to(flat.dtype)


def _log_mean(log_weights: Tensor) -> Estimate:
    """Returns log mean exp over [B, S], with the standard error by the delta method."""
    top = log_weights.max(1, keepdim=True).values
    weights = torch.exp(log_weights - top)
    mean = weights.mean(1)
    return Estimate(
        value=torch.log(mean) + top[:, 0],
        error=weights.std(1) / mean / log_weights.shape[1] ** 0.5,
    )
