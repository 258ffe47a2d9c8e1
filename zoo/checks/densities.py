"""Monte Carlo checks of densities: a likelihood, and that the ELBO is a bound for the model that is sampled from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal

from zoo.checks.failures import close, require
from zoo.checks.fixture import NUM_CONTEXT, NUM_TARGETS, CheckContext, perturbed_weights, select_views
from zoo.episode import SceneBatch
from zoo.nn.noise import fold, standard_normal

LIKELIHOOD_SAMPLES = 2000
SAMPLES, PILOT_SAMPLES = 192, 32  # of the latents of a scene
SCALES = (1.0, 0.7, 0.5, 0.35, 0.2, 0.1, 0.05)  # of the weights, tried until importance weights vary little enough
LARGEST_ERRORS = {"likelihood": 0.12, "predictions": 0.095}  # largest standard errors of compared estimates, nats
BATCH_SAMPLES = 32  # in one pass


@torch.no_grad()
def check_likelihood(fixture: CheckContext) -> None:
    """Checks samples, normalisation, the sum over pixels and the floor.

    For predictions 1 and 2, E_{x ~ p_1}[p_2(x) / p_1(x)] = 1 within five standard errors. This identity holds for
    unnormalised densities too; for densities of images and values p_2 is therefore also replaced by a Gaussian u.
    """
    likelihood, schedule = fixture.model.likelihood, fixture.schedule
    channels = fixture.model.task.target_shape[0]
    key = torch.zeros((), dtype=torch.int64)
    shape = (1, 1, likelihood.prediction_channels(channels), 1, 1)
    one = 0.3 + 0.3 * standard_normal(fold(key, 1), shape).double()
    two = one + 0.03 * standard_normal(fold(key, 2), shape).double()
    noise = standard_normal(fold(key, 3), (LIKELIHOOD_SAMPLES, 1, channels, 1, 1)).double()
    many = (LIKELIHOOD_SAMPLES, -1, -1, -1, -1)
    target = likelihood.sample(one.expand(many), noise, schedule)
    log_prob, other = (likelihood.log_prob(each.expand(many), target, schedule)[:, 0] for each in (one, two))
    _require_mean_of_one(other - log_prob, "samples are not drawn from the density that log_prob returns")
    if not likelihood.discrete and fixture.model.task.target_kind != "poses":
        # u has the mean and half the standard deviations of the samples.
        known = Normal(target.mean(0), 0.5 * target.std(0), validate_args=False).log_prob(target).flatten(1).sum(1)
        _require_mean_of_one(known - log_prob, "the density does not integrate to 1")
    likelihood.mean(one)  # the fixture validates the shape
    floor = likelihood.floor(channels, schedule)
    if likelihood.bounded:
        require(-log_prob >= floor - 1e-9, "a negative log-likelihood is below the floor")
    if fixture.model.task.target_kind != "images":
        return
    pixels = likelihood.log_prob(one.expand(1, 1, -1, 2, 3), target[:1].expand(1, 1, -1, 2, 3), schedule)
    require(close(pixels[:, 0], 6 * log_prob[:1]), "the log-likelihood of an image is not the sum over its pixels")
    floor_of_six = likelihood.floor(6 * channels, schedule)
    require(close(floor_of_six, 6 * floor), "the floor is not proportional to the number of pixels")
    if likelihood.has_mass:
        values = (255.0 * target.clamp(0.0, 1.0)).round() / 255.0
        log_mass = likelihood.log_mass(one.expand(many), values, schedule)
        require(log_mass <= 1e-9, "log_mass of 8-bit values is positive: a probability above 1")


def _require_mean_of_one(log_weights: Tensor, message: str) -> None:
    weights = torch.exp(log_weights)
    mean, error = weights.mean().item(), (weights.std() / len(weights) ** 0.5).item()
    require(
        abs(mean - 1) <= 5 * error + 1e-9,
        f"{message}: a mean of importance weights is {mean:.4g} +- {error:.2g}, expected 1",
    )


def _repeated(fixture: CheckContext, *, samples: int) -> Iterator[SceneBatch]:
    """Yields batches of BATCH_SAMPLES copies of every scene, each with its own key, until there are enough samples."""
    copies = fixture.batch.apply(lambda field: field.repeat_interleave(BATCH_SAMPLES, dim=0))
    for first in range(0, samples, BATCH_SAMPLES):
        sample = torch.arange(first, first + BATCH_SAMPLES).repeat(len(fixture.batch.key))
        yield copies._replace(key=fold(copies.key, sample))


@torch.no_grad()
def check_log_ratio(fixture: CheckContext) -> None:
    """Checks that the mean of log q(z) - log p(z) over samples equals the analytic KL within five standard errors.

    With several groups of latents the analytic KL depends on the sampled groups; both have the same mean. The weights
    are perturbed strongly, so that posterior and prior differ.
    """
    if not fixture.has_latents:
        return
    with perturbed_weights(fixture, by=1.0):
        rounds = [fixture.terms(batch) for batch in _repeated(fixture, samples=SAMPLES)]
    difference = torch.cat([(terms.log_ratio - terms.kl).view(-1, BATCH_SAMPLES) for terms in rounds], dim=1)
    error = difference.std(1) / SAMPLES**0.5
    distance = difference.mean(1).abs()
    require(
        distance <= 5 * error + 1e-9,
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
def check_marginal_likelihood(fixture: CheckContext) -> None:
    """Checks E_q[f(z) p(z) / q(z)] = E_p[f(z)]: ``forward`` scores the model from which ``predict`` samples.

    With f(z) = p(x | z) both sides are p(targets | context): the left side is the importance-weighted estimate of Burda
    et al. 2016 ("Importance weighted autoencoders", equation 8), the right side uses predictions. At a large sigma
    p(x | z) hardly depends on z, so f is also a Gaussian bump around the mean prediction, as wide as the spread of the
    predictions. Means over samples must agree within five standard errors. Standard errors are reliable only where
    posterior and prior are close, so the weights are scaled down until they are. One context view and two scenes.
    """
    views = [0, *range(NUM_CONTEXT, NUM_CONTEXT + NUM_TARGETS)]
    small = fixture._replace(batch=select_views(fixture, views).apply(lambda field: field[:2]))
    remaining = dict(LARGEST_ERRORS)
    for scale in SCALES:
        with perturbed_weights(fixture, by=0.0, scale=scale):
            # A few samples show whether this scale gives small enough errors.
            for samples in (PILOT_SAMPLES, SAMPLES):
                pairs = _estimates(
                    _draw_from_posterior(small, samples=samples), _draw_from_prior(small, samples=samples)
                )
                factor = (SAMPLES / samples) ** 0.5
                precise = [
                    name
                    for name, limit in remaining.items()
                    # At the smallest scale posterior and prior are one, and what is left is judged.
                    if scale == SCALES[-1] or all((side.error < factor * limit).all() for side in pairs[name])
                ]
                if not precise:
                    break
        for name in precise:
            scored, sampled = pairs[name]
            error = torch.hypot(scored.error, sampled.error)
            distance = (scored.value - sampled.value).abs()
            require(
                distance <= 5 * error + 1e-8 * (1 + scored.value.abs()),
                f"the log-mean of the {name} over samples from the posterior differs from that over samples from the prior "
                f"by {distance.max().item():.4g} nats (standard error {error.max().item():.2g}): "
                "forward does not score the model from which predict samples",
            )
            del remaining[name]
        if not remaining:
            break


def _estimates(scored: Draws, sampled: Draws) -> dict[str, tuple[Estimate, Estimate]]:
    """Returns both sides of the identity for every f."""
    centre = sampled.summary.mean(1, keepdim=True)
    # The smaller spread, so that a prior too wide and a prior too narrow change the logarithm equally.
    spread = torch.minimum(scored.summary.std(1, keepdim=True), sampled.summary.std(1, keepdim=True))

    def log_means(draws: Draws) -> dict[str, Estimate]:
        bump = -0.5 * ((draws.summary - centre) / spread.clamp(min=1e-9)).square()
        values = {"likelihood": draws.log_likelihood, "predictions": bump}
        return {name: _log_mean(draws.log_weight + value) for name, value in values.items()}

    one, other = log_means(scored), log_means(sampled)
    return {name: (one[name], other[name]) for name in one}


def _draw_from_posterior(fixture: CheckContext, *, samples: int) -> Draws:
    model, rounds = fixture.model, []
    for batch in _repeated(fixture, samples=samples):
        episode = model.episode(batch, num_context=1)
        output = model.core(episode, model.encoder, fixture.schedule)
        log_likelihood = model.likelihood.log_prob(output.prediction, episode.target, fixture.schedule).sum(1)
        found = (-output.log_ratio, log_likelihood, _summary(output.prediction))
        rounds.append([field.view(-1, BATCH_SAMPLES) for field in found])
    return Draws(*(torch.cat(fields, dim=1) for fields in zip(*rounds, strict=True)))


def _draw_from_prior(fixture: CheckContext, *, samples: int) -> Draws:
    model, schedule = fixture.model, fixture.schedule
    episode = model.episode(fixture.batch, num_context=1)
    drawn = fixture.predict_parameters(episode._replace(key=fold(episode.key, -2)), num_samples=samples)
    scores = [model.likelihood.log_prob(each, episode.target, schedule).sum(1) for each in drawn]
    log_likelihood, summary = torch.stack(scores, dim=1), torch.stack([_summary(each) for each in drawn], dim=1)
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
    error = weights.std(1) / mean / log_weights.shape[1] ** 0.5
    return Estimate(value=torch.log(mean) + top[:, 0], error=error)
