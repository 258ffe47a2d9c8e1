"""Whether the ELBO is a bound on what is sampled: two identities that hold in the mean, by Monte Carlo."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.checks.fixture import NUM_CONTEXT, NUM_TARGETS, Subject, chosen_views, moved_weights, require
from zoo.nn.noise import fold, standard_normal

SCALES = (1.0, 0.7, 0.5, 0.35, 0.2, 0.1, 0.05)  # of the weights, until importance weights vary little enough
LARGEST_ERRORS = {"likelihood": 0.12, "predictions": 0.095}  # of the estimates that are compared, nats
AT_ONCE = 32  # samples of a scene in one pass


@torch.no_grad()
def check_log_ratio(trial: Subject, *, samples: int = 192) -> None:
    """The mean of log q(z) - log p(z) over samples is the analytic KL, within five standard errors.

    For latents in several groups the analytic KL of a sample is itself random; the two have the same mean. Weights are
    moved far, so that posterior and prior differ.
    """
    if not trial.has_latents:
        return
    number = len(trial.batch.key)
    with moved_weights(trial, by=2.0):
        rounds = []
        for first in range(0, samples, AT_ONCE):
            copies = trial.batch.apply(lambda field: field.repeat_interleave(AT_ONCE, dim=0))
            sample = torch.arange(first, first + AT_ONCE).repeat(number)
            terms = trial.terms(copies._replace(key=fold(copies.key, sample)))
            rounds.append((terms.log_ratio - terms.kl).view(number, AT_ONCE))
    difference = torch.cat(rounds, dim=1)
    error = difference.std(1) / samples**0.5
    distance = difference.mean(1).abs()
    require(
        bool((distance <= 5 * error + 1e-9).all()),
        f"log q - log p at the samples differs from the analytic KL by {distance.max().item():.4g} nats "
        f"({(distance / error).max().item():.1f} standard errors): the KL is of other distributions than those sampled",
    )


class Draws(NamedTuple):
    """Samples of the latents of every scene, with what follows from them. Every field is [B, S]."""

    log_weight: Tensor  # log p(z) - log(the density that z was drawn from), nats
    log_likelihood: Tensor  # log p(targets | z), summed over the targets of the scene, nats
    summary: Tensor  # one number for the predictions at all queries of the scene, a projection on a fixed direction


class Estimate(NamedTuple):
    """The logarithm of a mean over samples, for every scene, with its standard error."""

    value: Tensor  # [B], nats
    error: Tensor  # [B], nats


@torch.no_grad()
def check_marginal_likelihood(trial: Subject, *, samples: int = 192) -> None:
    """E_q[f(z) p(z) / q(z)] = E_p[f(z)]: what is scored is what is sampled.

    With f(z) = p(x | z) both sides are p(targets | context): the left is the importance-weighted bound of Burda et al.
    2016 ("Importance weighted autoencoders", equation 8), the right is made of predictions. Where sigma is large that
    hardly depends on z, so that it is asked a second time with f a bump around the mean prediction, as wide as
    predictions spread. Means over samples must agree within five standard errors, which can only be trusted where
    posterior and prior are close: the weights are scaled down until they are. One view of context and two scenes are
    enough here.
    """
    small = trial._replace(
        batch=chosen_views(trial, [0, *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]).apply(lambda field: field[:2])
    )
    left = dict(LARGEST_ERRORS)
    for scale in SCALES:
        with moved_weights(trial, by=0.0, scale=scale):
            # A quarter of the samples tells whether the others are worth drawing.
            for number in (max(samples // 4 // AT_ONCE, 1) * AT_ONCE, samples):
                pairs = _estimates(_by_posterior(small, samples=number), _by_prior(small, samples=number))
                factor = (samples / number) ** 0.5
                certain = [
                    name
                    for name, limit in left.items()
                    if all(bool((each.error < factor * limit).all()) for each in pairs[name])
                ]
                if not certain:
                    break
        for name in certain:
            _require_agreement(name, *pairs[name])
            del left[name]
        if not left:
            break


def _require_agreement(name: str, scored: Estimate, sampled: Estimate) -> None:
    error = torch.hypot(scored.error, sampled.error)
    distance = (scored.value - sampled.value).abs()
    require(
        bool((distance <= 5 * error + 1e-8 * (1 + scored.value.abs())).all()),
        f"the log-mean of the {name} over samples from the posterior differs from that over samples from the prior "
        f"by {distance.max().item():.4g} nats (standard error {error.max().item():.2g}): "
        "what is scored is not what is sampled",
    )


def _estimates(scored: Draws, sampled: Draws) -> dict[str, tuple[Estimate, Estimate]]:
    """Returns both sides of the identity, for every f."""
    centre = sampled.summary.mean(1, keepdim=True)
    # The narrower of both: a prior that is too wide or too narrow then shows in the logarithm as much.
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


def _by_posterior(trial: Subject, *, samples: int) -> Draws:
    model, number = trial.model, len(trial.batch.key)
    rounds = []
    for first in range(0, samples, AT_ONCE):
        copies = trial.batch.apply(lambda field: field.repeat_interleave(AT_ONCE, dim=0))
        sample = torch.arange(first, first + AT_ONCE).repeat(number)
        episode = model.task(copies._replace(key=fold(copies.key, sample)), num_context=1)
        output = model.core(episode, model.encoder, trial.schedule)
        log_likelihood = model.likelihood.log_prob(output.prediction, episode.target, trial.schedule).sum(1)
        found = (-output.log_ratio, log_likelihood, _summary(output.prediction))
        rounds.append(Draws(*(field.view(number, AT_ONCE) for field in found)))
    return Draws(*(torch.cat(fields, dim=1) for fields in zip(*rounds, strict=True)))


def _by_prior(trial: Subject, *, samples: int) -> Draws:
    episode = trial.model.task(trial.batch, num_context=1)
    drawn = trial.predict_parameters(episode._replace(key=fold(episode.key, -2)), num_samples=samples)
    log_likelihood = torch.stack(
        [trial.model.likelihood.log_prob(each, episode.target, trial.schedule).sum(1) for each in drawn], dim=1
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
